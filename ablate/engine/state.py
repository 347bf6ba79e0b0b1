"""What happens next: events in, actions out. No clock, no file, no process; time arrives in the events.

`EngineState.handle` is the only way in. It moves replicates and slots along the literal tables, and returns what is to
be done; whoever does it (`ablate.engine.loop`) answers with further events. The same events always give the same
actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ablate.engine import moves
from ablate.engine.moves import Action, Event, Key, Planned
from ablate.engine.placing import Expectation, Stages, Waiting, choose_batch, choose_lone, same_recipes
from ablate.engine.policy import Policy, failure_place
from ablate.engine.tables import (
    REPLICATE_TRANSITIONS,
    SLOT_TRANSITIONS,
    InvalidTransition,
    ReplicateState,
    SlotState,
    Tracked,
)
from ablate.outcome import Outcome, OutcomeKind


class _Replicate(Tracked[ReplicateState]):
    """A replicate on its way through the run."""

    def __init__(self, planned: Planned, copies: tuple[Key, ...]) -> None:
        super().__init__(f"{planned.key[0]} seed {planned.key[1]}", ReplicateState.WAITING, REPLICATE_TRANSITIONS)
        self.planned = planned
        self.copies = copies
        self.slot: int | None = None
        self.retried: dict[OutcomeKind, int] = {}


class _Slot(Tracked[SlotState]):
    """A slot and the worker on it."""

    def __init__(self, index: int, group: str) -> None:
        super().__init__(f"slot {index}", SlotState.DOWN, SLOT_TRANSITIONS)
        self.index = index
        self.group = group
        self.batch: tuple[Key, ...] = ()
        self.seen_at = 0.0
        self.failed_starts = 0
        self.killed: str | None = None
        self.spent = False
        self.lone = False


class EngineState:
    """The state of one run."""

    def __init__(self, planned: Sequence[Planned], slots: Sequence[str], policy: Policy) -> None:
        """Take what is to be run, in order of the plan, and the group (shared memory) of each slot."""
        copies = same_recipes(planned)
        followers = {key for some in copies.values() for key in some}
        self.policy = policy
        self.halted: str | None = None
        """Why nothing more is placed; None while the run goes on."""
        self.stopping = False
        """True when running trials were asked to save and stop."""
        self.ended = False
        self._replicates = {one.key: _Replicate(one, copies.get(one.key, ())) for one in planned}
        self._slots = [_Slot(index, group) for index, group in enumerate(slots)]
        self._waiting = Waiting()
        for one in planned:
            if one.key not in followers:
                self._waiting.add(one)
        self._stages = Stages()
        self._expected = Expectation()
        self._lone: set[Key] = set()
        self._limits: dict[Key, int] = {}
        self._failures: list[str] = []
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
        return tuple(slot.state for slot in self._slots)

    def batch_on(self, slot: int) -> tuple[Key, ...]:
        """Return the replicates of the slot's batch that have no outcome yet."""
        return tuple(key for key in self._slots[slot].batch if self._replicates[key].slot == slot)

    def waiting(self) -> tuple[Planned, ...]:
        """Return what waits to be placed, in order; copies of a recipe are not counted."""
        return tuple(self._waiting)

    def expected_s(self, planned: Planned) -> float:
        """Return the expected seconds of a replicate."""
        return self._expected.of(planned)

    def story(self, key: Key) -> tuple[str, ...]:
        """Return how a replicate got where it is, one line per move."""
        return tuple(self._replicates[key].story)

    def next_deadline(self) -> float | None:
        """Return the time at which `TimePassed` would change something, None when there is no such time."""
        deadlines = [slot.seen_at + self.policy.stall_s for slot in self._slots if _is_watched(slot)]
        if self._stop_by is not None and any(_has_worker(slot) and not slot.killed for slot in self._slots):
            deadlines.append(self._stop_by)
        if self.policy.budget_s is not None and self._began_at is not None and self.halted is None and self._waiting:
            deadlines.append(self._began_at + self.policy.budget_s)
        return min(deadlines, default=None)

    # ------------------------------------------------------------------ events

    def handle(self, event: Event) -> list[Action]:
        """Take one event; return what is to be done about it. Raises InvalidTransition on what cannot happen."""
        if self._began_at is None:
            self._began_at = event.at
        actions = list(_HANDLERS[type(event)](self, event))
        return [*actions, *self._advance(event.at)]

    def _run_began(self, event: moves.RunBegan) -> Iterable[Action]:
        return ()

    def _worker_ready(self, event: moves.WorkerReady) -> Iterable[Action]:
        slot = self._slots[event.slot]
        slot.move(SlotState.IDLE, event.at, start=SlotState.STARTING)
        slot.failed_starts = 0
        return ()

    def _worker_died(self, event: moves.WorkerDied) -> Iterable[Action]:
        slot = self._slots[event.slot]
        reason = slot.killed or event.reason
        if slot.state is SlotState.STARTING and not slot.killed:
            slot.failed_starts += 1
        actions = self._end_batch(slot, event.at, reason)
        slot.move(SlotState.DOWN, event.at, reason)
        slot.killed, slot.spent = None, False
        return actions

    def _progress_made(self, event: moves.ProgressMade) -> Iterable[Action]:
        slot = self._slots[event.slot]
        replicate = self._running_on(event.slot, event.key)
        slot.seen_at = event.at
        if event.stage is not None:
            self._stages.entered(replicate.planned, event.stage)
        return ()

    def _outcome_arrived(self, event: moves.OutcomeArrived) -> Iterable[Action]:
        replicate = self._running_on(event.slot, event.key)
        self._slots[event.slot].seen_at = event.at
        return self._conclude(replicate, event.outcome, event.at)

    def _batch_ended(self, event: moves.BatchEnded) -> Iterable[Action]:
        slot = self._slots[event.slot]
        actions = self._end_batch(slot, event.at, "the worker ended its batch without an outcome")
        slot.move(SlotState.IDLE, event.at, start=SlotState.BUSY)
        slot.spent = event.spent
        return actions

    def _stop_requested(self, event: moves.StopRequested) -> Iterable[Action]:
        first = not self.stopping
        self.halted = self.halted or event.reason
        self.stopping = True
        if first:
            self._stop_by = event.at + self.policy.stop_s
        if first or event.force:
            yield moves.AnnounceStop(event.reason, saving=True, killing=event.force)
        if event.force:
            yield from self._kill((slot for slot in self._slots if _has_worker(slot)), event.reason)
        elif first:
            yield from (moves.AskToStop(slot.index) for slot in self._slots if slot.state is SlotState.BUSY)

    def _time_passed(self, event: moves.TimePassed) -> Iterable[Action]:
        stall_s, budget_s = self.policy.stall_s, self.policy.budget_s
        stalled = [slot for slot in self._slots if _is_watched(slot) and event.at - slot.seen_at >= stall_s]
        yield from self._kill(stalled, f"no sign of life for {stall_s:g} s")
        if self._stop_by is not None and event.at >= self._stop_by:
            late = [slot for slot in self._slots if _has_worker(slot)]
            yield from self._kill(late, f"did not stop within {self.policy.stop_s:g} s")
        spent = budget_s is not None and self._began_at is not None and event.at - self._began_at >= budget_s
        if spent and self.halted is None and self._waiting:
            yield self._halt(f"the budget of {budget_s:g} s is used up")

    # ------------------------------------------------------------------ outcomes

    def _running_on(self, slot: int, key: Key) -> _Replicate:
        """The running replicate `key` of `slot`; anything else cannot have news."""
        replicate = self._replicates[key]
        if replicate.slot != slot:
            raise InvalidTransition(replicate.who, replicate.state, f"news from slot {slot}", replicate.story)
        return replicate

    def _end_batch(self, slot: _Slot, at: float, reason: str) -> list[Action]:
        """Give what is left of a slot's batch an outcome: nothing else will."""
        kind = OutcomeKind.STOPPED if self.stopping else OutcomeKind.LOST
        actions: list[Action] = []
        for key in self.batch_on(slot.index):
            replicate = self._replicates[key]
            outcome = Outcome(kind=kind, recipe_digest=replicate.planned.digest, error=reason)
            actions.extend(self._conclude(replicate, outcome, at))
        slot.batch, slot.lone = (), False
        return actions

    def _conclude(self, replicate: _Replicate, outcome: Outcome, at: float) -> list[Action]:
        """End the running attempt of `replicate`, for good or until its retry."""
        planned, kind = replicate.planned, outcome.kind
        together = 1 if replicate.slot is None else len(self._slots[replicate.slot].batch)
        self._stages.end(planned, result=kind.is_result)
        self._expected.learn(planned, outcome)
        replicate.slot = None
        if self._may_retry(replicate, kind, together):
            return [self._retry(replicate, outcome, together, at)]
        replicate.move(ReplicateState(kind.value), at, outcome.error or "")
        copies = replicate.copies if kind is not OutcomeKind.STOPPED else ()
        for key in copies:
            self._replicates[key].move(ReplicateState(kind.value), at, f"as {replicate.who}")
        return [moves.RecordOutcome(planned.key, outcome, copies), *self._count_failure(outcome)]

    def _may_retry(self, replicate: _Replicate, kind: OutcomeKind, together: int) -> bool:
        """True when this outcome need not stand."""
        if self.halted is not None or kind not in self.policy.retries:
            return False
        if kind is OutcomeKind.OUT_OF_MEMORY and together > 1:
            return True
        return replicate.retried.get(kind, 0) < self.policy.retries[kind]

    def _retry(self, replicate: _Replicate, outcome: Outcome, together: int, at: float) -> Action:
        """Let `replicate` wait for another attempt: after out of memory in half the batch, in the end alone."""
        kind, key = outcome.kind, replicate.planned.key
        if kind is OutcomeKind.OUT_OF_MEMORY and together > 1:
            self._limits[key] = together // 2
        else:
            replicate.retried[kind] = replicate.retried.get(kind, 0) + 1
            if kind is OutcomeKind.OUT_OF_MEMORY:
                self._lone.add(key)
        replicate.move(ReplicateState.WAITING, at, f"{kind}: {outcome.error or ''}")
        self._waiting.add(replicate.planned)
        granted = self.policy.retries[kind]
        return moves.RecordOutcome(key, outcome, (), retry=max(1, replicate.retried.get(kind, 0)), retries=granted)

    def _count_failure(self, outcome: Outcome) -> Iterable[Action]:
        """Halt when the same failure ended too many replicates in a row."""
        if outcome.kind is not OutcomeKind.FAILED:
            self._failures.clear()
            return
        self._failures.append(failure_place(outcome))
        latest = self._failures[-self.policy.same_failures :]
        if len(latest) == self.policy.same_failures and len(set(latest)) == 1 and self.halted is None:
            yield self._halt(f"{len(latest)} trials in a row failed alike: {outcome.error}")

    # ------------------------------------------------------------------ what follows from where everything is

    def _halt(self, reason: str) -> Action:
        self.halted = reason
        return moves.AnnounceStop(reason, saving=self.stopping)

    def _kill(self, slots: Iterable[_Slot], reason: str) -> Iterable[Action]:
        for slot in slots:
            if slot.killed is None:
                slot.killed = reason
                yield moves.KillWorker(slot.index, reason)

    def _advance(self, at: float) -> list[Action]:
        """Place what can be placed, start and end workers as the work demands, and end the run when it is over."""
        actions: list[Action] = []
        for slot in self._slots:
            if slot.state is SlotState.IDLE and slot.spent:
                actions.append(self._let_leave(slot, at))
            elif slot.state is SlotState.IDLE and (batch := self._choose(slot)):
                actions.append(self._place(slot, batch, at))
        actions.extend(self._staff(at))
        if all(slot.state is SlotState.CLOSED for slot in self._slots) and not self.ended:
            self.ended = True
            if self._waiting and self.halted is None:
                self.halted = "no worker can be started"
            actions.append(moves.EndRun(self.halted))
        return actions

    def _choose(self, slot: _Slot) -> tuple[Planned, ...]:
        """Return the next batch for an idle slot."""
        if self.halted is not None or not self._waiting:
            return ()
        beside = [other for other in self._slots if other.group == slot.group and other.state is SlotState.BUSY]
        if any(other.lone for other in beside):
            return ()
        batch = choose_batch(
            self._waiting, self._stages, self._expected, lone=self._lone, limits=self._limits, limit=self.policy.batch
        )
        return batch or (choose_lone(self._waiting, self._lone) if not beside else ())

    def _place(self, slot: _Slot, batch: tuple[Planned, ...], at: float) -> Action:
        slot.move(SlotState.BUSY, at)
        slot.batch = tuple(planned.key for planned in batch)
        slot.lone = slot.batch[0] in self._lone
        slot.seen_at = at
        for planned in batch:
            replicate = self._replicates[planned.key]
            replicate.move(ReplicateState.RUNNING, at, slot.who)
            replicate.slot = slot.index
            self._waiting.remove(planned)
            self._stages.begin(planned)
        return moves.PlaceBatch(slot.index, slot.batch)

    def _let_leave(self, slot: _Slot, at: float) -> Action:
        slot.move(SlotState.LEAVING, at)
        slot.seen_at = at
        return moves.LetLeave(slot.index)

    def _staff(self, at: float) -> Iterable[Action]:
        """Start workers while work waits for them; let them go when none will come."""
        work = len(self._waiting) if self.halted is None else 0
        staffed = sum(slot.state in (SlotState.IDLE, SlotState.STARTING) for slot in self._slots)
        busy = any(slot.state is SlotState.BUSY for slot in self._slots)
        for slot in self._slots:
            given_up = slot.failed_starts >= self.policy.failed_starts
            if slot.state is SlotState.DOWN and work > staffed and not given_up:
                slot.move(SlotState.STARTING, at)
                slot.seen_at = at
                staffed += 1
                yield moves.StartWorker(slot.index)
            elif slot.state is SlotState.DOWN and (given_up or (not work and (not busy or self.halted is not None))):
                slot.move(SlotState.CLOSED, at)
            elif slot.state is SlotState.IDLE and not work and (not busy or self.halted is not None):
                yield self._let_leave(slot, at)


def _has_worker(slot: _Slot) -> bool:
    return slot.state not in (SlotState.DOWN, SlotState.CLOSED)


def _is_watched(slot: _Slot) -> bool:
    """True for workers that must give signs of life."""
    return slot.state in (SlotState.STARTING, SlotState.BUSY, SlotState.LEAVING) and slot.killed is None


_HANDLERS: Mapping[type[Event], Callable[..., Iterable[Action]]] = {
    moves.RunBegan: EngineState._run_began,
    moves.WorkerReady: EngineState._worker_ready,
    moves.WorkerDied: EngineState._worker_died,
    moves.ProgressMade: EngineState._progress_made,
    moves.OutcomeArrived: EngineState._outcome_arrived,
    moves.BatchEnded: EngineState._batch_ended,
    moves.StopRequested: EngineState._stop_requested,
    moves.TimePassed: EngineState._time_passed,
}
