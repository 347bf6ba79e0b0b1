from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report.statistics.blocks.averages import Cell, average_of, left_out, over_fixed, over_random
from ablate.study.spec import MetricSpec

ACC, TIME = MetricSpec("acc", "max", primary=True), MetricSpec("time", "min", scale="log")
BLOCKS = ("x", "y")


def measured(acc: float, time: float = 1.0) -> Cell:
    return Cell("measured", {"acc": acc, "time": time})


def test_fixed_blocks_are_averaged_seed_by_seed() -> None:
    cells = {("arm", "x", 0): measured(1.0, 2.0), ("arm", "y", 0): measured(3.0, 8.0), ("arm", "x", 1): measured(9.0)}
    found = over_fixed(cells, BLOCKS, (ACC, TIME))
    assert set(found) == {("arm", 0)}
    assert found["arm", 0].values == pytest.approx({"acc": 2.0, "time": 4.0})
    assert left_out(cells, BLOCKS) == {"arm": {1: ("y",)}}


def test_seed_that_diverged_in_one_block_has_diverged() -> None:
    cells = {("arm", "x", 0): measured(1.0), ("arm", "y", 0): Cell("diverged")}
    assert over_fixed(cells, BLOCKS, (ACC,))["arm", 0] == Cell("diverged")


def test_failed_trial_leaves_its_seed_out() -> None:
    cells = {("arm", "x", 0): measured(1.0), ("arm", "y", 0): Cell("failed")}
    assert over_fixed(cells, BLOCKS, (ACC,)) == {}


def test_random_blocks_give_one_value_each() -> None:
    cells = {("arm", block, seed): measured(at + seed) for at, block in enumerate(BLOCKS) for seed in (0, 1)}
    found = over_random(cells, BLOCKS, (ACC,), baseline="base", wanted=(0, 1))
    assert {key: cell.values["acc"] for key, cell in found.items()} == {("arm", 0): 0.5, ("arm", 1): 1.5}


def test_random_block_counts_once_its_declared_seeds_are_there() -> None:
    cells = {("arm", "x", 0): measured(1.0), ("arm", "x", 1): measured(2.0), ("arm", "y", 0): measured(3.0)}
    assert set(over_random(cells, BLOCKS, (ACC,), baseline="base", wanted=(0, 1))) == {("arm", 0)}
    assert set(over_random(cells, BLOCKS, (ACC,), baseline="base")) == {("arm", 0), ("arm", 1)}


def test_random_block_with_other_seeds_than_the_baseline_keeps_the_paired_difference() -> None:
    cells = {("base", "x", seed): measured(float(seed), math.exp(seed)) for seed in (0, 1, 5)}
    cells |= {("arm", "x", seed): measured(seed + 0.25, math.exp(seed + 0.5)) for seed in (0, 1)}
    found = over_random(cells, ("x",), (ACC, TIME), baseline="base")
    assert found["arm", 0].values["acc"] - found["base", 0].values["acc"] == pytest.approx(0.25)
    assert found["arm", 0].values["time"] / found["base", 0].values["time"] == pytest.approx(math.exp(0.5))


def test_random_block_with_half_of_its_runs_diverged_has_diverged() -> None:
    cells = {("arm", "x", 0): measured(1.0), ("arm", "x", 1): Cell("diverged")}
    assert over_random(cells, ("x",), (ACC,), baseline="base")["arm", 0] == Cell("diverged")


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8).flatmap(
        lambda own: st.tuples(st.just(own), st.permutations(own))
    )
)
def test_average_is_the_same_to_the_bit_in_any_order(pair: tuple[list[float], list[float]]) -> None:
    one, other = pair
    assert average_of(one) == average_of(other)
    assert average_of(one, log=True) == average_of(other, log=True)
