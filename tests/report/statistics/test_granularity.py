"""Identical results: one experiment on a fine metric, an accident on a coarse one."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report import compare
from ablate.report.statistics.granularity import grid_step, proves_nothing
from ablate.report.statistics.model import Verdict
from ablate.study.spec import MetricSpec


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 1.0, 0.0], 1.0),
        ([93.1, 93.4, 92.8], 0.3),
        ([93.1, 93.4, 92.8, 93.2], 0.1),
        ([k / 1500 for k in (931, 940, 925, 938, 929)], 1 / 1500),
        ([0.5, 0.5], 0.1),
        ([29.013, 29.013], 0.001),
        ([1e-9, 3e-9, 4e-9], 1e-9),
    ],
)
def test_the_step_of_a_grid(values: list[float], expected: float) -> None:
    assert grid_step(np.array(values)) == pytest.approx(expected)


def test_measured_numbers_lie_on_no_grid() -> None:
    assert grid_step(np.random.default_rng(0).normal(size=20)) < 1e-6
    assert math.isnan(grid_step(np.array([np.nan])))


@given(st.integers(1, 40), st.integers(2, 30))
def test_shares_of_a_count_have_that_step_or_a_multiple(total: int, draws: int) -> None:
    hits = np.random.default_rng(draws).integers(0, total + 1, draws)
    step = grid_step(hits / total)
    if len(set(hits.tolist())) > 1:
        assert step * total == pytest.approx(round(step * total), abs=1e-6)
        assert step >= 1 / total - 1e-9


def test_more_seeds_prove_more() -> None:
    """Accuracy on 10 000 images with a seed noise of 0.2 points: three ties may be chance, five are not."""
    values = np.round(np.random.default_rng(1).normal(0.93, 0.002, (9, 5)), 4)
    assert proves_nothing(values, np.array([3.0])).tolist() == [True]
    assert proves_nothing(values, np.array([5.0])).tolist() == [False]


def wrongly_one(rng: np.random.Generator, seeds: int, *, tenths: bool) -> int:
    """How many of 100 studies call an arm that truly differs one experiment with the baseline."""
    count = 0
    for _ in range(100):
        if tenths:
            common = rng.normal(93, 0.3, seeds)
            base, arm = (np.round(common + shift + rng.normal(0, 0.03, seeds), 1) for shift in (0.0, 0.03))
        else:
            luck = rng.random(seeds)
            base, arm = (luck < 0.95).astype(float), (luck < 0.75).astype(float)
        frame = pd.DataFrame(
            {"arm": ["baseline"] * seeds + ["arm"] * seeds, "seed": [*range(seeds)] * 2, "q": [*base, *arm]}
        )
        row = compare(frame, metrics=[MetricSpec("q", "max")]).row("arm")
        count += row.verdict is Verdict.EQUIVALENT
        assert row.verdict is not Verdict.EQUIVALENT or "identical" in row.note
    return count


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("tenths", [False, True])
def test_arms_that_truly_differ_are_never_one_experiment_for_a_coarse_metric(seeds: int, *, tenths: bool) -> None:
    assert wrongly_one(np.random.default_rng(seeds), seeds, tenths=tenths) == 0


def frame_of(**columns: list[float]) -> pd.DataFrame:
    rows = {"arm": ["baseline"] * 3 + ["same"] * 3, "seed": [0, 1, 2] * 2}
    return pd.DataFrame({**rows, **columns})


def test_identical_on_a_coarse_metric_is_undecided_and_says_so() -> None:
    row = compare(frame_of(success=[1.0, 0.0, 1.0] * 2), metrics=["success:max"]).row("same")
    assert (row.verdict, row.note) == (Verdict.UNDECIDED, "identical in 3 seeds on a coarse metric")


def test_another_metric_or_the_recipe_may_prove_one_experiment() -> None:
    frame = frame_of(success=[1.0, 0.0, 1.0] * 2, loss=[0.41372, 0.40911, 0.42218] * 2)
    assert compare(frame, metrics=["success:max", "loss:min"]).row("same").note == "identical results"
    other = frame.assign(loss=[0.41372, 0.40911, 0.42218, 0.41372, 0.40911, 0.42219])
    assert compare(other, metrics=["success:max", "loss:min"]).row("same").verdict is Verdict.UNDECIDED
    recipes = frame_of(success=[1.0, 0.0, 1.0] * 2).assign(recipe_digest=["a", "b", "c"] * 2)
    assert compare(recipes, metrics=["success:max"]).row("same").note == "identical results"


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e6])
def test_metrics_of_any_size_have_noise(size: float) -> None:
    """Values of 1e-9 that differ by a few per cent are measured differences, not identical ones."""
    base, arm = np.array([1.013, 1.127, 0.941]) * size, np.array([1.317, 1.402, 1.295]) * size
    frame = frame_of(q=[*base, *arm])
    row, plain = (compare(one, metrics=["q:max"]).row("same") for one in (frame, frame.assign(q=frame["q"] / size)))
    assert row.p == pytest.approx(plain.p)
    assert (row.verdict, row.note) == (plain.verdict, plain.note)
