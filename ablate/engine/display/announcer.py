"""Telling the world: display events to the listener, one line each to run.log."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ablate.engine.display import display_events
from ablate.engine.display.display_events import DisplayEvent, Estimate
from ablate.engine.rules.events_actions import AnnounceStop, Key
from ablate.json_values import JsonValue
from ablate.outcome import Outcome, OutcomeKind


class RunLog:
    """Appends every event but progress and curves to run.log, as ``TIME word key=value ...``."""

    def __init__(self, path: Path) -> None:
        self._handle = path.open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._handle.close()
        except OSError:
            # The disk is full: the log's last line is lost, which the error on its way up has told already.
            return

    def write(self, event: DisplayEvent) -> None:
        """Write one line; raises OSError when the disk is full."""
        if not isinstance(event, display_events.TrialProgress | display_events.TrialCurvePoint):
            self._handle.write(log_line(event) + "\n")


def log_line(event: DisplayEvent) -> str:
    """Return an event on one line; empty fields are left out, text with spaces is quoted."""
    # The log is one study's: only the first and the last line say which.
    known = {"event", "time", "at"}
    if not isinstance(event, display_events.RunStarted | display_events.RunFinished):
        known.add("study")
    fields = {name: value for name, value in event.to_dict().items() if name not in known}
    pairs = [f"{name}={_shown(value)}" for name, value in fields.items() if value not in (None, "", {}, ())]
    return " ".join([event.time, event.name, *pairs])


def _shown(value: Any) -> str:
    if isinstance(value, str) and value and not any(symbol.isspace() or symbol == '"' for symbol in value):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class TrialError:
    """A replicate that ended without a result."""

    arm: str
    seed: int
    kind: OutcomeKind
    error: str
    """First line."""
    log: str
    """Path of the trial's log."""


class Announcer:
    """Makes display events out of what the loop does, and keeps the counts that go with them."""

    def __init__(
        self,
        listen: Callable[[DisplayEvent], None],
        log: RunLog,
        *,
        study: str,
        total: int,
        done: int,
        log_of: Callable[[Key], str],
    ) -> None:
        self._study = study
        self._listen = listen
        self._log = log
        self._log_of = log_of
        self._heard = True
        self.total = total
        self.done = done
        self.counts: Counter[str] = Counter()
        """Outcome kind -> replicates that ended so in this run."""
        self.errors: list[TrialError] = []
        """Every replicate that ended without a result."""

    def tell(self, event: DisplayEvent) -> None:
        """Pass an event on to the log and the listener. A run outlasts a listener that cannot hear any more."""
        event = replace(event, study=self._study)
        self._log.write(event)
        if not self._heard:
            return
        try:
            self._listen(event)
        except OSError as error:
            self._heard = False
            self.note(f"the run can no longer be shown ({error}): it continues and writes everything to this file")

    def note(self, text: str) -> None:
        """Say something worth a line."""
        self.tell(display_events.Note(at=time.time(), text=text))

    def finished(
        self,
        key: Key,
        trial: int,
        slot: int | None,
        outcome: Outcome,
        *,
        final: bool = True,
        copied: str | None = None,
        elapsed_s: float | None = None,
    ) -> None:
        """Count and tell the outcome of a trial."""
        if final:
            self.counts[outcome.kind.value] += 1
            self.done += outcome.kind.is_result
            if not outcome.kind.is_result:
                self.errors.append(TrialError(*key, outcome.kind, outcome.error or "", self._log_of(key)))
        self._tell_finish(key, trial, slot, outcome, final=final, copied=copied, elapsed_s=elapsed_s)

    def found(self, key: Key, trial: int, outcome: Outcome, *, copied: str | None) -> None:
        """Tell an outcome that was there before this run and is recorded now; it is counted already."""
        self._tell_finish(key, trial, None, outcome, final=True, copied=copied)

    def _tell_finish(
        self,
        key: Key,
        trial: int,
        slot: int | None,
        outcome: Outcome,
        *,
        final: bool,
        copied: str | None,
        elapsed_s: float | None = None,
    ) -> None:
        self.tell(
            display_events.TrialFinished(
                at=time.time(),
                trial=trial,
                arm=key[0],
                seed=key[1],
                slot=slot,
                outcome=outcome.kind,
                metrics=dict(outcome.metrics),
                seconds=outcome.seconds,
                elapsed_s=elapsed_s,
                images_seen=outcome.images_seen,
                error=outcome.error,
                log=self._log_of(key),
                copied_from=copied,
                final=final,
                done=self.done,
                total=self.total,
            )
        )

    def started(self, key: Key, trial: int, slot: int, attempt: int, params: Mapping[str, JsonValue]) -> None:
        """Tell that a trial was given to a worker."""
        arm, seed = key
        at = time.time()
        self.tell(
            display_events.TrialStarted(
                at=at, trial=trial, arm=arm, seed=seed, slot=slot, attempt=attempt, params=params
            )
        )

    def curve(self, key: Key, trial: int, slot: int, *, images: int, values: Mapping[str, float]) -> None:
        """Tell a point of a trial's learning curve."""
        arm, seed = key
        at = time.time()
        self.tell(
            display_events.TrialCurvePoint(
                at=at, trial=trial, arm=arm, seed=seed, slot=slot, images=images, values=values
            )
        )

    def progress(
        self,
        key: Key,
        trial: int,
        slot: int,
        *,
        stage: str,
        done: int,
        total: int,
        numbers: Mapping[str, float],
        fraction: float,
        elapsed_s: float,
        left_s: float | None,
    ) -> None:
        """Tell where a trial is: `done` of `total` units of `stage`, `fraction` of the whole."""
        self.tell(
            display_events.TrialProgress(
                at=time.time(),
                trial=trial,
                arm=key[0],
                seed=key[1],
                slot=slot,
                stage=stage,
                done=done,
                total=total,
                fraction=fraction,
                elapsed_s=elapsed_s,
                left_s=left_s,
                numbers=numbers,
            )
        )

    def retrying(self, key: Key, trial: int, slot: int | None, retry: int, retries: int, reason: str) -> None:
        """Tell that a replicate will be tried again."""
        arm, seed = key
        at = time.time()
        self.tell(
            display_events.Retrying(
                at=at, trial=trial, arm=arm, seed=seed, slot=slot, retry=retry, retries=retries, reason=reason
            )
        )

    def queued(self, slot: int, *, job: str, reason: str) -> str:
        """Tell that the worker of a slot waits in a cluster's queue; return where."""
        waits = display_events.SlotQueued(at=time.time(), slot=slot, job=job, reason=reason)
        self.tell(waits)
        return waits.where

    def begun(self, slot: int, *, job: str, node: str) -> None:
        """Tell that the worker of a slot has left the queue."""
        self.tell(display_events.SlotBegun(at=time.time(), slot=slot, job=job, node=node))

    def stopping(self, action: AnnounceStop, *, running: int, deadline_s: float) -> None:
        """Tell that nothing more is placed, and what becomes of what runs."""
        self.tell(
            display_events.Stopping(
                at=time.time(),
                reason=action.reason,
                running=running,
                saving=action.saving,
                deadline_s=deadline_s,
                killing=action.killing,
            )
        )

    def alive(self, *, running: int, waiting: int, elapsed_s: float, eta: Estimate | None) -> None:
        """Tell that the run goes on."""
        self.tell(
            display_events.Alive(
                at=time.time(),
                done=self.done,
                total=self.total,
                running=running,
                waiting=waiting,
                elapsed_s=elapsed_s,
                eta=eta,
            )
        )
