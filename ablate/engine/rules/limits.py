"""The limits that the engine keeps to, and when two failures are the same failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    """This many replicates in a row that fail at the same place end the run early."""
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
    """Counts failures in a row that have the same cause."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: list[str] = []

    def too_many(self, outcome: Outcome) -> bool:
        """Take the next outcome; True when it is the last of too many failures alike."""
        if outcome.kind is not OutcomeKind.FAILED:
            self._places.clear()
            return False
        self._places.append(failure_place(outcome))
        latest = self._places[-self._most :]
        return len(latest) == self._most and len(set(latest)) == 1


def failure_place(outcome: Outcome) -> str:
    """Return what two failures have in common when they have the same cause: kind of exception and where it was raised.

    The message is left out, because it often holds numbers that differ.
    """
    frames = re.findall(r'File "[^"]*", line \d+', outcome.traceback or "")
    kind = (outcome.error or "").partition(":")[0]
    return f"{kind} {frames[-1]}" if frames else outcome.error or ""
