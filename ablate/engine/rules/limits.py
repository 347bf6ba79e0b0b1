"""The limits that the engine keeps to, and when two failures are the same failure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ablate.engine.rules.transitions import RETRIES
from ablate.outcome import Outcome, OutcomeKind


@dataclass(frozen=True)
class Policy:
    """Limits the engine keeps to. Times in seconds."""

    stall_s: float = 1800.0
    """A busy or starting worker without a sign of life for this long is killed, and its batch is lost."""
    stop_s: float = 30.0
    """How long workers may take to save and stop."""
    budget_s: float | None = None
    """After this long nothing more is placed."""
    same_failures: int = 3
    """This many different arms in a row that fail at the same place end the run early."""
    fail_fast: bool = False
    """Whether the first trial that ends without a result stops the run."""
    failed_starts: int = 3
    """A slot whose workers die this often in a row before they are ready is given up."""
    batch: int = 1
    """Most recipes of one batch."""
    spread: bool = False
    """True: what could be one batch is shared evenly between the slots that are free."""
    keep_idle: bool = True
    """Whether workers without work stay while others are busy, whose trials might come back: not on a cluster."""
    retries: Mapping[OutcomeKind, int] = field(default_factory=lambda: RETRIES)


class SameFailures:
    """Looks for failures in a row that have the same cause in different arms: then the next one will fail too."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: list[tuple[str, str]] = []
        """(arm, place) of the failures since the last trial that did not fail."""

    def too_many(self, arm: str, outcome: Outcome, waiting: Collection[str]) -> bool:
        """Take the next outcome; True when too many failures alike end here.

        They count when they are of so many different arms, or when nothing but arms that failed so is waiting: one arm
        that always fails does not keep the others from being tried.
        """
        if outcome.kind is not OutcomeKind.FAILED:
            self._places.clear()
            return False
        place = failure_place(outcome)
        if self._places and self._places[-1][1] != place:
            self._places.clear()
        self._places.append((arm, place))
        arms = {arm for arm, _ in self._places}
        return len(self._places) >= self._most and (len(arms) >= self._most or arms.issuperset(waiting))


def failure_place(outcome: Outcome) -> str:
    """Return what two failures have in common when they have the same cause: kind of exception and where it was raised.

    The message is left out, because it often holds numbers that differ.
    """
    frames = re.findall(r'File "[^"]*", line \d+', outcome.traceback or "")
    kind = (outcome.error or "").partition(":")[0]
    return f"{kind} {frames[-1]}" if frames else outcome.error or ""
