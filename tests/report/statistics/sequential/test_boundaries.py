"""Levels of looks: against a published table and drawn studies, and p over all looks as their mirror."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from ablate.report.statistics.sequential.boundaries import LookLevels, last_level, spending_table, spent

LOOKS = (3, 4, 6, 9, 12)


def test_many_seeds_give_the_boundaries_of_normal_statistics() -> None:
    """Three equal looks, one-sided 0.025, Hwang-Shih-DeCani with gamma -4, as in the default of gsDesign."""
    levels = LookLevels((1000, 2000, 3000), 0.05).shared(0.05, np.arange(3))
    np.testing.assert_allclose(stats.norm.isf(levels / 2), [3.010, 2.547, 1.999], atol=0.004)


def test_the_spending_function_spends_everything_by_the_end() -> None:
    assert spent(0.0) == 0
    assert spent(1.0) == 1
    assert spent(0.5) == pytest.approx((1 - math.exp(2)) / (1 - math.exp(4)))


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
def test_no_look_of_few_seeds_errs_more_often_than_it_may(alpha: float) -> None:
    """400 000 drawn series without effect: the share decided by each look is what was to be spent by then."""
    rows = np.random.default_rng(2).standard_normal((400_000, LOOKS[-1]))
    levels = LookLevels(LOOKS, alpha).shared(alpha, np.arange(len(LOOKS)))
    decided = np.zeros(len(rows), dtype=np.bool_)
    for n, level in zip(LOOKS, levels, strict=True):
        t = rows[:, :n].mean(1) / rows[:, :n].std(1, ddof=1) * math.sqrt(n)
        decided |= 2 * special.stdtr(n - 1, -np.abs(t)) <= level
        expected = alpha * float(spent(n / LOOKS[-1]))
        assert decided.mean() == pytest.approx(expected, abs=4 * math.sqrt(expected / len(rows)) + 0.01 * expected)


@given(st.lists(st.floats(1e-9, 1.0), min_size=5, max_size=5))
def test_p_over_all_looks_and_the_level_of_a_look_are_mirrors(p: list[float]) -> None:
    levels, places = LookLevels(LOOKS, 0.05), np.arange(5)
    overall = levels.overall(np.array(p), places)
    assert ((overall >= np.array(p)) | (overall == 1)).all()
    inner = overall < 1
    np.testing.assert_allclose(levels.nominal(overall, places)[inner], np.array(p)[inner], rtol=1e-6)


def test_every_level_of_a_look_rises_with_the_level_of_the_study() -> None:
    assert (np.diff(spending_table(LOOKS), axis=1) >= 0).all()


def test_undefined_p_stay_undefined_and_one_look_changes_nothing() -> None:
    p = np.array([np.nan, 0.02])
    places = np.zeros(2, dtype=np.int64)
    np.testing.assert_array_equal(LookLevels((5,), 0.05).overall(p, places), p)
    np.testing.assert_array_equal(np.isnan(LookLevels(LOOKS, 0.05).overall(p, places)), [True, False])
    np.testing.assert_array_equal(LookLevels(LOOKS, 0.05, "split").overall(p, places), p)


def test_a_look_at_one_seed_has_no_test() -> None:
    levels = LookLevels((1, 3, 5), 0.05)
    assert levels.shared(0.05, np.arange(3))[0] == 0
    assert levels.overall(np.array([1e-9]), np.zeros(1, dtype=np.int64))[0] == 1


def test_the_last_look_keeps_most_of_alpha() -> None:
    """What a spending function is for: the union bound leaves the last of three looks half of alpha."""
    assert last_level((3, 5, 10), 0.05, "split") == pytest.approx(0.025)
    assert last_level((3, 5, 10), 0.05, "spending") > 0.045
