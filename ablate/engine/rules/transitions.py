"""The literal tables: every state a replicate or a slot can be in, and every way from one to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Generic, TypeVar

from ablate.outcome import OutcomeKind


class ReplicateState(StrEnum):
    """Where a replicate is. All but the first two are ends and carry the name of the outcome."""

    WAITING = "waiting"
    RUNNING = "running"
    MEASURED = "measured"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    LOST = "lost"
    STOPPED = "stopped"
    OUT_OF_MEMORY = "out_of_memory"

    @property
    def is_end(self) -> bool:
        """True when the replicate never moves again in this run."""
        return self not in (ReplicateState.WAITING, ReplicateState.RUNNING)


class SlotState(StrEnum):
    """Where a slot is."""

    DOWN = "down"
    QUEUED = "queued"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    LEAVING = "leaving"
    CLOSED = "closed"


_R = ReplicateState
_S = SlotState

REPLICATE_TRANSITIONS: Mapping[tuple[ReplicateState, ReplicateState], str] = {
    (_R.WAITING, _R.RUNNING): "placed on a slot; an attempt (an Optuna trial) begins",
    (_R.RUNNING, _R.MEASURED): "its outcome file has every metric",
    (_R.RUNNING, _R.DIVERGED): "its outcome file says diverged: a result",
    (_R.RUNNING, _R.PRUNED): "stopped early by its search: a result without a measurement",
    (_R.RUNNING, _R.FAILED): "the core raised an exception, and no retry is left",
    (_R.RUNNING, _R.LOST): "the worker died without an outcome file, and no retry is left",
    (_R.RUNNING, _R.STOPPED): "stopped on request; the next run resumes from its checkpoint",
    (_R.RUNNING, _R.OUT_OF_MEMORY): "does not fit, even alone",
    (_R.RUNNING, _R.WAITING): "lost, out of memory or failed, with a retry left; the attempt is recorded",
    (_R.WAITING, _R.MEASURED): "a replicate with the same recipe was measured; its outcome is copied",
    (_R.WAITING, _R.DIVERGED): "a replicate with the same recipe diverged; its outcome is copied",
    (_R.WAITING, _R.PRUNED): "a replicate with the same recipe was pruned; its outcome is copied",
    (_R.WAITING, _R.FAILED): "a replicate with the same recipe failed; its outcome is copied",
    (_R.WAITING, _R.LOST): "a replicate with the same recipe was lost; its outcome is copied",
    (_R.WAITING, _R.OUT_OF_MEMORY): "a replicate with the same recipe, or with the same footprint, did not fit",
}

SLOT_TRANSITIONS: Mapping[tuple[SlotState, SlotState], str] = {
    (_S.DOWN, _S.STARTING): "there is work: a worker process is started",
    (_S.DOWN, _S.CLOSED): "there is no work left for it, or its workers cannot be started",
    (_S.STARTING, _S.QUEUED): "on a cluster: the worker's job waits in the queue",
    (_S.QUEUED, _S.STARTING): "the job has begun",
    (_S.QUEUED, _S.DOWN): "the job was removed from the queue",
    (_S.STARTING, _S.IDLE): "the worker has imported the core",
    (_S.STARTING, _S.DOWN): "the worker died before it was ready",
    (_S.IDLE, _S.BUSY): "a batch was placed on it",
    (_S.IDLE, _S.LEAVING): "no work is left, or the worker will be replaced",
    (_S.IDLE, _S.DOWN): "the worker died while idle",
    (_S.BUSY, _S.IDLE): "the worker has finished the batch",
    (_S.BUSY, _S.DOWN): "the worker died: replicates without an outcome are lost",
    (_S.LEAVING, _S.DOWN): "the worker has exited, as told",
}

RETRIES: Mapping[OutcomeKind, int] = {
    OutcomeKind.LOST: 2,
    OutcomeKind.OUT_OF_MEMORY: 1,
    OutcomeKind.FAILED: 0,
}
"""Retries of a replicate in one run, by cause; other outcomes always stand. A retry after out of memory runs alone."""

_State = TypeVar("_State", ReplicateState, SlotState)


class InvalidTransition(Exception):
    """A bug: something happened that the tables do not know. Carries the story of whom it happened to."""

    def __init__(self, who: str, start: str, finish: str, story: Sequence[str]) -> None:
        self.who, self.start, self.finish, self.story = who, start, finish, tuple(story)
        lines = "".join(f"\n  {line}" for line in story)
        super().__init__(f"{who}: no transition from {start} to {finish}; its story:{lines or ' (none)'}")

    def __reduce__(self) -> tuple[type[InvalidTransition], tuple[str, str, str, tuple[str, ...]]]:
        return (InvalidTransition, (self.who, self.start, self.finish, self.story))


class Tracked(Generic[_State]):
    """Something with a state that moves by a literal table only, and remembers how it moved."""

    def __init__(self, who: str, state: _State, table: Mapping[tuple[_State, _State], str]) -> None:
        self.who = who
        self.state: _State = state
        self.story: list[str] = []
        self._table: Mapping[tuple[_State, _State], str] = table

    def move(self, finish: _State, at: float, why: str = "", *, start: _State | None = None) -> None:
        """Go to `finish` (from `start`, where only that makes sense).

        Raises InvalidTransition when the table has no such row.
        """
        if (self.state, finish) not in self._table or start not in (None, self.state):
            raise InvalidTransition(self.who, self.state, finish, self.story)
        self.story.append(f"{at:.3f} {self.state} -> {finish}{f': {why}' if why else ''}")
        self.state = finish
