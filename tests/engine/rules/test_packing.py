"""Several trials on one device: what fits is learned, one attempt is wasted at most, what does not pay is not done."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.engine.rules.events_actions import Planned
from ablate.engine.rules.limits import Policy
from ablate.engine.rules.memory import Device, Footprints, Room
from ablate.engine.rules.queue import Fit
from ablate.engine.rules.throughput import Paces
from ablate.interface import Stage
from ablate.outcome import OutcomeKind
from tests.engine.simulation import Simulation

GPU = Device(80_000.0)


def trials(arms: int, seeds: int, *, cost: float = 1.0, keys: int = 1) -> list[Planned]:
    """Return a seed-major plan whose arms have `keys` different footprints in turn."""
    return [
        Planned((f"a{arm}", seed), f"r{arm}-{seed}", f"b{arm}-{seed}", (Stage("work", f"w{arm}-{seed}", cost),),
                f"m{arm % keys}")
        for seed in range(seeds)
        for arm in range(arms)
    ]  # fmt: skip


def test_the_first_of_a_footprint_runs_alone_and_then_as_many_as_fit() -> None:
    """20 GB and a tenth more each: three fit into 80 GB, and the time shows it."""
    run = Simulation(trials(4, 4), ["g"] * 8, {"g": GPU}, peak_mb=lambda planned: 20_000.0).run()
    assert run.together[run.order[0]] == 1
    assert max(run.together.values()) == 3
    assert not run.wasted
    assert run.ended_at == 1 + 15 / 3
    assert set(run.recorded.values()) == {OutcomeKind.MEASURED}


def test_what_needs_most_of_a_device_runs_alone_on_it() -> None:
    run = Simulation(trials(3, 2), ["g"] * 4, {"g": GPU}, peak_mb=lambda planned: 50_000.0).run()
    assert max(run.together.values()) == 1
    assert run.ended_at == 6


def test_small_and_large_share_a_device_as_memory_permits() -> None:
    """a0 needs 50 GB, a1 10 GB: one large and two small ones fit together, two large ones never."""
    run = Simulation(
        trials(2, 6, keys=2),
        ["g"] * 4,
        {"g": GPU},
        peak_mb=lambda planned: 50_000.0 if planned.memory_key == "m0" else 10_000.0,
    ).run()
    assert not run.wasted
    assert run.ended_at < 12
    assert len(run.recorded) == 12


def test_a_footprint_that_fits_nowhere_wastes_one_attempt_and_the_rest_is_told_so() -> None:
    run = Simulation(
        trials(2, 5, keys=2),
        ["g"] * 4,
        {"g": GPU},
        peak_mb=lambda planned: 90_000.0 if planned.memory_key == "m0" else 10_000.0,
    ).run()
    assert run.wasted == {"m0": 1}
    assert {key[0]: kind for key, kind in run.recorded.items()} == {
        "a0": OutcomeKind.OUT_OF_MEMORY,
        "a1": OutcomeKind.MEASURED,
    }
    assert len(run.recorded) == 10


def test_what_does_not_fit_on_the_small_device_runs_on_the_large_one() -> None:
    devices = {"small": Device(16_000.0), "large": Device(80_000.0)}
    run = Simulation(trials(1, 6), ["small", "large"], devices, peak_mb=lambda planned: 30_000.0).run()
    assert set(run.recorded.values()) == {OutcomeKind.MEASURED}
    assert run.wasted == {"m0": 1}


def test_cpu_slots_are_all_used_at_once_until_a_footprint_is_known() -> None:
    cpu = Device(8_000.0, warm_up=False)
    run = Simulation(trials(8, 1), ["cpu"] * 4, {"cpu": cpu}, peak_mb=lambda planned: 500.0).run()
    assert run.ended_at == 2
    assert not run.wasted


def test_cpu_trials_that_need_more_than_their_share_run_with_more_room() -> None:
    """Four at once do not fit. One attempt each of those that were placed unknown is lost, none after that."""
    cpu = Device(8_000.0, warm_up=False)
    run = Simulation(trials(4, 4), ["cpu"] * 4, {"cpu": cpu}, peak_mb=lambda planned: 3_000.0).run()
    assert run.wasted["m0"] <= 3
    assert set(run.recorded.values()) == {OutcomeKind.MEASURED}


def test_memory_that_others_took_in_the_meantime_is_noticed() -> None:
    """The device has less than was free at the start: after one attempt too many, fewer are placed."""
    run = Simulation(
        trials(4, 5), ["g"] * 4, {"g": GPU}, peak_mb=lambda planned: 24_000.0, memory_mb={"g": 60_000.0}
    ).run()
    assert run.wasted == {"m0": 1}
    assert set(run.recorded.values()) == {OutcomeKind.MEASURED}
    assert max(run.together.values()) == 3
    assert run.together[run.order[-1]] <= 2


@pytest.mark.parametrize(
    ("paces", "most"),
    [
        ((1.0, 1.0, 1.0, 1.0), 4),
        ((1.0, 0.9, 0.5, 0.4), 2),
        ((1.0, 0.9, 0.8, 0.6), 3),
        ((1.0, 0.5, 0.33, 0.25), 1),
        ((1.0, 0.3, 0.3, 0.3), 1),
    ],
)
def test_as_many_run_together_as_get_more_done(paces: tuple[float, ...], most: int) -> None:
    """`paces` is what is left of the pace of each trial with 1, 2, 3 and 4 on the device."""
    device = Device(80_000.0, paced=True, kind="H100")
    run = Simulation(
        trials(10, 10, cost=20.0),
        ["g"] * 4,
        {"g": device},
        peak_mb=lambda planned: 1_000.0,
        pace=lambda together: paces[max(together, 1) - 1],
        beat_s=0.5,
    ).run()
    assert {run.together[key] for key in run.order[-60:]} == {most}
    assert len(run.recorded) == 100


def test_without_signs_of_progress_nothing_is_packed() -> None:
    device = Device(80_000.0, paced=True, kind="H100")
    run = Simulation(trials(4, 2), ["g"] * 4, {"g": device}, peak_mb=lambda planned: 1_000.0).run()
    assert set(run.together.values()) == {1}


@settings(max_examples=60, deadline=None)
@given(
    peaks=st.lists(st.floats(100.0, 100_000.0), min_size=1, max_size=4),
    arms=st.integers(1, 6),
    seeds=st.integers(1, 4),
    memories=st.lists(st.floats(10_000.0, 100_000.0), min_size=1, max_size=3),
    slots=st.integers(1, 4),
    batch=st.integers(1, 3),
)
def test_every_trial_ends_once_and_a_footprint_wastes_one_attempt_per_device(
    peaks: list[float], arms: int, seeds: int, memories: list[float], slots: int, batch: int
) -> None:
    """Whatever trials need and devices have: what fits somewhere is measured, and nothing is tried again in vain."""
    planned = trials(arms, seeds, keys=len(peaks))
    devices = {f"g{index}": Device(memory) for index, memory in enumerate(memories)}
    groups = [name for name in devices for _ in range(slots)]
    need = {f"m{index}": peak for index, peak in enumerate(peaks)}
    run = Simulation(
        planned, groups, devices, Policy(batch=batch), peak_mb=lambda planned: need[planned.memory_key]
    ).run()
    assert run.recorded.keys() == {one.key for one in planned}
    for one in planned:
        fits = need[one.memory_key] <= max(memories)
        assert run.recorded[one.key] is (OutcomeKind.MEASURED if fits else OutcomeKind.OUT_OF_MEMORY)
    assert all(count <= len(devices) for count in run.wasted.values())


def test_a_footprint_grows_with_the_batch_and_never_shrinks() -> None:
    known = Footprints()
    assert known.need_mb("m", 1) is None
    known.learn("m", 2, 1000.0)
    known.learn("m", 2, 900.0)
    assert known.need_mb("m", 1) == known.need_mb("m", 2) == pytest.approx(1100.0)
    assert known.need_mb("m", 4) == pytest.approx(2200.0)
    assert known.smallest_mb() == pytest.approx(1100.0)


def test_after_out_of_memory_beside_others_a_footprint_needs_everything_until_it_is_measured() -> None:
    known = Footprints()
    known.learn("m", 1, 1000.0)
    known.ran_out_beside_others("m")
    assert known.need_mb("m", 1) == math.inf
    known.learn("m", 1, 3000.0)
    assert known.need_mb("m", 1) == pytest.approx(3300.0)


def test_a_room_without_a_known_memory_takes_everybody_except_beside_one_that_must_be_alone() -> None:
    room = Room(None, 3)
    room.take(0, "m", None)
    assert room.fit(None, 0.0, math.inf) is Fit.NOW
    assert room.fit(math.inf, 0.0, math.inf) is Fit.LATER
    room.release(0)
    room.take(1, "m", math.inf)
    assert room.fit(None, 0.0, math.inf) is Fit.LATER


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_kept_free_never_exceeds_the_device(seed: int) -> None:
    source = random.Random(seed)
    room = Room(Device(1000.0, warm_up=source.random() < 0.5), 5)
    kept: dict[int, float] = {}
    for slot in [source.randrange(5) for _ in range(60)]:
        if slot in kept:
            room.release(slot)
            del kept[slot]
            continue
        need = source.choice([None, math.inf, source.uniform(1, 1200)])
        if room.fit(need, 0.0, 1000.0) is Fit.NOW:
            room.take(slot, "m", need)
            kept[slot] = need or 0.0
            finite = [value for value in kept.values() if math.isfinite(value)]
            assert len(kept) == 1 or (sum(finite) <= 1000.0 and len(finite) == len(kept))
    assert room.busy == len(kept)


def test_nothing_is_concluded_from_little_time() -> None:
    paces = Paces()
    paces.note("H100", "m", "train", 1, 400, 1.9)
    assert paces.allowed("H100", "m") == 1
    paces.note("H100", "m", "train", 1, 400, 0.2)
    assert paces.allowed("H100", "m") == 2


def test_the_gain_compares_the_same_stage_only() -> None:
    paces = Paces()
    paces.note("H100", "m", "train", 1, 1000, 10.0)
    paces.note("H100", "m", "sample", 2, 1, 10.0)
    assert paces.gain("H100", "m", 2) is None
    paces.note("H100", "m", "train", 2, 800, 10.0)
    assert paces.gain("H100", "m", 2) == pytest.approx(1.6)
    assert paces.allowed("H100", "m") == 3
    paces.note("H100", "m", "train", 3, 500, 10.0)
    assert paces.gain("H100", "m", 3) == pytest.approx(1.5)
    assert paces.allowed("H100", "m") == paces.widest("H100") == 2
    assert paces.allowed("A100", "m") == paces.widest("A100") == 1
