"""A run without processes: fake devices with memory and a pace, driven by the pure state machine in simulated time."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.engine.rules import events_actions
from ablate.engine.rules.events_actions import Action, Event, Key, Planned
from ablate.engine.rules.limits import Policy
from ablate.engine.rules.machine import EngineState
from ablate.engine.rules.memory import Device
from ablate.outcome import Outcome, OutcomeKind


@dataclass
class Batch:
    """What runs on a slot."""

    keys: tuple[Key, ...]
    peak_mb: float
    left_s: float
    done_s: float = 0.0
    at: float = 0.0
    pace: float = 1.0


@dataclass
class Simulation:
    """Lets every worker do what it is told. A trial whose memory does not fit beside what runs there fails at once."""

    planned: Sequence[Planned]
    groups: Sequence[str]
    devices: Mapping[str, Device] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    seconds: Callable[[Planned], float] = lambda planned: planned.cost
    peak_mb: Callable[[Planned], float] = lambda planned: 0.0
    pace: Callable[[int], float] = lambda together: 1.0
    """Pace of each of so many trials on one device; 1 is that of a trial alone."""
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    """What each device really has; by default what the engine believes."""
    beat_s: float | None = None
    """Simulated time between signs of life; None for none."""

    def __post_init__(self) -> None:
        self.state = EngineState(self.planned, self.groups, self.policy, self.devices)
        self.now = 0.0
        self.events = 0
        self.ended_at = 0.0
        self.wasted: Counter[str] = Counter()
        """Attempts that ran out of memory, by footprint."""
        self.together: Counter[Key] = Counter()
        """Most batches on the device of a replicate's last attempt."""
        self.order: list[Key] = []
        self.recorded: dict[Key, OutcomeKind] = {}
        self._by_key = {one.key: one for one in self.planned}
        self._of_group: dict[str, set[int]] = defaultdict(set)
        self._batches: dict[int, Batch] = {}
        self._ticket = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def run(self) -> Simulation:
        """Go on until the engine says that the run is over."""
        self._happen(events_actions.RunBegan(0.0))
        while not self.state.ended:
            self.now, _, act = heapq.heappop(self._agenda)
            act()
        self.ended_at = self.now
        return self

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._ticket), act))

    def _happen(self, event: Event) -> None:
        self.events += 1
        for action in self.state.handle(event):
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case events_actions.StartWorker(slot):
                self._at(self.now, lambda: self._happen(events_actions.WorkerReady(self.now, slot)))
            case events_actions.LetLeave(slot):
                self._at(self.now, lambda: self._happen(events_actions.WorkerDied(self.now, slot, "left")))
            case events_actions.PlaceBatch(slot, keys, together):
                self._place(slot, keys, together)
            case events_actions.TellCompany(slot, together):
                for key in self._batches[slot].keys if slot in self._batches else ():
                    self.together[key] = max(self.together[key], together)
            case events_actions.RecordOutcome(key, outcome, copies, retry):
                if retry is None:
                    for one in (key, *copies):
                        assert one not in self.recorded
                        self.recorded[one] = outcome.kind
            case _:
                pass

    def _place(self, slot: int, keys: tuple[Key, ...], together: int) -> None:
        group = self.groups[slot]
        peak = sum(self.peak_mb(self._by_key[key]) for key in keys)
        used = sum(self._batches[other].peak_mb for other in self._of_group[group])
        self.order += keys
        for key in keys:
            self.together[key] = together
        device = self.devices.get(group)
        real = self.memory_mb.get(group, device.memory_mb if device is not None else float("inf"))
        batch = Batch(keys, peak, sum(self.seconds(self._by_key[key]) for key in keys), at=self.now)
        self._batches[slot] = batch
        if used + peak > real:
            self.wasted.update(self._by_key[key].footprint for key in keys)
            self._at(self.now, lambda: self._end(slot, OutcomeKind.OUT_OF_MEMORY))
            return
        self._of_group[group].add(slot)
        self._company_changed(group)
        if self.beat_s is not None:
            self._at(self.now + self.beat_s, lambda: self._beat(slot, batch))

    def _company_changed(self, group: str) -> None:
        pace = self.pace(len(self._of_group[group]))
        for slot in self._of_group[group]:
            batch = self._batches[slot]
            self._catch_up(batch)
            if batch.pace != pace or batch.done_s == 0.0:
                batch.pace = pace
                self._schedule_end(slot, batch)

    def _schedule_end(self, slot: int, batch: Batch) -> None:
        due, pace = self.now + batch.left_s / batch.pace, batch.pace

        def end() -> None:
            if self._batches.get(slot) is batch and batch.pace == pace and self.now >= due:
                self._catch_up(batch)
                if batch.left_s <= 1e-6:
                    self._end(slot, OutcomeKind.MEASURED)

        self._at(due, end)

    def _catch_up(self, batch: Batch) -> None:
        did = (self.now - batch.at) * batch.pace
        batch.left_s, batch.done_s, batch.at = batch.left_s - did, batch.done_s + did, self.now

    def _beat(self, slot: int, batch: Batch) -> None:
        if self._batches.get(slot) is batch:
            self._catch_up(batch)
            done = int(batch.done_s * 1000)
            self._happen(events_actions.ProgressMade(self.now, slot, batch.keys[0], "work", done))
            assert self.beat_s is not None
            self._at(self.now + self.beat_s, lambda: self._beat(slot, batch))

    def _end(self, slot: int, kind: OutcomeKind) -> None:
        batch, group = self._batches.pop(slot), self.groups[slot]
        self._of_group[group].discard(slot)
        self._company_changed(group)
        for key in batch.keys:
            seconds = self.seconds(self._by_key[key])
            self._happen(events_actions.OutcomeArrived(self.now, slot, key, Outcome(kind, "any", seconds=seconds)))
        spent = kind is OutcomeKind.OUT_OF_MEMORY
        self._happen(events_actions.BatchEnded(self.now, slot, spent=spent, peak_mb=batch.peak_mb))
