"""The line of replicates that wait: who is next is found in logarithmic time, however many wait."""

from __future__ import annotations

import bisect
import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from ablate.engine.rules.durations import Expectation
from ablate.engine.rules.events_actions import Key, Planned
from ablate.engine.rules.shared_stages import Stages

_LOOK_AHEAD = 64
"""So many replicates of a wave are tried on a device before it is left to drain."""


class Fit(Enum):
    """What a device says to a replicate."""

    NOW = "now"
    LATER = "later"
    """There will be room when something that runs there has ended."""
    NEVER = "never"


class _Spot(IntEnum):
    """Where in its wave's line a replicate stands."""

    FREE = 0
    OVERLAPPING = 1
    """It shares a later stage with something that is being computed: better taken last."""
    BLOCKED = 2
    """Its next stage is being computed: waiting for it ends no later than computing it a second time."""


@dataclass
class _Entry:
    planned: Planned
    order: int
    spot: _Spot
    measured: bool
    version: int = 0


_Item = tuple[float, int, int, Key]
"""Minus the expected seconds (or cost), order of arrival, version of the entry, key."""


@dataclass
class _Line:
    """What waits of one wave. Items of entries that have moved on since stay behind until they come up."""

    members: dict[Key, _Entry] = field(default_factory=dict)
    heaps: dict[tuple[_Spot, bool], list[_Item]] = field(default_factory=dict)
    ready: int = 0
    """Members that are not blocked."""


class Waiting:
    """Replicates that wait, by wave (in general their seed); inside a wave the longest expected first."""

    def __init__(self, stages: Stages, expected: Expectation) -> None:
        self._stages = stages
        self._expected = expected
        self._entries: dict[Key, _Entry] = {}
        self._lines: dict[int, _Line] = {}
        self._waves: list[int] = []
        self._arrivals = 0
        self._by_stage: dict[str, dict[Key, None]] = {}
        self._by_arm: dict[str, dict[Key, None]] = {}
        self._by_batch: dict[str, list[tuple[int, int, Key]]] = {}
        self._by_footprint: dict[str, dict[Key, None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Planned]:
        for wave in self._waves:
            yield from (entry.planned for entry in self._lines[wave].members.values())

    def add(self, planned: Planned) -> None:
        """Let `planned` wait."""
        if planned.wave not in self._lines:
            self._lines[planned.wave] = _Line()
            bisect.insort(self._waves, planned.wave)
        self._arrivals += 1
        entry = _Entry(planned, self._arrivals, self._spot(planned), self._expected.knows(planned))
        self._entries[planned.key] = entry
        line = self._lines[planned.wave]
        line.members[planned.key] = entry
        line.ready += entry.spot is not _Spot.BLOCKED
        self._push(entry)
        for index, name in self._names(planned):
            index.setdefault(name, {})[planned.key] = None
        bisect.insort(self._by_batch.setdefault(planned.batch_key, []), (planned.wave, entry.order, planned.key))

    def put_last(self, arm: str) -> None:
        """Let what waits of an arm go behind all that has not failed. Candidates of searches keep their place."""
        for key in tuple(self._by_arm.get(arm, ())):
            planned = self._entries[key].planned
            if planned.wave == key[1]:
                self.remove(planned)
                self.add(planned.put_last())

    def remove(self, planned: Planned) -> None:
        """`planned` waits no longer."""
        entry = self._entries.pop(planned.key)
        planned = entry.planned  # which may have been put last since
        line = self._lines[planned.wave]
        del line.members[planned.key]
        line.ready -= entry.spot is not _Spot.BLOCKED
        if not line.members:
            del self._lines[planned.wave]
            self._waves.remove(planned.wave)
        for index, name in self._names(planned):
            index[name].pop(planned.key, None)
            if not index[name]:
                del index[name]
        mates = self._by_batch[planned.batch_key]
        mates.pop(bisect.bisect_left(mates, (planned.wave, entry.order, planned.key)))
        if not mates:
            del self._by_batch[planned.batch_key]

    def _names(self, planned: Planned) -> list[tuple[dict[str, dict[Key, None]], str]]:
        """Where `planned` is listed: every index with its names there, each once."""
        stages = dict.fromkeys(stage.digest for stage in planned.stages)
        found = [(self._by_stage, digest) for digest in stages]
        return [*found, (self._by_arm, planned.key[0]), (self._by_footprint, planned.footprint)]

    def first(self, fit: Callable[[Planned], Fit]) -> Planned | None:
        """Return who goes next to a device that answers `fit`, None when nobody can.

        Wave by wave, the longest expected first, and before it those that share nothing with what is being computed.
        Shorter ones of the same wave may go first where a longer one finds no room; a later wave may not, so that the
        device empties for whoever needs much of it.
        """
        self._look_at_stages()
        for wave in self._waves:
            if self._lines[wave].ready:
                found, held = self._first_of(self._lines[wave], fit)
                if found is not None or held:
                    return found
        return None

    def all_blocked(self) -> bool:
        """True when nobody who waits could be placed, whatever the device."""
        self._look_at_stages()
        return not any(self._lines[wave].ready for wave in self._waves)

    def mates(self, first: Planned, most: Callable[[Planned], int], among: int = 1) -> tuple[Planned, ...]:
        """Return `first` and, in order, those with its batch key that join it; `most` is the largest batch of each.

        Nobody joins whose next stage is being computed elsewhere: the whole batch would wait for it. `among` slots that
        are free, this one included, get even shares of those who could join.
        """
        limit = most(first)
        if limit == 1:
            return (first,)
        ready = list(itertools.islice(self._ready_mates(first), limit * among - 1))
        limit = min(limit, -(-(1 + len(ready)) // among))
        batch = [first]
        for candidate in ready:
            if len(batch) >= limit:
                break
            if most(candidate) > len(batch):
                batch.append(candidate)
                limit = min(limit, most(candidate))
        return tuple(batch)

    def _ready_mates(self, first: Planned) -> Iterator[Planned]:
        """Who else waits with the batch key of `first` and is not blocked, in order."""
        for _, _, key in self._by_batch[first.batch_key]:
            entry = self._entries[key]
            if key != first.key and entry.spot is not _Spot.BLOCKED:
                yield entry.planned

    def with_footprint(self, footprint: str) -> tuple[Planned, ...]:
        """Return what waits and needs as much memory as all with `footprint`."""
        return tuple(self._entries[key].planned for key in self._by_footprint.get(footprint, ()))

    def expected_anew(self, arm: str) -> None:
        """What is expected of an arm has changed."""
        for key in self._by_arm.get(arm, ()):
            self._entries[key].measured = True
            self._push(self._entries[key])

    def _look_at_stages(self) -> None:
        """Move those that wait for, or share, a stage about which there is news."""
        moved = {key for digest in self._stages.news() for key in self._by_stage.get(digest, ())}
        for key in sorted(moved):
            entry = self._entries[key]
            spot = self._spot(entry.planned)
            if spot is not entry.spot:
                self._lines[entry.planned.wave].ready += (entry.spot is _Spot.BLOCKED) - (spot is _Spot.BLOCKED)
                entry.spot = spot
                self._push(entry)

    def _spot(self, planned: Planned) -> _Spot:
        if self._stages.blocked(planned):
            return _Spot.BLOCKED
        return _Spot.OVERLAPPING if self._stages.overlaps(planned) else _Spot.FREE

    def _push(self, entry: _Entry) -> None:
        """Put an entry where it belongs now; what stood for it before counts no longer."""
        entry.version += 1
        if entry.spot is _Spot.BLOCKED:
            return
        planned = entry.planned
        size = self._expected.of(planned) if entry.measured else planned.cost
        heap = self._lines[planned.wave].heaps.setdefault((entry.spot, entry.measured), [])
        heapq.heappush(heap, (-size, entry.order, entry.version, planned.key))

    def _first_of(self, line: _Line, fit: Callable[[Planned], Fit]) -> tuple[Planned | None, bool]:
        """Who of a wave goes next, and whether somebody of it waits for room."""
        passed: list[tuple[list[_Item], _Item]] = []
        held = False
        try:
            for spot in (_Spot.FREE, _Spot.OVERLAPPING):
                while len(passed) < _LOOK_AHEAD and (heap := self._longest(line, spot)) is not None:
                    item = heapq.heappop(heap)
                    passed.append((heap, item))
                    planned = line.members[item[3]].planned
                    verdict = fit(planned)
                    if verdict is Fit.NOW:
                        return planned, held
                    held |= verdict is Fit.LATER
        finally:
            for heap, item in passed:
                heapq.heappush(heap, item)
        return None, held

    def _longest(self, line: _Line, spot: _Spot) -> list[_Item] | None:
        """The heap on whose top the longest replicate of a spot lies, None when there is none."""
        best: tuple[float, int] | None = None
        found = None
        for measured in (True, False):
            heap = line.heaps.get((spot, measured), [])
            while heap and not _is_current(line, heap[0]):
                heapq.heappop(heap)
            if heap:
                scale = 1.0 if measured else self._expected.per_cost
                rank = (heap[0][0] * scale, heap[0][1])
                if best is None or rank < best:
                    best, found = rank, heap
        return found


def _is_current(line: _Line, item: _Item) -> bool:
    entry = line.members.get(item[3])
    return entry is not None and (entry.order, entry.version) == (item[1], item[2])
