"""What happens next: events in, actions out. No clock, no file, no process; time arrives in the events.

`EngineState.handle` is the only way in. It moves replicates and slots along the literal tables, and returns what is to
be done; whoever does it (`ablate.engine.loop`) answers with further events. The same events always give the same
actions. Handling an event takes time that grows with the logarithm of what waits, not with what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from ablate.engine.rules import events_actions
from ablate.engine.rules.events_actions import Action, Event, Key, Planned
from ablate.engine.rules.limits import Policy, SameFailures
from ablate.engine.rules.memory import Device
from ablate.engine.rules.placement import Placer, same_recipes
from ablate.engine.rules.tracked import ReplicateRecord, SlotRecord, TrackedRecords
from ablate.engine.rules.transitions import InvalidTransition, ReplicateState, SlotState
from ablate.outcome import Outcome, OutcomeKind


class EngineState:
    """The state of one run."""

    def __init__(
        self,
        planned: Sequence[Planned],
        slots: Sequence[str],
        policy: Policy,
        devices: Mapping[str, Device] = MappingProxyType({}),
    ) -> None:
        """Take what is to be run in order of the plan, the group of each slot, and the devices behind groups.

        Slots of one group share one device; a group without a known device is not limited in memory.
        """
        copies = same_recipes(planned)
        followers = {key for some in copies.values() for key in some}
        self.policy = policy
        self.halted: str | None = None
        """Why nothing more is placed; None while the run goes on."""
        self.stopping = False
        """True when running trials were asked to save and stop."""
        self.ended = False
        self._replicates = {one.key: ReplicateRecord(one, copies.get(one.key, ())) for one in planned}
        self._roster = TrackedRecords(slots, policy.stall_s)
        self._placer = Placer(slots, devices, batch=policy.batch)
        self._waiting = self._placer.waiting
        for one in planned:
            if one.key not in followers:
                self._waiting.add(one)
        self._failures = SameFailures(policy.same_failures)
        self._began_at: float | None = None
        self._stop_by: float | None = None

    # ------------------------------------------------------------------ what others may look at

    @property
    def states(self) -> dict[Key, ReplicateState]:
        """Where every replicate is."""
        return {key: replicate.state for key, replicate in self._replicates.items()}

    @property
    def slots(self) -> tuple[SlotState, ...]:
        """Where every slot is."""
        return tuple(slot.state for slot in self._roster.records)

    @property
    def places(self) -> int:
        """How many batches can run at the same time, as far as is known."""
        groups = {slot.group for slot in self._roster.records}
        return sum(self._placer.worth(group) for group in groups)

    def batch_on(self, slot: int) -> tuple[Key, ...]:
        """Return the replicates of the slot's batch that have no outcome yet."""
        return tuple(key for key in self._roster[slot].batch if self._replicates[key].slot == slot)

    def waiting(self) -> tuple[Planned, ...]:
        """Return what waits to be placed, in order; copies of a recipe are not counted."""
        return tuple(self._waiting)

    def story(self, key: Key) -> tuple[str, ...]:
        """Return how a replicate got where it is, one line per move."""
        return tuple(self._replicates[key].story)

    def next_deadline(self) -> float | None:
        """Return the time at which `TimePassed` would change something, None when there is no such time."""
        deadlines = [self._roster.next_silence()]
        if self._stop_by is not None and any(not slot.killed for slot in self._roster.with_worker()):
            deadlines.append(self._stop_by)
        if self.policy.budget_s is not None and self._began_at is not None and self.halted is None and self._waiting:
            deadlines.append(self._began_at + self.policy.budget_s)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # ------------------------------------------------------------------ events

    def handle(self, event: Event) -> list[Action]:
        """Take one event; return what is to be done about it. Raises InvalidTransition on what cannot happen."""
        if self._began_at is None:
            self._began_at = event.at
        actions = list(_HANDLERS[type(event)](self, event))
        return [*actions, *self._advance(event.at)]

    def _run_began(self, event: events_actions.RunBegan) -> Iterable[Action]:
        return ()

    def _worker_ready(self, event: events_actions.WorkerReady) -> Iterable[Action]:
        slot = self._roster[event.slot]
        slot.move(SlotState.IDLE, event.at, start=SlotState.STARTING)
        slot.failed_starts = 0
        return [self._let_leave(slot, event.at)] if slot.withdrawn else ()

    def _worker_queued(self, event: events_actions.WorkerQueued | events_actions.WorkerBegun) -> Iterable[Action]:
        begun = isinstance(event, events_actions.WorkerBegun)
        self._roster[event.slot].move(SlotState.STARTING if begun else SlotState.QUEUED, event.at)
        return ()

    def _place_withdrawn(self, event: events_actions.PlaceWithdrawn) -> Iterable[Action]:
        slot = self._roster[event.slot]
        slot.withdrawn = slot.has_worker
        return [self._let_leave(slot, event.at)] if slot.state is SlotState.IDLE else ()

    def _worker_died(self, event: events_actions.WorkerDied) -> Iterable[Action]:
        slot = self._roster[event.slot]
        slot.evicted, slot.withdrawn = event.evicted, False
        reason = slot.killed or event.reason
        if slot.state in (SlotState.STARTING, SlotState.QUEUED) and not slot.killed:
            slot.failed_starts += 1
        kind = OutcomeKind.OUT_OF_MEMORY if event.out_of_memory and not slot.killed else OutcomeKind.LOST
        actions = self._end_batch(slot, event.at, kind, reason)
        slot.move(SlotState.DOWN, event.at, reason)
        slot.killed = None
        if slot.failed_starts >= self.policy.failed_starts:
            slot.move(SlotState.CLOSED, event.at)
        return actions

    def _progress_made(self, event: events_actions.ProgressMade) -> Iterable[Action]:
        slot = self._roster[event.slot]
        replicate = self._running_on(event.slot, event.key)
        slot.seen_at = event.at
        replicate.progressed(event.stage, event.done)
        self._placer.progressed(event.slot, replicate.planned, event.stage, event.done, event.at)
        return ()

    def _outcome_arrived(self, event: events_actions.OutcomeArrived) -> Iterable[Action]:
        replicate = self._running_on(event.slot, event.key)
        self._roster[event.slot].seen_at = event.at
        return self._conclude(replicate, event.outcome, event.at)

    def _batch_ended(self, event: events_actions.BatchEnded) -> Iterable[Action]:
        slot = self._roster[event.slot]
        batch, through = slot.batch, slot.results == len(slot.batch)
        yield from self._end_batch(slot, event.at, OutcomeKind.LOST, "the worker ended its batch without an outcome")
        slot.move(SlotState.IDLE, event.at, start=SlotState.BUSY)
        if through and event.peak_mb is not None:
            self._placer.measured(self._replicates[batch[0]].planned, len(batch), event.peak_mb)
        if event.spent or slot.withdrawn:
            yield self._let_leave(slot, event.at)

    def _stop_requested(self, event: events_actions.StopRequested) -> Iterable[Action]:
        first = not self.stopping
        self.halted = self.halted or event.reason
        self.stopping = True
        if first:
            self._stop_by = event.at + self.policy.stop_s
        if first or event.force:
            yield events_actions.AnnounceStop(event.reason, saving=True, killing=event.force)
        if event.force:
            yield from self._kill(self._roster.with_worker(), event.reason)
        elif first:
            yield from (events_actions.AskToStop(slot.index) for slot in self._roster.those(SlotState.BUSY))

    def _time_passed(self, event: events_actions.TimePassed) -> Iterable[Action]:
        budget_s = self.policy.budget_s
        yield from self._kill(self._roster.silent(event.at), f"no sign of life for {self.policy.stall_s:g} s")
        if self._stop_by is not None and event.at >= self._stop_by:
            yield from self._kill(self._roster.with_worker(), f"did not stop within {self.policy.stop_s:g} s")
        spent = budget_s is not None and self._began_at is not None and event.at - self._began_at >= budget_s
        if spent and self.halted is None and self._waiting:
            yield self._halt(f"the budget of {budget_s:g} s is spent")

    # ------------------------------------------------------------------ outcomes

    def _running_on(self, slot: int, key: Key) -> ReplicateRecord:
        """The running replicate `key` of `slot`; anything else cannot have news."""
        replicate = self._replicates[key]
        if replicate.slot != slot:
            raise InvalidTransition(replicate.who, replicate.state, f"news from slot {slot}", replicate.story)
        return replicate

    def _end_batch(self, slot: SlotRecord, at: float, kind: OutcomeKind, reason: str) -> list[Action]:
        """Give what is left of a slot's batch an outcome: nothing else will."""
        kind = OutcomeKind.STOPPED if self.stopping else kind
        actions: list[Action] = []
        for key in self.batch_on(slot.index):
            replicate = self._replicates[key]
            outcome = Outcome(kind=kind, recipe_digest=replicate.planned.digest, error=reason)
            actions.extend(self._conclude(replicate, outcome, at))
        if slot.batch:
            self._placer.ended(slot.index)
        slot.batch = ()
        return actions

    def _conclude(self, replicate: ReplicateRecord, outcome: Outcome, at: float) -> list[Action]:
        """End the running attempt of `replicate`, for good or until its retry."""
        planned, kind = replicate.planned, outcome.kind
        assert replicate.slot is not None
        slot = self._roster[replicate.slot]
        replicate.slot = None
        slot.results += kind.is_result
        self._placer.concluded(planned, outcome)
        if (retry := self._take_retry(replicate, kind, slot)) is not None:
            return [self._retry(replicate, outcome, retry, at)]
        replicate.move(ReplicateState(kind.value), at, outcome.error or "")
        copies = replicate.copies if kind is not OutcomeKind.STOPPED else ()
        for key in copies:
            self._replicates[key].move(ReplicateState(kind.value), at, f"as {replicate.who}")
        if kind is OutcomeKind.OUT_OF_MEMORY and self._placer.fits_nowhere(planned):
            copies += self._give_up_others(replicate, at)
        return [events_actions.RecordOutcome(planned.key, outcome, copies), *self._count_failure(planned, outcome, at)]

    def _take_retry(self, replicate: ReplicateRecord, kind: OutcomeKind, slot: SlotRecord) -> int | None:
        """Return the number of the retry that follows, 0 if it uses none, None if the outcome is final.

        In every case the placer learns from an out-of-memory outcome.
        """
        if kind is OutcomeKind.OUT_OF_MEMORY:
            recipes, company = len(slot.batch), slot.together > 1
            if not self._placer.ran_out(slot.index, replicate.planned, recipes, company=company):
                return None
            if recipes > 1:  # the batch was too large: that costs its recipes no retry
                return 0 if self.halted is None else None
        granted = self.policy.retries.get(kind, 0)
        return replicate.take_retry(kind, granted, evicted=slot.evicted) if self.halted is None else None

    def _retry(self, replicate: ReplicateRecord, outcome: Outcome, retry: int, at: float) -> Action:
        """Let `replicate` wait for another attempt."""
        kind, key = outcome.kind, replicate.planned.key
        replicate.move(ReplicateState.WAITING, at, f"{kind}: {outcome.error or ''}")
        self._waiting.add(replicate.planned)
        return events_actions.RecordOutcome(key, outcome, (), retry=retry, retries=self.policy.retries.get(kind, 0))

    def _give_up_others(self, replicate: ReplicateRecord, at: float) -> tuple[Key, ...]:
        """End what waits and needs as much memory as `replicate`, for which no device is large enough."""
        given_up: list[Key] = []
        for planned in self._waiting.with_footprint(replicate.planned.footprint):
            self._waiting.remove(planned)
            for key in (planned.key, *self._replicates[planned.key].copies):
                self._replicates[key].move(ReplicateState.OUT_OF_MEMORY, at, f"needs as much memory as {replicate.who}")
                given_up.append(key)
        return tuple(given_up)

    def _count_failure(self, planned: Planned, outcome: Outcome, at: float) -> Iterable[Action]:
        """Let an arm that failed go last, and halt when the same failure ended too many arms in a row."""
        kind = outcome.kind
        if kind is OutcomeKind.FAILED:
            self._waiting.put_last(planned.key[0])
        others = {one.key[0] for one in self._waiting} if kind is OutcomeKind.FAILED else ()
        alike = self._failures.too_many(planned.key[0], outcome, others)
        if self.halted is not None:
            return
        if self.policy.fail_fast and kind in (OutcomeKind.FAILED, OutcomeKind.LOST, OutcomeKind.OUT_OF_MEMORY):
            reason = f"{planned.key[0]} s{planned.key[1]} ended as {kind.value}: {outcome.error or ''}"
            yield from self._stop_requested(events_actions.StopRequested(at, reason))
        elif alike:
            yield self._halt(f"{self.policy.same_failures} trials in a row failed in the same way: {outcome.error}")

    # ------------------------------------------------------------------ what follows from where everything is

    def _halt(self, reason: str) -> Action:
        self.halted = reason
        return events_actions.AnnounceStop(reason, saving=self.stopping)

    def _kill(self, slots: Iterable[SlotRecord], reason: str) -> Iterable[Action]:
        for slot in slots:
            if slot.killed is None:
                slot.killed = reason
                yield events_actions.KillWorker(slot.index, reason)

    def _advance(self, at: float) -> list[Action]:
        """Place what can be placed, start and end workers as the work demands, and end the run when it is over."""
        actions: list[Action] = [*self._place_what_fits(at), *self._staff(at)]
        moving = self._roster.count(SlotState.QUEUED, SlotState.STARTING, SlotState.BUSY, SlotState.LEAVING)
        if self._waiting and self.halted is None and not moving and self._roster.count(SlotState.IDLE):
            actions.extend(self._look_elsewhere(at))
        if self._roster.count(SlotState.CLOSED) == len(self._roster) and not self.ended:
            self.ended = True
            if self._waiting and self.halted is None:
                self.halted = "no worker can be started"
            actions.append(events_actions.EndRun(self.halted))
        return actions

    def _place_what_fits(self, at: float) -> Iterable[Action]:
        """Give idle slots their next batches; where one slot of a group gets nothing, the others get nothing."""
        full: set[str] = set()
        for slot in self._roster.those(SlotState.IDLE) if self.halted is None and self._waiting else ():
            if self._waiting.all_blocked():
                return
            if slot.group not in full:
                batch = self._placer.choose(slot.index, self._roster.free if self.policy.spread else 1)
                if batch:
                    yield from self._place(slot, batch, at)
                else:
                    full.add(slot.group)

    def _place(self, slot: SlotRecord, batch: tuple[Planned, ...], at: float) -> Iterable[Action]:
        slot.move(SlotState.BUSY, at)
        slot.batch = tuple(planned.key for planned in batch)
        slot.results = 0
        for planned in batch:
            replicate = self._replicates[planned.key]
            replicate.move(ReplicateState.RUNNING, at, slot.who)
            replicate.slot = slot.index
            replicate.advanced = False
        self._placer.began(slot.index, batch)
        slot.together = self._placer.together(slot.index)
        yield events_actions.PlaceBatch(slot.index, slot.batch, slot.together)
        for index in self._placer.beside(slot.index):
            other = self._roster[index]
            if other.together < slot.together:
                other.together = slot.together
                yield events_actions.TellCompany(index, slot.together)

    def _let_leave(self, slot: SlotRecord, at: float) -> Action:
        slot.move(SlotState.LEAVING, at)
        return events_actions.LetLeave(slot.index)

    def _look_elsewhere(self, at: float) -> Iterable[Action]:
        """No worker can take what waits: try the devices that have none yet; without any, the run is over."""
        untried = {slot.group: slot for slot in reversed([*self._roster.those(SlotState.DOWN)])}
        fresh = [slot for group, slot in untried.items() if not self._roster.staff(group)]
        for slot in fresh:
            slot.move(SlotState.STARTING, at)
            yield events_actions.StartWorker(slot.index)
        if not fresh:
            yield self._halt("no remaining device has enough memory for the waiting trials")
            yield from self._staff(at)

    def _staff(self, at: float) -> Iterable[Action]:
        """Start workers while work waits for them; let them go when none will come."""
        work = len(self._waiting) if self.halted is None else 0
        staffed = self._roster.count(SlotState.IDLE, SlotState.STARTING, SlotState.QUEUED)
        for slot in self._roster.those(SlotState.DOWN) if work > staffed else ():
            if work > staffed and self._roster.staff(slot.group) < self._placer.worth(slot.group):
                slot.move(SlotState.STARTING, at)
                staffed += 1
                yield events_actions.StartWorker(slot.index)
        over = self.halted is not None or not self._roster.count(SlotState.BUSY)
        for slot in self._roster.those(SlotState.DOWN) if not work and over else ():
            slot.move(SlotState.CLOSED, at)
        if not work and (over or not self.policy.keep_idle):
            yield from self._kill(self._roster.those(SlotState.QUEUED), "no work is left for it")
            yield from (self._let_leave(slot, at) for slot in self._roster.those(SlotState.IDLE))


_HANDLERS: Mapping[type[Event], Callable[..., Iterable[Action]]] = {
    events_actions.RunBegan: EngineState._run_began,
    events_actions.WorkerReady: EngineState._worker_ready,
    events_actions.WorkerQueued: EngineState._worker_queued,
    events_actions.WorkerBegun: EngineState._worker_queued,
    events_actions.PlaceWithdrawn: EngineState._place_withdrawn,
    events_actions.WorkerDied: EngineState._worker_died,
    events_actions.ProgressMade: EngineState._progress_made,
    events_actions.OutcomeArrived: EngineState._outcome_arrived,
    events_actions.BatchEnded: EngineState._batch_ended,
    events_actions.StopRequested: EngineState._stop_requested,
    events_actions.TimePassed: EngineState._time_passed,
}
