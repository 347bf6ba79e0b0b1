"""The pure state machine: what follows from what, and what is true after every event."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.engine.rules import events_actions
from ablate.engine.rules.events_actions import Action, Event, Key, Planned
from ablate.engine.rules.limits import Policy
from ablate.engine.rules.machine import EngineState
from ablate.engine.rules.memory import Device, Footprints
from ablate.engine.rules.transitions import InvalidTransition, ReplicateState, SlotState
from ablate.interface import Stage
from ablate.outcome import Outcome, OutcomeKind
from tests.sentences import SENTENCES

A = TypeVar("A", bound=Action)


def plan(arms: int, seeds: int, *, twin: bool = False, shared: bool = False) -> list[Planned]:
    """Return a seed-major plan; with `twin` the last arm has the recipe of the first."""
    found = []
    for seed in range(seeds):
        for arm in range(arms):
            digest = f"r{0 if twin and arm == arms - 1 else arm}-{seed}"
            stages = (Stage("prior", f"p{seed}", 2.0), Stage("rest", f"{digest}", 1.0 + arm)) if shared else ()
            found.append(Planned((f"a{arm}", seed), digest, "same", stages))
    return found


def outcome(kind: OutcomeKind, *, error: str | None = None, traceback: str | None = None) -> Outcome:
    return Outcome(kind, "any", error=error, traceback=traceback)


class World:
    """A world that answers actions the way workers do, and keeps time."""

    def __init__(
        self,
        planned: Sequence[Planned],
        groups: Sequence[str] = ("cpu", "cpu"),
        devices: Mapping[str, Device] = MappingProxyType({}),
        **policy: object,
    ) -> None:
        self.planned = list(planned)
        self.groups, self.devices = groups, devices
        self.state = EngineState(planned, groups, Policy(**policy), devices)  # type: ignore[arg-type]  # names checked there
        self.footprints = Footprints()
        self.copied = 0
        self.now = 0.0
        self.actions: list[Action] = []
        self.alive: dict[int, str] = {}
        self.final: dict[Key, ReplicateState] = {}
        self.attempts: dict[Key, int] = {}
        self.recorded: dict[Key, int] = {}
        self.begin = self.take(events_actions.RunBegan(0.0))

    def take(self, event: Event) -> list[Action]:
        """Let an event happen, check every invariant, and start what the state wants started."""
        actions = self.state.handle(event)
        self.actions += actions
        for action in actions:
            if isinstance(action, events_actions.StartWorker):
                assert action.slot not in self.alive
                self.alive[action.slot] = "starting"
            elif isinstance(action, events_actions.PlaceBatch):
                assert self.alive[action.slot] == "idle"
                self.alive[action.slot] = "busy"
                self.check_memory(action)
                for key in action.keys:
                    self.attempts[key] = self.attempts.get(key, 0) + 1
            elif isinstance(action, events_actions.LetLeave):
                self.alive[action.slot] = "leaving"
            elif isinstance(action, events_actions.KillWorker):
                self.alive[action.slot] = "killed"
            elif isinstance(action, events_actions.RecordOutcome):
                self.copied += len(action.copies)
                for key in (action.key, *action.copies):
                    self.recorded[key] = self.recorded.get(key, 0) + 1
        self.check()
        return actions

    def check(self) -> None:
        """A trial on one slot, a slot with one batch, nothing finished changes, every replicate accounted for."""
        states = self.state.states
        assert states.keys() == {one.key for one in self.planned}
        on_slots = [key for slot in range(len(self.state.slots)) for key in self.state.batch_on(slot)]
        assert len(on_slots) == len(set(on_slots))
        assert set(on_slots) == {key for key, state in states.items() if state is ReplicateState.RUNNING}
        for slot, mood in enumerate(self.state.slots):
            assert not self.state.batch_on(slot) or mood is SlotState.BUSY
            assert (mood in (SlotState.DOWN, SlotState.CLOSED)) == (slot not in self.alive)
        for key, end in self.final.items():
            assert states[key] is end
        self.final.update({key: state for key, state in states.items() if state.is_end})
        waiting = {one.key for one in self.state.waiting()}
        assert all(states[key] is ReplicateState.WAITING for key in waiting)
        digests = {one.key: one.digest for one in self.planned}
        represented = {digests[key] for key in waiting} | {digests[key] for key in on_slots}
        for key, state in states.items():
            # A copy waits exactly as long as the one that is run for it.
            leader_stopped = any(
                states[other] is ReplicateState.STOPPED for other in states if digests[other] == digests[key]
            )
            assert state is not ReplicateState.WAITING or digests[key] in represented or leader_stopped
        assert sum(self.recorded.values()) == sum(self.attempts.values()) - len(on_slots) + self.copied
        assert all(key in self.recorded for key, state in states.items() if state.is_end)

    def check_memory(self, placed: events_actions.PlaceBatch) -> None:
        """What runs on one GPU together has been measured and fits; what has not been measured is alone there."""
        device = self.devices.get(self.groups[placed.slot])
        batches = [
            self.state.batch_on(slot)
            for slot, group in enumerate(self.groups)
            if group == self.groups[placed.slot] and self.state.batch_on(slot)
        ]
        if device is None or not device.warm_up or len(batches) == 1:
            return
        by_key = {one.key: one for one in self.planned}
        needs = [self.footprints.need_mb(by_key[batch[0]].footprint, len(batch)) for batch in batches]
        assert all(need is not None for need in needs)
        assert sum(need for need in needs if need is not None) <= device.memory_mb

    def ready(self, slot: int) -> list[Action]:
        """The worker of a slot got ready."""
        self.alive[slot] = "idle"
        return self.take(events_actions.WorkerReady(self.now, slot))

    def give(self, slot: int, result: Outcome, peak_mb: float | None = None) -> list[Action]:
        """The first replicate of a slot's batch has an outcome, and the batch ends if it was the last."""
        key = self.state.batch_on(slot)[0]
        actions = self.take(events_actions.OutcomeArrived(self.now, slot, key, result))
        if not self.state.batch_on(slot):
            self.alive[slot] = "idle"
            spent = result.kind is OutcomeKind.OUT_OF_MEMORY
            if peak_mb is not None and result.kind.is_result:
                footprint = next(one.footprint for one in self.planned if one.key == key)
                self.footprints.learn(footprint, 1, peak_mb)
            actions += self.take(events_actions.BatchEnded(self.now, slot, spent=spent, peak_mb=peak_mb))
        return actions

    def die(self, slot: int, *, out_of_memory: bool = False, evicted: bool = False) -> list[Action]:
        """The worker of a slot is gone."""
        del self.alive[slot]
        return self.take(events_actions.WorkerDied(self.now, slot, "killed", out_of_memory, evicted))

    def queue(self, slot: int) -> list[Action]:
        """The worker of a slot waits in a queue."""
        self.alive[slot] = "queued"
        return self.take(events_actions.WorkerQueued(self.now, slot))

    def leave_queue(self, slot: int) -> list[Action]:
        """The worker of a slot has left the queue."""
        self.alive[slot] = "starting"
        return self.take(events_actions.WorkerBegun(self.now, slot))

    def placed(self) -> list[tuple[Key, ...]]:
        """Return the batches in the order they were placed."""
        return [action.keys for action in self.actions if isinstance(action, events_actions.PlaceBatch)]

    def finish(self) -> None:
        """Let everything that is still going on end well."""
        for _ in range(1000):
            if self.state.ended:
                return
            slot, mood = next(iter(self.alive.items()))
            if mood == "starting":
                self.ready(slot)
            elif mood == "queued":
                self.leave_queue(slot)
            elif mood in ("leaving", "killed"):
                self.die(slot)
            elif mood == "busy":
                self.give(slot, outcome(OutcomeKind.MEASURED))
            else:
                self.alive[slot] = self.alive.pop(slot)
        raise AssertionError("the run does not end")


def of(actions: Sequence[Action], kind: type[A]) -> list[A]:
    return [action for action in actions if isinstance(action, kind)]


def running_world(planned: Sequence[Planned], slots: int = 1, **policy: object) -> World:
    """Return a world whose workers are ready."""
    world = World(planned, ["cpu"] * slots, {}, **policy)
    for slot in range(slots):
        world.ready(slot)
    return world


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_order_of_events_keeps_every_invariant(data: st.DataObject) -> None:
    """Workers start, talk, finish, die and hang, users stop: in any order, and always to an end."""
    planned = plan(
        data.draw(st.integers(1, 4)),
        data.draw(st.integers(1, 3)),
        twin=data.draw(st.booleans()),
        shared=data.draw(st.booleans()),
    )
    groups = data.draw(st.sampled_from([("cpu",), ("cpu", "cpu"), ("g0", "g0", "g1")]))
    batch = data.draw(st.integers(1, 3))
    spread, budget_s = data.draw(st.booleans()), data.draw(st.sampled_from([None, 150.0]))
    keep_idle = data.draw(st.booleans())
    world = World(planned, groups, stall_s=100.0, batch=batch, spread=spread, budget_s=budget_s, keep_idle=keep_idle)
    for _ in range(data.draw(st.integers(0, 60))):
        if world.state.ended:
            break
        world.now += data.draw(st.sampled_from([0.0, 1.0, 40.0]))
        slot = data.draw(st.sampled_from(sorted(world.alive)))
        mood = world.alive[slot]
        what = data.draw(st.sampled_from(["go on", "go on", "go on", "die", "time", "stop"]))
        if what == "time":
            world.take(events_actions.TimePassed(world.now))
        elif what == "stop" and data.draw(st.integers(0, 9)) == 0:
            world.take(events_actions.StopRequested(world.now, "Ctrl-C", force=data.draw(st.booleans())))
        elif what == "die" or mood in ("leaving", "killed"):
            world.die(slot, evicted=data.draw(st.booleans()))
        elif mood == "queued":
            world.leave_queue(slot)
        elif mood == "starting" and data.draw(st.booleans()):
            world.queue(slot)
        elif mood == "starting":
            world.ready(slot)
        elif mood == "busy" and data.draw(st.booleans()):
            stage = data.draw(st.sampled_from([None, "prior", "rest", "unknown"]))
            world.take(events_actions.ProgressMade(world.now, slot, world.state.batch_on(slot)[0], stage))
        elif mood == "busy":
            world.give(slot, outcome(data.draw(st.sampled_from(OutcomeKind)), error="E: x"))
    finish_and_account(world)


def finish_and_account(world: World) -> None:
    """Let the run end, and find every replicate ended or accounted for."""
    planned = world.planned
    world.finish()
    left = {key for key, state in world.state.states.items() if not state.is_end}
    stopped = {one.digest for one in planned if world.state.states[one.key] is ReplicateState.STOPPED}
    assert world.state.halted is not None or {one.digest for one in planned if one.key in left} <= stopped
    assert set(world.state.slots) == {SlotState.CLOSED}
    assert not world.alive


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_order_of_events_with_memory_and_paces_keeps_every_invariant(data: st.DataObject) -> None:
    """Devices with memory, footprints that are learned, outcomes and deaths for lack of memory: always to an end."""
    keys = data.draw(st.integers(1, 3))
    planned = [
        dataclasses.replace(one, memory_key=f"m{index % keys}")
        for index, one in enumerate(plan(data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3)), twin=True))
    ]
    groups = data.draw(st.sampled_from([("g0",) * 3, ("g0", "g0", "g1"), ("g0", "g0", "g1", "g1", "free")]))
    memories = st.sampled_from([1000.0, 4000.0])
    devices = {
        name: Device(data.draw(memories), warm_up=data.draw(st.booleans()), paced=data.draw(st.booleans()), kind="k")
        for name in {"g0", "g1"} & set(groups)
    }
    world = World(planned, groups, devices, stall_s=1000.0)
    for _ in range(data.draw(st.integers(0, 80))):
        if world.state.ended:
            break
        world.now += data.draw(st.sampled_from([0.0, 1.0, 3.0]))
        slot = data.draw(st.sampled_from(sorted(world.alive)))
        mood = world.alive[slot]
        what = data.draw(st.sampled_from(["go on"] * 8 + ["die", "starve", "stop"]))
        if what == "stop" and data.draw(st.integers(0, 9)) == 0:
            world.take(events_actions.StopRequested(world.now, "Ctrl-C"))
        elif what in ("die", "starve") or mood in ("leaving", "killed"):
            world.die(slot, out_of_memory=what == "starve")
        elif mood == "starting":
            world.ready(slot)
        elif mood == "busy" and data.draw(st.booleans()):
            done = data.draw(st.integers(0, 100))
            world.take(events_actions.ProgressMade(world.now, slot, world.state.batch_on(slot)[0], "work", done))
        elif mood == "busy":
            kind = data.draw(st.sampled_from([*[OutcomeKind.MEASURED] * 4, *OutcomeKind]))
            peak = data.draw(st.sampled_from([None, 100.0, 900.0, 3000.0]))
            world.give(slot, outcome(kind, error="E: x"), peak)
    finish_and_account(world)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_an_undisturbed_run_computes_every_recipe_once(arms: int, seeds: int, slots: int) -> None:
    world = World(plan(arms, seeds, twin=True), ["cpu"] * slots)
    world.finish()
    assert set(world.state.states.values()) == {ReplicateState.MEASURED}
    assert sorted(world.attempts.values()) == [1] * len({one.digest for one in world.planned})


def test_the_same_events_give_the_same_actions() -> None:
    first, second = (World(plan(3, 2, shared=True)) for _ in range(2))
    first.finish()
    second.finish()
    assert first.actions == second.actions


def test_placing_is_seed_major_and_longest_first_inside_a_seed() -> None:
    planned = [
        Planned((arm, seed), f"{arm}{seed}", "k", (Stage("all", f"{arm}{seed}", cost),))
        for seed in range(2)
        for arm, cost in (("short", 1.0), ("long", 9.0), ("middle", 5.0))
    ]
    world = World(planned, ["cpu"])
    world.finish()
    order = [keys[0] for keys in world.placed()]
    assert order == [(arm, seed) for seed in range(2) for arm in ("long", "middle", "short")]


def test_waves_are_placed_in_order_whatever_the_seed() -> None:
    """All seeds of one candidate come before the next candidate."""
    planned = [Planned((f"c{n}", seed), f"{n}-{seed}", "k", wave=2 * n + seed) for n in range(2) for seed in range(2)]
    world = World(planned, ["cpu"])
    world.finish()
    assert [keys[0] for keys in world.placed()] == [("c0", 0), ("c0", 1), ("c1", 0), ("c1", 1)]


def test_measured_seconds_replace_declared_costs() -> None:
    world = running_world(plan(2, 2))
    world.give(0, Outcome(OutcomeKind.MEASURED, "any", seconds=1.0))
    world.give(0, Outcome(OutcomeKind.MEASURED, "any", seconds=50.0))
    assert world.placed()[2] == (("a1", 1),)


def test_a_shared_stage_is_computed_by_one_slot_while_others_take_another_seed() -> None:
    world = running_world(plan(3, 2, shared=True), slots=2)
    assert world.placed() == [(("a2", 0),), (("a2", 1),)]


def test_what_needs_a_stage_in_progress_waits_until_the_stage_is_done() -> None:
    world = running_world(plan(2, 1, shared=True), slots=2)
    assert len(world.placed()) == 1
    slot = world.state.slots.index(SlotState.BUSY)
    assert not of(world.take(events_actions.ProgressMade(1.0, slot, ("a1", 0), "prior")), events_actions.PlaceBatch)
    assert of(world.take(events_actions.ProgressMade(2.0, slot, ("a1", 0), "rest")), events_actions.PlaceBatch)


def test_nothing_is_held_back_when_progress_names_other_stages() -> None:
    world = running_world(plan(2, 1, shared=True), slots=2)
    slot = world.state.slots.index(SlotState.BUSY)
    assert of(world.take(events_actions.ProgressMade(1.0, slot, ("a1", 0), "warm-up")), events_actions.PlaceBatch)


def test_a_stage_that_all_share_at_their_end_holds_nobody_back() -> None:
    planned = [Planned((f"a{n}", 0), str(n), "k", (Stage("own", f"o{n}"), Stage("common", "c"))) for n in range(2)]
    assert len(running_world(planned, slots=2).placed()) == 2


def test_equal_recipes_run_once_and_the_outcome_is_copied() -> None:
    world = running_world(plan(2, 1, twin=True))
    recorded = of(world.give(0, outcome(OutcomeKind.DIVERGED)), events_actions.RecordOutcome)
    assert [(record.key, record.copies) for record in recorded] == [(("a0", 0), (("a1", 0),))]
    assert set(world.state.states.values()) == {ReplicateState.DIVERGED}


def test_a_lost_trial_is_tried_three_times_in_all() -> None:
    world = running_world(plan(1, 1))
    retries = []
    for _ in range(3):
        retries += [record.retry for record in of(world.die(0), events_actions.RecordOutcome)]
        if 0 in world.alive:
            world.ready(0)
    assert retries == [1, 2, None]
    assert world.state.states[("a0", 0)] is ReplicateState.LOST


def test_a_failed_trial_is_not_tried_again_unless_wanted() -> None:
    world = running_world(plan(1, 1))
    world.give(0, outcome(OutcomeKind.FAILED))
    assert world.attempts == {("a0", 0): 1}
    wanted = running_world(plan(1, 1), retries={OutcomeKind.FAILED: 1})
    wanted.give(0, outcome(OutcomeKind.FAILED))
    assert wanted.attempts == {("a0", 0): 2}


def test_an_out_of_memory_batch_is_halved_until_each_recipe_was_tried_by_itself() -> None:
    world = running_world(plan(4, 1), batch=4)
    full = outcome(OutcomeKind.OUT_OF_MEMORY)
    sizes, told = [], []
    for _ in range(40):
        if world.state.ended:
            break
        if world.alive.get(0) == "busy":
            sizes.append(len(world.state.batch_on(0)))
            while world.state.batch_on(0):
                told += [(sizes[-1], record.retry) for record in of(world.give(0, full), events_actions.RecordOutcome)]
                if world.alive.get(0) != "busy":
                    break
        elif world.alive.get(0) == "leaving":
            world.die(0)
        elif world.alive.get(0) == "starting":
            world.ready(0)
    assert sizes[:3] == [4, 2, 2]
    assert set(sizes[3:]) == {1}
    assert len(sizes[3:]) == 4
    assert set(told) == {(4, 0), (2, 0), (1, None)}
    assert set(world.state.states.values()) == {ReplicateState.OUT_OF_MEMORY}


def test_a_retry_after_out_of_memory_has_its_device_to_itself() -> None:
    world = World(plan(3, 1), ["g0", "g0"])
    world.ready(0)
    world.ready(1)
    world.give(0, outcome(OutcomeKind.OUT_OF_MEMORY))
    world.die(0)
    world.ready(0)
    assert world.placed() == [(("a0", 0),), (("a1", 0),), (("a2", 0),)]
    world.give(0, outcome(OutcomeKind.MEASURED))
    assert len(world.placed()) == 3
    world.give(1, outcome(OutcomeKind.MEASURED))
    assert world.placed()[3] == (("a0", 0),)
    assert sum(state is SlotState.BUSY for state in world.state.slots) == 1


def test_a_worker_killed_for_lack_of_memory_ran_out_of_memory_and_is_tried_again_alone() -> None:
    world = running_world(plan(2, 1), slots=2)
    [record] = of(world.die(0, out_of_memory=True), events_actions.RecordOutcome)
    assert (record.outcome.kind, record.retry) == (OutcomeKind.OUT_OF_MEMORY, 1)
    world.ready(0)
    assert len(world.placed()) == 2
    world.give(1, outcome(OutcomeKind.MEASURED))
    assert len(world.placed()) == 3


def test_workers_hear_how_many_run_on_their_device() -> None:
    world = running_world(plan(3, 1), slots=3)
    assert [action.together for action in world.actions if isinstance(action, events_actions.PlaceBatch)] == [1, 2, 3]
    told = of(world.actions, events_actions.TellCompany)
    assert [(action.slot, action.together) for action in told] == [(0, 2), (0, 3), (1, 3)]


def test_a_worker_is_replaced_after_out_of_memory() -> None:
    world = running_world(plan(2, 1))
    actions = world.give(0, outcome(OutcomeKind.OUT_OF_MEMORY))
    assert of(actions, events_actions.LetLeave)
    assert of(world.die(0), events_actions.StartWorker)


def test_the_same_failure_three_times_in_a_row_ends_the_run() -> None:
    world = running_world(plan(5, 1))
    trace = 'File "core.py", line 7, in run'
    for seed in range(3):
        world.give(0, outcome(OutcomeKind.FAILED, error=f"ValueError: seed {seed}", traceback=trace))
    assert world.state.halted is not None
    assert SENTENCES["same failure three times"] in world.state.halted
    assert len(world.placed()) == 3


def test_different_failures_do_not_end_the_run() -> None:
    world = running_world(plan(5, 1))
    for line in range(4):
        trace = f'File "core.py", line {line}, in run'
        world.give(0, outcome(OutcomeKind.FAILED, error="ValueError: x", traceback=trace))
    assert world.state.halted is None


def test_a_stop_asks_busy_workers_lets_idle_ones_go_and_places_nothing() -> None:
    world = World(plan(3, 1), ["cpu", "cpu"])
    world.ready(0)
    actions = world.take(events_actions.StopRequested(1.0, "Ctrl-C"))
    assert [action.slot for action in of(actions, events_actions.AskToStop)] == [0]
    assert [action.slot for action in of(world.ready(1), events_actions.LetLeave)] == [1]
    world.give(0, outcome(OutcomeKind.STOPPED))
    assert len(world.placed()) == 1


def test_a_worker_that_does_not_stop_in_time_is_killed_and_its_trial_counts_as_stopped() -> None:
    world = running_world(plan(1, 1), stop_s=30.0)
    world.take(events_actions.StopRequested(5.0, "Ctrl-C"))
    assert world.state.next_deadline() == 35.0
    assert not of(world.take(events_actions.TimePassed(34.9)), events_actions.KillWorker)
    assert of(world.take(events_actions.TimePassed(35.0)), events_actions.KillWorker)
    world.die(0)
    assert world.state.states[("a0", 0)] is ReplicateState.STOPPED


def test_a_second_stop_kills_at_once() -> None:
    world = running_world(plan(3, 1), slots=2)
    world.take(events_actions.StopRequested(1.0, "Ctrl-C"))
    actions = world.take(events_actions.StopRequested(2.0, "Ctrl-C", force=True))
    assert [action.slot for action in of(actions, events_actions.KillWorker)] == [0, 1]


def test_a_silent_worker_is_killed_and_its_trial_tried_again() -> None:
    world = running_world(plan(1, 1), stall_s=10.0)
    world.take(events_actions.ProgressMade(8.0, 0, ("a0", 0)))
    assert not of(world.take(events_actions.TimePassed(17.0)), events_actions.KillWorker)
    assert of(world.take(events_actions.TimePassed(18.0)), events_actions.KillWorker)
    [record] = of(world.die(0), events_actions.RecordOutcome)
    assert record.outcome.kind is OutcomeKind.LOST
    assert record.outcome.error == "no sign of life for 10 s"
    assert record.retry == 1


def test_the_budget_ends_placing_and_lets_running_trials_finish() -> None:
    world = running_world(plan(3, 1), budget_s=60.0)
    assert world.state.next_deadline() == 60.0
    world.take(events_actions.TimePassed(60.0))
    assert world.state.halted == "the budget of 60 s is spent"
    world.give(0, outcome(OutcomeKind.MEASURED))
    world.finish()
    assert sorted(world.state.states.values()) == ["measured", "waiting", "waiting"]


def test_a_slot_whose_workers_never_start_is_given_up() -> None:
    world = World(plan(2, 1), ["cpu"])
    for _ in range(3):
        world.die(0)
    assert world.state.ended
    assert world.state.halted == "no worker can be started"


def test_an_impossible_event_raises_with_the_story() -> None:
    world = running_world(plan(2, 1))
    world.give(0, outcome(OutcomeKind.MEASURED))
    with pytest.raises(
        InvalidTransition, match=r"(?s)a0 seed 0.*news from slot 0.*waiting -> running.*-> measured"
    ) as caught:
        world.state.handle(events_actions.OutcomeArrived(1.0, 0, ("a0", 0), outcome(OutcomeKind.MEASURED)))
    assert pickle.loads(pickle.dumps(caught.value)).story == world.state.story(("a0", 0))
    with pytest.raises(InvalidTransition, match="slot 0: no transition from busy to idle"):
        world.state.handle(events_actions.WorkerReady(1.0, 0))


def test_a_queued_worker_may_wait_for_ever_and_is_taken_back_when_no_work_is_left() -> None:
    world = World(plan(1, 2), ["job-0", "job-1"], keep_idle=False, stall_s=100.0)
    world.queue(0)
    world.queue(1)
    world.now = 1e6
    assert world.take(events_actions.TimePassed(world.now)) == []
    world.leave_queue(0)
    world.ready(0)
    world.give(0, outcome(OutcomeKind.MEASURED))
    assert of(world.actions, events_actions.KillWorker) == [events_actions.KillWorker(1, "no work is left for it")]
    finish_and_account(world)
    assert set(world.state.states.values()) == {ReplicateState.MEASURED}


def test_a_worker_of_a_cluster_leaves_when_no_work_waits_and_another_comes_when_it_does() -> None:
    world = World(plan(1, 2), ["job-0", "job-1"], keep_idle=False)
    world.ready(0)
    world.ready(1)
    world.give(0, outcome(OutcomeKind.MEASURED))
    assert world.state.slots == (SlotState.LEAVING, SlotState.BUSY)
    world.die(0)
    world.die(1)
    assert [action.slot for action in of(world.actions, events_actions.StartWorker)].count(0) == 2
    finish_and_account(world)


def evict(world: World, done: int) -> list[Action]:
    """Let the running trial get as far as `done`, and then its place be taken away; a new worker takes it up."""
    world.take(events_actions.ProgressMade(world.now, 0, ("a0", 0), "work", done))
    actions = world.die(0, evicted=True)
    if world.state.slots[0] is SlotState.STARTING:
        world.ready(0)
    return actions


def test_a_trial_outlives_any_number_of_evictions_while_it_gets_further() -> None:
    world = running_world(plan(1, 1))
    for done in range(1, 20):
        evict(world, done)
    assert world.state.states == {("a0", 0): ReplicateState.RUNNING}
    assert world.attempts[("a0", 0)] == 20


def test_the_number_of_a_retry_counts_only_what_costs_one() -> None:
    world = running_world(plan(1, 1))
    ends = [evict(world, 1), evict(world, 1), evict(world, 2), evict(world, 2), evict(world, 2)]
    told = [(record.retry, record.retries) for actions in ends for record in of(actions, events_actions.RecordOutcome)]
    assert told == [(0, 2), (1, 2), (0, 2), (2, 2), (None, 0)]


def test_a_trial_that_never_gets_further_is_lost_after_its_retries() -> None:
    """Jobs that are shorter than the way to the first checkpoint would else go on for ever."""
    world = running_world(plan(1, 1))
    for _ in range(4):
        evict(world, 5)
    assert world.state.states == {("a0", 0): ReplicateState.LOST}
    assert world.attempts[("a0", 0)] == 4


def test_an_eviction_of_a_starting_worker_costs_no_trial_anything() -> None:
    world = World(plan(1, 1), ["job-0"])
    world.die(0, evicted=True)
    world.ready(0)
    assert world.attempts == {("a0", 0): 1}
