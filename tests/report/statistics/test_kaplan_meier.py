"""The Kaplan-Meier estimate and its median, against numbers by hand, from a textbook, and of another package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report.statistics.kaplan_meier import Median, Time, at_risk, kaplan_meier, median_time

REMISSION = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
"""Weeks of remission of 21 patients on 6-MP (Freireich et al. 1963); + is censored."""
SMALL = "2 3 3+ 5 8 8+ 9+"


def read(text: str) -> list[Time]:
    return [Time(float(word.rstrip("+")), not word.endswith("+")) for word in text.split()]


def test_by_hand() -> None:
    """1 - 6/7, 1 - 6/7 * 5/6, then of four left one, then of three left one."""
    curve = kaplan_meier(read(SMALL))
    assert [(step.at, step.at_risk) for step in curve] == [(2, 7), (3, 6), (5, 4), (8, 3)]
    by_hand = [1 - 6 / 7, 1 - 5 / 7, 1 - 5 / 7 * 3 / 4, 1 - 5 / 7 * 3 / 4 * 2 / 3]
    assert [step.share for step in curve] == pytest.approx(by_hand)


def test_the_published_table() -> None:
    remaining = {step.at: round(1 - step.share, 3) for step in kaplan_meier(read(REMISSION))}
    assert remaining == {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}


def test_intervals_and_medians_are_those_of_lifelines() -> None:
    """Reference values: lifelines 0.30.3, KaplanMeierFitter and median_survival_times, of the share that is left."""
    curve = kaplan_meier(read(REMISSION))
    assert [1 - (step.high or 0) for step in curve] == pytest.approx(
        [0.619718, 0.563147, 0.503200, 0.431610, 0.367511, 0.267779, 0.188052], abs=1e-6
    )
    assert [1 - (step.low or 0) for step in curve] == pytest.approx(
        [0.951552, 0.922809, 0.889362, 0.849066, 0.804912, 0.746791, 0.680143], abs=1e-6
    )
    assert median_time(curve) == Median(23, 13, None)
    assert median_time(kaplan_meier(read(SMALL))) == Median(8, 2, None)
    assert median_time(kaplan_meier(read("1 2 3 4 5"))) == Median(3, 1, 5)


def test_nobody_there_has_no_curve_and_no_median() -> None:
    assert kaplan_meier(read("5+ 5+")) == ()
    assert median_time(()) == Median(None, None, None)


@pytest.mark.parametrize("text", ["7", "7 7 7"])
def test_without_spread_there_is_a_median_and_no_interval(text: str) -> None:
    assert median_time(kaplan_meier(read(text))) == Median(7, None, None)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12))
def test_a_curve_rises_inside_its_bounds_and_counts_everybody(runs: list[tuple[int, bool]]) -> None:
    times = [Time(float(at), reached) for at, reached in runs]
    curve = kaplan_meier(times)
    shares = [0.0, *(step.share for step in curve)]
    assert shares == sorted(set(shares))
    assert all(step.low is None or step.high is None or step.low <= step.share <= step.high for step in curve)
    assert at_risk(times, 0) == len(times)
    if all(reached for _, reached in runs):  # Without censoring it is the share of seeds so far.
        assert [step.share for step in curve] == pytest.approx(
            [sum(time.at <= step.at for time in times) / len(times) for step in curve]
        )
