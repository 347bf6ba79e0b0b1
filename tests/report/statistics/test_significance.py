"""Closed forms of the tests and intervals, checked against scipy and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from ablate.report.statistics.significance import (
    Floats,
    correlations,
    count_mean_sd,
    equivalence_p,
    half_width,
    no_noise,
    paired_summary,
    sign_flip_p,
    sign_flips,
    t_interval,
    two_sided_p,
    welch_summary,
)

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=9).filter(lambda row: np.std(row) > 1e-3)


def samples(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_paired_p_is_scipys(n: int) -> None:
    arms, baseline = samples(6, n) + 0.3, samples(n, seed=1)
    summary = paired_summary(arms - baseline)
    expected = [reference.ttest_rel(arm, baseline).pvalue for arm in arms]
    np.testing.assert_allclose(two_sided_p(summary.mean, summary.se, summary.df), expected, rtol=1e-10)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_paired_interval_is_scipys(n: int) -> None:
    arms, baseline = samples(4, n), samples(n, seed=1)
    summary = paired_summary(arms - baseline)
    width = half_width(summary.se, summary.df)
    expected = [reference.ttest_rel(arm, baseline).confidence_interval(0.95) for arm in arms]
    np.testing.assert_allclose(summary.mean - width, [interval.low for interval in expected], rtol=1e-10)
    np.testing.assert_allclose(summary.mean + width, [interval.high for interval in expected], rtol=1e-10)


@pytest.mark.parametrize(("n", "others"), [(3, 3), (5, 4), (2, 10), (10, 3)])
def test_welch_is_scipys(n: int, others: int) -> None:
    arms, baseline = samples(5, n) * 3 + 1, samples(others, seed=1)
    summary = welch_summary(arms, baseline)
    expected = [reference.ttest_ind(arm, baseline, equal_var=False) for arm in arms]
    np.testing.assert_allclose(summary.df, [result.df for result in expected], rtol=1e-10)
    np.testing.assert_allclose(
        two_sided_p(summary.mean, summary.se, summary.df), [result.pvalue for result in expected], rtol=1e-10
    )


def test_three_differences_by_hand() -> None:
    """d = 1, 2, 3: mean 2, s 1, SE 1/sqrt 3, t = 3.4641; for 2 df p = 1 - t / sqrt(2 + t^2)."""
    summary = paired_summary(np.array([[1.0, 2.0, 3.0]]))
    t = 2 * math.sqrt(3)
    assert summary.se[0] == pytest.approx(1 / math.sqrt(3))
    assert two_sided_p(summary.mean, summary.se, summary.df)[0] == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_equivalence_is_two_one_sided_tests() -> None:
    """The larger p of scipy's one-sided tests against -m and +m."""
    row, margin = samples(8) * 0.1, 0.12
    summary = paired_summary(row[None, :])
    above = reference.ttest_1samp(row, -margin, alternative="greater").pvalue
    below = reference.ttest_1samp(row, margin, alternative="less").pvalue
    p = equivalence_p(summary.mean, summary.se, summary.df, np.array([margin]))
    assert p[0] == pytest.approx(max(above, below))


def test_equivalence_at_the_5_percent_level_is_the_90_percent_interval_inside_the_margin() -> None:
    rows = samples(200, 5) * 0.5
    summary = paired_summary(rows)
    p = equivalence_p(summary.mean, summary.se, summary.df, np.full(200, 0.6))
    width = half_width(summary.se, summary.df, 0.10)
    inside = np.abs(summary.mean) + width <= 0.6
    assert 20 < inside.sum() < 180
    np.testing.assert_array_equal(p <= 0.05, inside)


def test_missing_values_are_left_out_of_each_row() -> None:
    n, mean, sd = count_mean_sd(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 5.0], [np.nan] * 3]))
    np.testing.assert_array_equal(n, [2, 1, 0])
    np.testing.assert_array_equal(mean, [2, 5, np.nan])
    np.testing.assert_allclose(sd, [math.sqrt(2), np.nan, np.nan])


def test_one_value_has_no_interval() -> None:
    assert all(math.isnan(end) for end in t_interval([3.0]))
    assert all(math.isnan(end) for end in t_interval([]))


@given(VALUES)
def test_t_interval_is_centred_on_the_mean_and_grows_with_its_level(row: list[float]) -> None:
    low, high = t_interval(row)
    narrow_low, narrow_high = t_interval(row, 0.8)
    assert (low + high) / 2 == pytest.approx(np.mean(row), abs=1e-9)
    assert low < narrow_low < narrow_high < high


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_test_errs_as_often_as_it_says_and_the_interval_covers(n: int) -> None:
    """20 000 studies without effect: within four standard errors of 5 % and 95 %."""
    rows = samples(20_000, n, seed=n)
    summary = paired_summary(rows)
    error = 4 * math.sqrt(0.05 * 0.95 / 20_000)
    assert np.mean(two_sided_p(summary.mean, summary.se, summary.df) <= 0.05) == pytest.approx(0.05, abs=error)
    covered = np.abs(summary.mean) <= half_width(summary.se, summary.df)
    assert np.mean(covered) == pytest.approx(0.95, abs=error)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_no_noise_is_relative_to_the_values(size: float) -> None:
    """Differences of a thousandth are noise for metrics of any size; the rounding of floats is none."""
    sd = size * np.array([1e-16, 1e-3, np.nan])
    assert no_noise(sd, np.full(3, size)).tolist() == [True, False, False]


def test_correlation_is_pearsons_over_shared_seeds() -> None:
    baseline = samples(8, seed=1)
    arm = 0.5 * baseline + samples(8)
    gap = arm.copy()
    gap[3] = np.nan
    rho = correlations(np.stack([arm, gap]), baseline)
    assert rho[0] == pytest.approx(np.corrcoef(arm, baseline)[0, 1])
    assert rho[1] == pytest.approx(np.corrcoef(np.delete(arm, 3), np.delete(baseline, 3))[0, 1])


def test_correlation_needs_three_seeds_and_spread() -> None:
    rows = np.array([[1.0, 2.0, np.nan], [4.0, 4.0, 4.0]])
    assert np.isnan(correlations(rows, np.array([1.0, 2.0, 4.0]))).all()


def test_sign_flips_are_all_patterns_once() -> None:
    flips = sign_flips(4)
    assert {tuple(row) for row in flips.tolist()} == set(itertools.product((-1, 1), repeat=4))
    assert flips[0].tolist() == [1, 1, 1, 1]


def test_six_differences_of_one_sign_reach_two_in_sixty_four() -> None:
    assert sign_flip_p([0.5, 1.0, 0.2, 0.7, 0.1, 0.3]) == 2 / 64
    assert sign_flip_p([0.5, 1.0, 0.2, 0.7, 0.1, 0.3], one_sided=True) == 1 / 64
    assert sign_flip_p([-0.5, -1.0, -0.2], one_sided=True) == 1.0


def test_sign_flip_is_scipys_permutation_test() -> None:
    row = samples(7) + 0.4
    expected = reference.permutation_test([row], np.mean, permutation_type="samples", n_resamples=1000)
    assert sign_flip_p(row) == pytest.approx(expected.pvalue)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.sampled_from((1.0, 0.1, 1e9)), st.booleans())
def test_sign_flip_counts_every_pattern_and_every_tie(row: list[int], unit: float, one_sided: bool) -> None:
    sums = [sum(sign * value for sign, value in zip(signs, row, strict=True))
            for signs in itertools.product((-1, 1), repeat=len(row))]  # fmt: skip
    seen = sum(row)
    extreme = sum(one >= seen if one_sided else abs(one) >= abs(seen) for one in sums)
    assert sign_flip_p([unit * value for value in row], one_sided=one_sided) == extreme / len(sums)


def test_sign_flip_refuses_what_it_cannot_enumerate() -> None:
    with pytest.raises(ValueError, match="1 to 20"):
        sign_flip_p(np.ones(21))
    with pytest.raises(ValueError, match="1 to 20"):
        sign_flip_p([])


@given(VALUES)
def test_sign_flip_ignores_the_overall_sign(row: list[float]) -> None:
    assert sign_flip_p(row) == sign_flip_p([-value for value in row])
