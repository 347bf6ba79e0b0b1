"""Seeds needed and differences seen: against simulation, brute force and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.report.statistics.power import power_at, seeds_needed, smallest_detectable
from ablate.report.statistics.significance import paired_summary, two_sided_p


def needed(improvement: float, sd: float, n: int, margin: float = math.nan, level: float = 0.05) -> float:
    vectors = [np.array([float(value)]) for value in (improvement, sd, n, margin, level)]
    return float(seeds_needed(*vectors)[0])


@pytest.mark.parametrize(("effect", "n"), [(0.5, 5), (1.0, 5), (1.0, 10), (2.0, 3)])
def test_power_is_what_simulation_gives(effect: float, n: int) -> None:
    """20 000 studies; power counts rejections to the true side only."""
    rows = np.random.default_rng(n).normal(effect, 1.0, size=(20_000, n))
    summary = paired_summary(rows)
    found = (two_sided_p(summary.mean, summary.se, summary.df) <= 0.05) & (summary.mean > 0)
    power = float(power_at(effect, 1.0, n, 0.05))
    assert np.mean(found) == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 20_000))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 50])
@pytest.mark.parametrize("level", [0.05, 0.005, 1e-5])
def test_power_is_the_tail_of_the_noncentral_t(n: int, level: float) -> None:
    critical = stats.t.isf(level / 2, n - 1)
    shift = np.linspace(0.0, min(35.0, 2 * critical + 5), 30)
    expected = stats.nct.sf(critical, n - 1, shift)
    np.testing.assert_allclose(power_at(shift / math.sqrt(n), 1.0, n, level), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("n", "level"), [(2, 1e-5), (2, 1e-6), (10, 0.05), (50, 1e-6)])
def test_power_rises_to_one_where_the_series_underflows(n: int, level: float) -> None:
    critical = stats.t.isf(level / 2, n - 1)
    power = power_at(np.linspace(0.0, 4 * critical + 40, 2000) / math.sqrt(n), 1.0, n, level)
    assert np.all(np.diff(power) >= -1e-6)
    assert power[-1] > 0.9999


def test_textbook_sample_size() -> None:
    """One standard deviation at 5 % and 80 % power: 10 pairs; half of one: 34."""
    assert needed(1.0, 1.0, 2) == 10
    assert needed(0.5, 1.0, 2) == 34


@pytest.mark.parametrize("level", [0.05, 0.005])
@pytest.mark.parametrize("effect", [0.6, 1.0, 3.0])
def test_seeds_needed_is_the_smallest_that_reaches_the_power(effect: float, level: float) -> None:
    """Brute force over the formula as written down, seed by seed."""
    expected = next(
        n for n in range(2, 400) if stats.nct.sf(stats.t.isf(level / 2, n - 1), n - 1, effect * math.sqrt(n)) >= 0.8
    )
    found = needed(effect, 1.0, 1, level=level)
    assert found == expected if expected <= 50 else math.isnan(found)


def test_seeds_needed_is_more_than_there_are() -> None:
    assert needed(5.0, 1.0, 7) == 8


def test_small_differences_are_within_seed_noise() -> None:
    assert math.isnan(needed(0.1, 1.0, 5))
    assert math.isnan(needed(0.0, 1.0, 5))


def test_a_margin_asks_for_the_distance_to_either_end() -> None:
    """d = 0.2 with margin 1.2: what is left to show is 1.0, not 0.2; with margin 0.3 it is d itself."""
    assert needed(0.2, 1.0, 3, margin=1.2) == needed(1.0, 1.0, 3)
    assert needed(0.7, 1.0, 3, margin=1.0) == needed(0.7, 1.0, 3)


def test_each_arm_is_planned_by_itself() -> None:
    together = seeds_needed(
        np.array([1.0, 0.5, 0.0]), np.ones(3), np.full(3, 3.0), np.full(3, np.nan), np.array([0.05, 0.05, 0.05])
    )
    np.testing.assert_array_equal(together, [10, 34, np.nan])


@settings(max_examples=30)
@given(st.floats(0.01, 100), st.integers(2, 60), st.integers(1, 50))
def test_the_smallest_detectable_difference_has_exactly_the_power(sd: float, n: int, tests: int) -> None:
    difference = smallest_detectable(sd, n, tests)
    assert float(power_at(difference, sd, n, 0.05 / tests)) == pytest.approx(0.8, abs=1e-6)


def test_more_seeds_see_more_and_more_tests_less() -> None:
    by_seeds = [smallest_detectable(1.0, n) for n in (2, 3, 5, 10, 50)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert smallest_detectable(1.0, 5, tests=10) > smallest_detectable(1.0, 5)
    assert smallest_detectable(2.0, 5) == pytest.approx(2 * smallest_detectable(1.0, 5))


def test_what_cannot_be_seen_and_what_is_always_seen() -> None:
    assert smallest_detectable(1.0, 1) == math.inf
    assert smallest_detectable(0.0, 3) == 0.0


@pytest.mark.parametrize("wrong", [{"sd": -1.0}, {"tests": 0}, {"alpha": 0.0}, {"power": 1.0}])
def test_impossible_plans_are_refused(wrong: dict[str, float]) -> None:
    arguments: dict[str, float] = {"sd": 1.0, "n": 5, **wrong}
    with pytest.raises(ValueError, match="need sd"):
        smallest_detectable(**arguments)  # type: ignore[arg-type]  # a dict of mixed numbers


def test_huge_effects_have_power_one() -> None:
    assert float(power_at(1e9, 1.0, 2, 1e-6)) == 1.0
