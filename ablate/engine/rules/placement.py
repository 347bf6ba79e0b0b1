"""Which batch goes to an idle slot: a pure rule over what waits, what runs, and what has been learned."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.engine.rules.durations import Expectation
from ablate.engine.rules.events_actions import Key, Planned
from ablate.engine.rules.memory import Device, Footprints, Room
from ablate.engine.rules.queue import Fit, Waiting
from ablate.engine.rules.shared_stages import Stages
from ablate.engine.rules.throughput import Paces
from ablate.outcome import Outcome


@dataclass
class _Mark:
    """Where a running replicate was when it was last heard of, while as many ran beside it as do now."""

    at: float
    stage: str
    done: int


class Placer:
    """What waits, what runs where, and what fits beside it."""

    def __init__(self, groups: Sequence[str], devices: Mapping[str, Device], *, batch: int) -> None:
        """Take the group of every slot, what is known of the devices of groups, and the largest batch."""
        self._rooms = {group: Room(devices.get(group), slots) for group, slots in Counter(groups).items()}
        self._room_of = [self._rooms[group] for group in groups]
        self._memory_mb = max((room.memory_mb for room in self._rooms.values()), default=math.inf)
        self._largest_mb = self._memory_mb
        self._batch = batch
        self._limits: dict[Key, int] = {}
        self._lone: set[Key] = set()
        self._marks: dict[Key, _Mark] = {}
        self._running: dict[int, dict[Key, None]] = {}
        self.stages = Stages()
        self.expected = Expectation()
        self.footprints = Footprints()
        self.paces = Paces()
        self.waiting = Waiting(self.stages, self.expected)

    # ------------------------------------------------------------------ choosing

    def choose(self, slot: int, among: int = 1) -> tuple[Planned, ...]:
        """Return the next batch for an idle slot, empty when nothing that waits had better run there now.

        The batch is an even share between `among` slots that are free.
        """
        room = self._room_of[slot]
        first = None if room.taken else self.waiting.first(lambda planned: self._fit(planned, room, 1))
        if first is None:
            return ()
        batch = self.waiting.mates(first, self._most, among)
        while len(batch) > 1 and self._fit(first, room, len(batch)) is not Fit.NOW:
            batch = batch[: len(batch) // 2]
        return batch

    def worth(self, group: str) -> int:
        """Return how many slots of a group can have a batch at the same time, as far as is known."""
        room = self._rooms[group]
        fits = room.worth(self.footprints.smallest_mb())
        return min(fits, self.paces.widest(room.device.kind)) if room.device is not None and room.device.paced else fits

    def together(self, slot: int) -> int:
        """Return how many batches run on the slot's device."""
        return self._room_of[slot].busy

    def beside(self, slot: int) -> tuple[int, ...]:
        """Return the slots with a batch on the slot's device, without itself."""
        return tuple(other for other in self._room_of[slot].footprints if other != slot)

    def _need_mb(self, planned: Planned, recipes: int) -> float | None:
        return math.inf if planned.key in self._lone else self.footprints.need_mb(planned.footprint, recipes)

    def _fit(self, planned: Planned, room: Room, recipes: int) -> Fit:
        need_mb = self._need_mb(planned, recipes)
        verdict = room.fit(need_mb, self.footprints.beyond_mb(planned.footprint), self._largest_mb)
        return Fit.LATER if verdict is Fit.NOW and self._is_too_many(planned, room) else verdict

    def _is_too_many(self, planned: Planned, room: Room) -> bool:
        """True when one more trial on the device would not get more work done, by the paces of those concerned."""
        if room.device is None or not room.device.paced or not room.busy:
            return False
        concerned = {planned.footprint, *room.footprints.values()}
        return any(room.busy >= self.paces.allowed(room.device.kind, footprint) for footprint in concerned)

    def _most(self, planned: Planned) -> int:
        """The largest batch that `planned` may be part of."""
        alone = planned.key in self._lone or self.footprints.needs_all(planned.footprint)
        return 1 if alone else self._limits.get(planned.key, self._batch)

    # ------------------------------------------------------------------ what happened

    def began(self, slot: int, batch: Sequence[Planned]) -> None:
        """A batch was placed."""
        first, room = batch[0], self._room_of[slot]
        room.take(slot, first.footprint, self._need_mb(first, len(batch)))
        self._running[slot] = {}
        for planned in batch:
            self.waiting.remove(planned)
            self.stages.begin(planned)
            self._running[slot][planned.key] = None
        self._company_changed(slot)

    def progressed(self, slot: int, planned: Planned, stage: str | None, done: int | None, at: float) -> None:
        """A replicate is in `stage`, and has done so many units of it."""
        if stage is None:
            return
        self.stages.entered(planned, stage)
        device = self._room_of[slot].device
        if device is None or not device.paced or done is None:
            return
        mark = self._marks.get(planned.key)
        self._marks[planned.key] = _Mark(at, stage, done)
        if mark is not None and mark.stage == stage and done > mark.done and at > mark.at:
            together = self.together(slot)
            self.paces.note(device.kind, planned.footprint, stage, together, done - mark.done, at - mark.at)

    def concluded(self, planned: Planned, outcome: Outcome) -> None:
        """A replicate has left its slot with an outcome."""
        self.stages.end(planned, result=outcome.kind.is_result)
        self._marks.pop(planned.key, None)
        if self.expected.learn(planned, outcome):
            self.waiting.expected_anew(planned.key[0])

    def ended(self, slot: int) -> None:
        """The batch of a slot is over."""
        self._room_of[slot].release(slot)
        self._running.pop(slot, None)
        self._company_changed(slot)

    def measured(self, planned: Planned, recipes: int, peak_mb: float) -> None:
        """A batch of `recipes`, with `planned` in it, got through with this peak of memory."""
        self.footprints.learn(planned.footprint, recipes, peak_mb)

    def ran_out(self, slot: int, planned: Planned, recipes: int, *, company: bool) -> bool:
        """Memory ran out. Return whether another attempt, in a smaller batch or with more room, makes sense."""
        room, footprint = self._room_of[slot], planned.footprint
        if recipes > 1:
            self._limits[planned.key] = recipes // 2
            return True
        need_mb = self.footprints.need_mb(footprint, 1)
        if company:
            room.ran_out()
            self._largest_mb = max(room.capacity_mb for room in self._rooms.values())
            self.footprints.ran_out_beside_others(footprint)
        elif need_mb is None or math.isinf(need_mb) or need_mb > room.capacity_mb:
            self.footprints.ran_out_alone(footprint, room.memory_mb, self._memory_mb)
            return not self.fits_nowhere(planned)
        # Others of this footprint got through on such a device, or nobody knows: once more, with nothing beside it.
        self._lone.add(planned.key)
        return True

    def fits_nowhere(self, planned: Planned) -> bool:
        """True when one like `planned` ran out of memory alone on the largest device."""
        return self.footprints.beyond_mb(planned.footprint) >= self._memory_mb

    def _company_changed(self, slot: int) -> None:
        """How many run on a device has changed: paces are measured anew from here."""
        room = self._room_of[slot]
        if room.device is not None and room.device.paced:
            for other in room.footprints:
                for key in self._running.get(other, ()):
                    self._marks.pop(key, None)


def same_recipes(planned: Sequence[Planned]) -> dict[Key, tuple[Key, ...]]:
    """Return leader -> copies: of the replicates with one digest the first is run, the others get its outcome."""
    leaders: dict[str, Key] = {}
    copies: dict[Key, tuple[Key, ...]] = {}
    for one in planned:
        leader = leaders.setdefault(one.digest, one.key)
        copies[leader] = (*copies[leader], one.key) if leader != one.key else ()
    return copies
