"""How long a run takes on its slots compared with the least that is possible, in simulated time."""

from __future__ import annotations

import random

import pytest

from ablate.engine.rules.events_actions import Planned
from ablate.engine.rules.memory import Device
from ablate.interface import Stage
from tests.engine.simulation import Simulation


def plan(costs: list[float], seeds: int, shared_s: float = 0.0) -> list[Planned]:
    """Return a seed-major plan, one arm per cost; with `shared_s` the arms of a seed begin with a stage they share."""
    return [
        Planned(
            (f"a{arm}", seed),
            f"{arm}-{seed}",
            f"b{arm}-{seed}",
            (
                *([Stage("prior", f"p{seed}", shared_s)] if shared_s else []),
                Stage("rest", f"{arm}-{seed}", cost),
            ),
            "m",
        )
        for seed in range(seeds)
        for arm, cost in enumerate(costs)
    ]


def makespan_over_ideal(planned: list[Planned], slots: int) -> float:
    run = Simulation(
        planned, ["cpu"] * slots, {"cpu": Device(64_000.0, warm_up=False)}, peak_mb=lambda one: 900.0
    ).run()
    work = sum(one.cost for one in planned)
    return run.ended_at / max(work / slots, max(one.cost for one in planned))


@pytest.mark.parametrize("slots", [2, 4, 8])
def test_even_trials_fill_their_slots(slots: int) -> None:
    assert makespan_over_ideal(plan([30.0] * 8, 5), slots) < 1.03


@pytest.mark.parametrize("slots", [2, 3, 4])
@pytest.mark.parametrize("seed", range(8))
def test_uneven_trials_fill_their_slots_nearly(slots: int, seed: int) -> None:
    """The longest of a seed first: what is left over at the end is short."""
    source = random.Random(seed)
    costs = [source.choice([5.0, 10.0, 20.0, 40.0]) * source.uniform(0.8, 1.2) for _ in range(12)]
    assert makespan_over_ideal(plan(costs, 4), slots) < 1.06


@pytest.mark.slow
def test_a_thousand_slots_and_ten_thousand_trials_end_as_soon_as_they_can() -> None:
    """Also a check that the state machine can do this at all: 20,000 events in a few seconds."""
    source = random.Random(1)
    planned = plan([source.uniform(5.0, 50.0) for _ in range(1000)], 10)
    groups = [f"g{index // 8}" for index in range(1000)]
    devices = {group: Device(64_000.0, warm_up=False) for group in groups}
    run = Simulation(planned, groups, devices, peak_mb=lambda one: 900.0).run()
    assert run.ended_at / (sum(one.cost for one in planned) / 1000) < 1.03
    assert len(run.recorded) == 10_000
