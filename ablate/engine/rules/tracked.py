"""What the state keeps of replicates and slots; of slots also who is in which state, and whose silence is too long."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence

from ablate.engine.rules.events_actions import Key, Planned
from ablate.engine.rules.transitions import (
    REPLICATE_TRANSITIONS,
    SLOT_TRANSITIONS,
    ReplicateState,
    SlotState,
    Tracked,
)
from ablate.outcome import OutcomeKind

_WATCHED = (SlotState.STARTING, SlotState.BUSY, SlotState.LEAVING)
_WITHOUT_WORKER = (SlotState.DOWN, SlotState.CLOSED)


class ReplicateRecord(Tracked[ReplicateState]):
    """A replicate on its way through the run."""

    def __init__(self, planned: Planned, copies: tuple[Key, ...]) -> None:
        super().__init__(f"{planned.key[0]} seed {planned.key[1]}", ReplicateState.WAITING, REPLICATE_TRANSITIONS)
        self.planned = planned
        self.copies = copies
        self.slot: int | None = None
        self.retried: dict[OutcomeKind, int] = {}
        self.advanced = False
        """True when its latest attempt got further than every one before."""
        self._furthest: dict[str, int] = {}

    def take_retry(self, kind: OutcomeKind, granted: int, *, evicted: bool) -> int | None:
        """Use a retry; return its number, 0 if none is used, or None if none is left.

        An eviction uses none if the attempt got further than all before: it resumes elsewhere.
        """
        if kind is OutcomeKind.LOST and evicted and self.advanced:
            return 0
        self.retried[kind] = self.retried.get(kind, 0) + 1
        return self.retried[kind] if self.retried[kind] <= granted else None

    def progressed(self, stage: str | None, done: int | None) -> None:
        """Record how far its attempt has got."""
        if stage is not None and done is not None and done > self._furthest.get(stage, 0):
            self._furthest[stage] = done
            self.advanced = True


class SlotRecord(Tracked[SlotState]):
    """A slot and the worker on it."""

    def __init__(self, index: int, group: str, records: TrackedRecords) -> None:
        super().__init__(f"slot {index}", SlotState.DOWN, SLOT_TRANSITIONS)
        self.index = index
        self.group = group
        self._roster = records
        self.batch: tuple[Key, ...] = ()
        self.together = 0
        """Most batches on its device at any time of this batch, itself included."""
        self.results = 0
        """Replicates of the batch that ended with a result."""
        self.seen_at = 0.0
        self.failed_starts = 0
        self.killed: str | None = None
        """Why its worker was killed, until that is gone."""
        self.evicted = False
        """True when the place of its last worker was taken away by the cluster."""
        self.withdrawn = False
        """True when the place of its worker gets nothing new."""

    @property
    def has_worker(self) -> bool:
        """True when there is a process, or one is being started."""
        return self.state not in _WITHOUT_WORKER

    @property
    def is_watched(self) -> bool:
        """True for workers that must give signs of life."""
        return self.state in _WATCHED and self.killed is None

    def move(self, finish: SlotState, at: float, why: str = "", *, start: SlotState | None = None) -> None:
        """Go to `finish`, as the table allows, and be seen there."""
        before = self.state
        super().move(finish, at, why, start=start)
        self.seen_at = at
        self._roster.moved(self, before)


class TrackedRecords:
    """All slots. Questions about one state, and the next silence, are answered without looking at every slot."""

    def __init__(self, groups: Sequence[str], stall_s: float) -> None:
        """Take the group of every slot, and how long a worker may be silent."""
        self._stall_s = stall_s
        self.records = [SlotRecord(index, group, self) for index, group in enumerate(groups)]
        self._in: dict[SlotState, set[int]] = {state: set() for state in SlotState}
        self._in[SlotState.DOWN].update(range(len(self.records)))
        self._staff: Counter[str] = Counter()
        self._silences: list[tuple[float, int]] = []
        self._listed: set[int] = set()

    def __getitem__(self, index: int) -> SlotRecord:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def moved(self, slot: SlotRecord, before: SlotState) -> None:
        """Take note that `slot` has left the state `before`."""
        self._in[before].discard(slot.index)
        self._in[slot.state].add(slot.index)
        self._staff[slot.group] += slot.has_worker - (before not in _WITHOUT_WORKER)
        if slot.state in _WATCHED and slot.index not in self._listed:
            heapq.heappush(self._silences, (slot.seen_at + self._stall_s, slot.index))
            self._listed.add(slot.index)

    def count(self, *states: SlotState) -> int:
        """Return how many slots are in one of `states`."""
        return sum(len(self._in[state]) for state in states)

    @property
    def free(self) -> int:
        """How many slots have no batch and a worker that waits for one, or soon will."""
        return self.count(SlotState.IDLE, SlotState.STARTING)

    def those(self, state: SlotState) -> Iterator[SlotRecord]:
        """Yield the slots that are in `state` now, by index; they may move meanwhile."""
        return (self.records[index] for index in sorted(self._in[state]))

    def staff(self, group: str) -> int:
        """Return how many slots of a group have a worker."""
        return self._staff[group]

    def with_worker(self) -> list[SlotRecord]:
        """Return the slots that have a worker."""
        return [slot for slot in self.records if slot.has_worker]

    def next_silence(self) -> float | None:
        """Return when the first watched worker will have been silent for too long, unless it is heard of before."""
        while self._silences:
            until, index = self._silences[0]
            slot = self.records[index]
            if not slot.is_watched:
                heapq.heappop(self._silences)
                self._listed.discard(index)
            elif slot.seen_at + self._stall_s > until:
                heapq.heapreplace(self._silences, (slot.seen_at + self._stall_s, index))
            else:
                return until
        return None

    def silent(self, at: float) -> list[SlotRecord]:
        """Return the watched slots that have been silent for too long at the time `at`, each once."""
        found = []
        while (until := self.next_silence()) is not None and at >= until:
            index = heapq.heappop(self._silences)[1]
            self._listed.discard(index)
            found.append(self.records[index])
        return sorted(found, key=lambda slot: slot.index)
