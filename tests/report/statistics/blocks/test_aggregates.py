"""Interquartile mean and probability of improvement against rliable 1.2.0 on arch 7.2.0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report.statistics.blocks.aggregates import improvement_chance, interquartile_mean, iqm

A = [
    [0.9, 0.877, 0.875, 0.905, 0.833],
    [0.715, 0.65, 0.669, 0.653, 0.677],
    [0.486, 0.503, 0.524, 0.499, 0.405],
    [0.255, 0.367, 0.318, 0.335, 0.236],
]
B = [
    [0.877, 0.888, 0.878, 0.831, 0.878],
    [0.648, 0.651, 0.666, 0.62, 0.704],
    [0.457, 0.394, 0.443, 0.573, 0.491],
    [0.264, 0.223, 0.226, 0.21, 0.244],
]


def strata(values: list[list[float]]) -> list[np.ndarray]:
    return [np.array(own) for own in values]


def test_interquartile_mean_is_that_of_rliable() -> None:
    assert interquartile_mean(np.array(A)) == pytest.approx(0.5781)
    assert interquartile_mean(np.array(B)) == pytest.approx(0.5647)


def test_interval_of_interquartile_mean_is_that_of_rliable() -> None:
    """rliable's stratified bootstrap with 50,000 samples gives 0.5561 to 0.5969; ours has fewer samples."""
    found = iqm(strata(A), draws=20_000)
    assert found is not None
    assert found.value == pytest.approx(0.5781)
    assert (found.low, found.high) == pytest.approx((0.5561, 0.5969), abs=0.001)


def test_chance_of_improvement_and_its_interval_are_those_of_rliable() -> None:
    found = improvement_chance(strata(A), strata(B), draws=5000)
    assert found is not None
    assert found.value == pytest.approx(0.695)
    assert (found.low, found.high) == pytest.approx((0.52, 0.85), abs=0.015)


def test_chance_of_improvement_the_other_way_round_is_the_rest() -> None:
    one, other = improvement_chance(strata(A), strata(B)), improvement_chance(strata(B), strata(A))
    lower = improvement_chance(strata(A), strata(B), lower=True)
    assert one is not None
    assert other is not None
    assert lower is not None
    assert one.value + other.value == pytest.approx(1)
    assert lower.value == pytest.approx(other.value)


def test_nothing_is_estimated_where_a_block_has_no_run() -> None:
    assert iqm([np.array([1.0]), np.array([])]) is None
    assert improvement_chance([np.array([1.0])], [np.array([])]) is None
    assert iqm([]) is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=12))
def test_interquartile_mean_lies_between_the_quartiles(values: list[float]) -> None:
    found = interquartile_mean(np.array(values))
    assert min(values) - 1e-9 <= found <= max(values) + 1e-9
    ordered = sorted(values)
    cut = len(values) // 4
    assert found == pytest.approx(float(np.mean(ordered[cut : len(values) - cut])))
