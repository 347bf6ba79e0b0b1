"""Designs: which arms each of them states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ablate.errors import Problem
from ablate.study.spec import Study
from tests.sentences import SENTENCES

Load = Callable[..., Study]
Refuse = Callable[..., tuple[Problem, ...]]


def levels(study: Study) -> dict[str, dict[str, object]]:
    """Arm -> what it changes, without the baseline."""
    return {arm.name: dict(arm.levels) for arm in study.arms[1:]}


def messages(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.message for problem in problems]


def test_vary_changes_one_thing_at_a_time(load: Load) -> None:
    study = load("baseline: {}\nvary: {lr: [0.01, 1e-4], ema: [off], dip_epochs: 5}")
    assert levels(study) == {
        "lr=0.01": {"lr": 0.01},
        "lr=0.0001": {"lr": 0.0001},
        "ema=false": {"ema": False},
        "dip_epochs=5": {"dip_epochs": 5},
    }


def test_vary_can_take_a_factor_away(load: Load) -> None:
    study = load("baseline: {dip_epochs: 5}\nvary: {dip_epochs: [null, 10]}")
    assert levels(study) == {"dip_epochs=null": {"dip_epochs": None}, "dip_epochs=10": {"dip_epochs": 10}}


def test_grid_takes_every_combination_but_the_baselines(load: Load) -> None:
    study = load("baseline: {lr: 0.01}\ngrid: {lr: [0.01, 0.1], batch_size: [64, 128]}")
    assert levels(study) == {
        "lr=0.01, batch_size=128": {"batch_size": 128},
        "lr=0.1, batch_size=64": {"lr": 0.1},
        "lr=0.1, batch_size=128": {"lr": 0.1, "batch_size": 128},
    }


def test_a_grid_of_the_baseline_alone_is_refused(refuse: Refuse) -> None:
    problems = refuse("baseline: {lr: 0.01}\ngrid: {lr: [0.01], batch_size: [64]}")
    assert messages(problems) == ["'grid' adds no arm: it contains only the baseline"]


def test_a_level_listed_twice_in_a_grid_is_said_once(refuse: Refuse) -> None:
    (problem,) = refuse("baseline: {}\ngrid: {lr: [0.01, 1e-2], batch_size: [64, 128]}")
    assert (problem.message, problem.column) == ("lr=0.01 is listed twice", 19)


def test_zip_takes_levels_in_step(load: Load) -> None:
    study = load("baseline: {}\nzip: {lr: [0.002, 0.004], batch_size: [128, 256]}")
    assert levels(study) == {
        "lr=0.002, batch_size=128": {"lr": 0.002, "batch_size": 128},
        "lr=0.004, batch_size=256": {"lr": 0.004, "batch_size": 256},
    }


def test_zip_wants_lists_of_one_length(refuse: Refuse) -> None:
    (problem,) = refuse("baseline: {}\nzip: {lr: [0.002, 0.004], batch_size: [128]}")
    assert problem.message == SENTENCES["zip wants lists one"]
    assert problem.note == "lr has 2, batch_size has 1"


@pytest.mark.parametrize("key", ["leave-one-out", "leave_one_out"])
def test_leave_one_out_switches_components_off_and_then_all(key: str, load: Load) -> None:
    study = load(f"baseline: {{}}\n{key}:\n  average: {{ema: false}}\n  warm-up: {{warmup: false}}")
    assert levels(study) == {
        "without average": {"ema": False},
        "without warm-up": {"warmup": False},
        "without all": {"ema": False, "warmup": False},
    }
    assert study.design == "leave-one-out"


def test_one_component_is_all_there_is(load: Load) -> None:
    study = load("baseline: {}\nleave-one-out: {average: {ema: false}}")
    assert list(levels(study)) == ["without average"]


def test_components_that_cannot_be_off_together_are_refused(refuse: Refuse) -> None:
    (problem,) = refuse("baseline: {}\nleave-one-out: {a: {method: dip+ddpm}, b: {method: off}}")
    assert problem.message == "'without all' cannot set method to two levels"
    assert (problem.line, problem.column) == (2, 52)


def test_factorial_takes_every_combination_of_two_levels(load: Load) -> None:
    study = load("baseline: {lr: 0.01}\nfactorial: {lr: 0.1, ema: [on, off], epochs: [20, 10]}")
    assert levels(study) == {
        "lr=0.01, ema=true, epochs=20": {"epochs": 20},
        "lr=0.01, ema=false, epochs=10": {"ema": False},
        "lr=0.01, ema=false, epochs=20": {"ema": False, "epochs": 20},
        "lr=0.1, ema=true, epochs=10": {"lr": 0.1},
        "lr=0.1, ema=true, epochs=20": {"lr": 0.1, "epochs": 20},
        "lr=0.1, ema=false, epochs=10": {"lr": 0.1, "ema": False},
        "lr=0.1, ema=false, epochs=20": {"lr": 0.1, "ema": False, "epochs": 20},
    }


@pytest.mark.parametrize("stated", ["[0.1, 0.2]", "[0.001, 0.1, 0.2]", "0.001"])
def test_a_factorial_has_the_baseline_at_a_corner(stated: str, refuse: Refuse) -> None:
    (problem,) = refuse(f"baseline: {{}}\nfactorial: {{lr: {stated}}}")
    assert problem.message == SENTENCES["factorial has baseline at"]


def test_a_factorial_of_very_many_factors_is_refused_at_once(refuse: Refuse) -> None:
    """14 factors would be fine for a fractional design, which this is not."""
    factors = ["method: dip", "noise_schedule: cosine", "lr: 0.1", "dip_lr: 0.1", "batch_size: 8", "epochs: 1"]
    factors += ["dip_epochs: 3", "ema: off", "warmup: off", "data: cifar10", "channels: 8", "note: x"]
    problems = refuse(f"baseline: {{}}\nfactorial: {{{', '.join(factors)}}}\nvary: {{lr: [7]}}")
    assert "out of range" in problems[-1].message  # 4096 combinations are affordable, so the rest is checked too


def test_designs_may_be_combined(load: Load) -> None:
    study = load("baseline: {}\narms: {fast: {lr: 0.1, epochs: 5}}\nvary: {lr: [0.01]}\ngrid: {epochs: [1, 2]}")
    assert list(levels(study)) == ["fast", "lr=0.01", "epochs=1", "epochs=2"]
    assert study.design == "arms+vary+grid"
