"""Time to a quality: seeds that never got there stay in, and no p is given where none can mean anything."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.errors import AblateError
from ablate.report import compare
from ablate.report.statistics.kaplan_meier import Time
from ablate.report.statistics.model import Stability, Verdict
from ablate.report.statistics.time_to_event import Race, race, times_to
from ablate.report.text.convergence_sentences import race_sentences
from ablate.report.text.time_cells import race_cells, time_text


def runs(*times: float) -> dict[int, Time]:
    """Seed -> time; a negative one is censored there."""
    return {seed: Time(abs(time), time > 0) for seed, time in enumerate(times)}


def against(arm: dict[int, Time], base: dict[int, Time]) -> Race:
    return race({"baseline": base, "arm": arm}, "baseline")


def test_where_all_got_there_ratios_are_tested_on_the_log_scale() -> None:
    arm, base = runs(100, 200, 150, 120), runs(210, 390, 320, 230)
    found = against(arm, base).arms["arm"]
    logs = np.log([100 / 210, 200 / 390, 150 / 320, 120 / 230])
    assert found.ratio == pytest.approx(math.exp(logs.mean()))
    assert found.p == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)
    interval = stats.ttest_1samp(logs, 0).confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert found.test == "paired t on ln(time)"


def test_with_a_censored_seed_there_is_no_p_below_six_seeds() -> None:
    found = against(runs(1, 1, 1, 1, -9), runs(5, 5, 5, 5, 5)).arms["arm"]
    assert (found.p, found.ratio, found.earlier, found.later, found.reached) == (None, None, 4, 1, 4)
    assert "fewer than 6 shared seeds" in found.test


def test_from_six_seeds_on_the_sign_test_is_exact() -> None:
    found = against(runs(1, 1, 1, 1, 1, 1), runs(-9, 5, 5, 5, 5, 5)).arms["arm"]
    assert (found.earlier, found.later) == (6, 0)
    assert found.p == pytest.approx(2 / 2**6)
    assert found.test == "exact sign test"


def test_a_seed_that_was_watched_less_long_decides_nothing() -> None:
    """The arm got there at 7, the baseline was given up at 5: nobody knows who is first."""
    found = against(runs(7, -9), runs(-5, -9)).arms["arm"]
    assert (found.earlier, found.later) == (0, 0)


def test_times_are_those_of_points_never_between_them() -> None:
    curves = pd.DataFrame(
        [("a", 0, 10, 1.0), ("a", 0, 20, 3.0), ("a", 0, 30, 2.0), ("a", 1, 10, 1.0), ("a", 1, 40, 1.5)],
        columns=["arm", "seed", "images", "value"],
    )
    assert times_to(curves, 2.5, "max") == {"a": {0: Time(20.0, True), 1: Time(40.0, False)}}
    assert times_to(curves, 1.0, "min") == {"a": {0: Time(10.0, True), 1: Time(10.0, True)}}


def test_a_baseline_without_times_is_one_clear_error() -> None:
    with pytest.raises(AblateError, match="the baseline 'baseline' has no times"):
        race({"arm": runs(1)}, "baseline")


@given(
    times=st.lists(
        st.tuples(st.floats(1, 100), st.booleans(), st.floats(1, 100), st.booleans()), min_size=1, max_size=9
    ),
    factor=st.floats(0.1, 10),
)
def test_swapping_and_scaling(times: list[tuple[float, bool, float, bool]], factor: float) -> None:
    arm = {seed: Time(a, there) for seed, (a, there, _, _) in enumerate(times)}
    base = {seed: Time(b, there) for seed, (_, _, b, there) in enumerate(times)}
    found, swapped = against(arm, base).arms["arm"], against(base, arm).arms["arm"]
    assert (found.earlier, found.later) == (swapped.later, swapped.earlier)
    assert found.p == pytest.approx(swapped.p)
    scaled = against(
        {seed: Time(time.at * factor, time.reached) for seed, time in arm.items()},
        {seed: Time(time.at * factor, time.reached) for seed, time in base.items()},
    ).arms["arm"]
    if found.ratio is not None and swapped.ratio is not None:
        assert found.ratio * swapped.ratio == pytest.approx(1)
        assert scaled.ratio == pytest.approx(found.ratio)


def test_survivors_are_never_averaged_in_the_table() -> None:
    """Two of three seeds are fast, the third never got there: the mean of the two would praise the arm."""
    frame = pd.DataFrame(
        {
            "arm": ["baseline"] * 3 + ["arm"] * 3 + ["slow"] * 3,
            "seed": [0, 1, 2] * 3,
            "steps": [10, 11, 12, 5, 6, math.nan, 20, 23, 24],
            "steps_reached": [1, 1, 1, 1, 1, 0, 1, 1, 1],
            "outcome": ["measured"] * 9,
        }
    )
    comparison = compare(frame, metrics=["steps:min:log"])
    row = comparison.row("arm")
    assert (row.verdict, row.mean, row.diff, row.p) == (Verdict.UNDECIDED, None, None, None)
    assert row.note == "not reached in 1 of 3 seeds"
    assert comparison.row("slow").verdict is Verdict.WORSE
    assert comparison.tested == 1


def test_a_baseline_that_did_not_get_there_decides_nothing_in_the_table() -> None:
    frame = pd.DataFrame(
        {
            "arm": ["baseline"] * 2 + ["arm"] * 2,
            "seed": [0, 1] * 2,
            "steps": [math.nan, 11, 5, 6],
            "steps_reached": [0, 1, 1, 1],
            "outcome": ["measured"] * 4,
        }
    )
    row = compare(frame, metrics=["steps:min:log"]).row("arm")
    assert (row.verdict, row.note) == (Verdict.UNDECIDED, "not reached in 1 of 2 seeds of the baseline")


def test_one_sentence_says_who_did_not_get_there_and_who_was_sooner() -> None:
    arms = {"baseline": runs(5, 5.2, 5), "arm": runs(1, 1, -9), "fast": runs(1, 1.1, 1), "same": runs(5, 5, 5.1)}
    (said,) = race_sentences([race(arms, "baseline", quality=28)])
    assert said == (
        "images_to_quality (quality 28): the baseline reached it in 3 of 3 seeds, half of them by 5; only arm in 2 of "
        "3 seeds; sooner fast 0.20x (exploratory; every arm in the section on times to the quality)."
    )


def test_a_race_that_all_finished_is_told_by_the_comparison_alone() -> None:
    assert race_sentences([race({"baseline": runs(5, 6), "arm": runs(1, 2)}, "baseline")]) == []


def test_cells_keep_censored_and_diverged_seeds_apart() -> None:
    found = race({"baseline": runs(210, 390, 320), "arm": runs(100, 200, -400), "one": runs(90)}, "baseline")
    stability = {"one": Stability("one", 2, 3, 0.1, 0.9, None)}
    assert race_cells(found, stability) == [
        ("baseline", "3 of 3", "320", "210 to 390", "–", "-"),
        ("arm", "2 of 3", "200", "100 or more", "first in 2, later in 1", "-"),
        ("one", "1 of 1, 2 diverged", "90", "–", "0.43x", "-"),
    ]
    assert time_text(187.0, "s") == "3 min 7 s"
