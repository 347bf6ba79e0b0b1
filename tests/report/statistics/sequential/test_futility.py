"""Stopping: the chance to be decided against drawn futures, what stops, and that the error holds for who goes on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.report import compare
from ablate.report.statistics.model import Verdict
from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.report.statistics.sequential.futility import chance_decided, drawn_variance, next_level
from ablate.study.spec import MetricSpec

METRIC = MetricSpec("psnr", "max")
LOOKS = (3, 5, 10)


def table(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [(arm, seed, value) for arm, row in values.items() for seed, value in enumerate(row)]
    return pd.DataFrame(rows, columns=["arm", "seed", "psnr"])


@pytest.mark.parametrize("mean", [-0.9, 0.1, 0.6])
@pytest.mark.parametrize("margin", [math.nan, 0.8])
def test_the_chance_is_the_share_of_drawn_futures_that_decide(mean: float, margin: float) -> None:
    """100 000 futures of 4 more seeds after 5, with the noise known: means now and later are normal."""
    n, last, sd, differ, same = 5, 9, 1.0, 0.01, 0.04
    rng = np.random.default_rng(4)
    truth = rng.normal(mean, sd / math.sqrt(n), 100_000)
    later = (n * mean + (last - n) * rng.normal(truth, sd / math.sqrt(last - n))) / last
    error = sd / math.sqrt(last)
    decided = np.abs(later) > stats.t.isf(differ / 2, last - 1) * error
    decided |= np.abs(later) < np.nan_to_num(margin - stats.t.isf(same, last - 1) * error, nan=-1.0)
    found = chance_decided(np.array(mean), np.array(sd), n, last, differ, same, margin)
    assert float(found) == pytest.approx(decided.mean(), abs=4 * math.sqrt(0.25 / 100_000))


def test_noise_is_drawn_towards_the_median_arm() -> None:
    """nu = 2, so that the median of a chi square is 2 ln 2: v = (2 s^2 + 4 s_typical^2 / ln 2) / 6."""
    variance = np.array([1.0, 2.0, 9.0])
    expected = (2 * variance + 4 * 2.0 / math.log(2)) / 6
    np.testing.assert_allclose(drawn_variance(variance, np.full(3, 2.0)), expected)


def test_the_next_arm_gets_the_level_that_the_rejected_ones_left() -> None:
    levels = LookLevels(LOOKS, 0.05)
    first, second = (next_level(levels, 0.05, "holm", 8, rejected) for rejected in (0, 7))
    assert first == pytest.approx(levels.shared(0.05 / 8, np.array([2]))[0])
    assert second == pytest.approx(levels.shared(0.05, np.array([2]))[0])
    assert next_level(levels, 0.05, "none", 8, 0) == second


def quiet() -> dict[str, list[float]]:
    base = [29.013, 29.427, 28.804]
    return {
        "baseline": base,
        "nothing": [value + change for value, change in zip(base, (0.2, -0.31, 0.08), strict=True)],
        "promising": [value + change for value, change in zip(base, (0.5, 0.9, 0.6), strict=True)],
    }


def test_an_arm_that_more_seeds_would_hardly_decide_is_stopped() -> None:
    comparison = compare(table(quiet()), metrics=[METRIC], looks=LOOKS)
    nothing, promising = comparison.row("nothing"), comparison.row("promising")
    assert (nothing.verdict, nothing.stopped, nothing.more_seeds) == (Verdict.UNDECIDED, True, None)
    assert nothing.note == "stopped, more seeds would hardly help"
    assert nothing.chance is not None
    assert nothing.chance < 0.1
    assert nothing.could_show is not None
    assert (promising.verdict, promising.stopped) == (Verdict.UNDECIDED, False)
    never = compare(table(quiet()), metrics=[METRIC], looks=LOOKS, futility=0.0).row("nothing")
    assert (never.stopped, never.chance) == (False, None)


def test_a_margin_keeps_an_arm_going_that_may_become_equivalent() -> None:
    wide = MetricSpec("psnr", "max", margin=1.0)
    row = compare(table(quiet()), metrics=[wide], looks=LOOKS).row("nothing")
    assert not row.stopped
    assert row.verdict is Verdict.EQUIVALENT or (row.chance is not None and row.chance > 0.1)


def test_what_comes_later_does_not_start_a_stopped_arm_again() -> None:
    """Its outlook is that of the look at which it was stopped, however the others go on."""
    first = compare(table(quiet()), metrics=[METRIC], looks=LOOKS).row("nothing")
    rng = np.random.default_rng(0)
    more = quiet()
    more["baseline"] += rng.normal(29.0, 0.3, 7).tolist()
    more["promising"] += [value + 0.7 for value in more["baseline"][3:]]
    later = compare(table(more), metrics=[METRIC], looks=LOOKS)
    assert later.row("promising").pairs == 10
    assert (later.row("nothing").stopped, later.row("nothing").chance) == (True, first.chance)


def test_the_error_holds_for_those_who_go_on_anyway() -> None:
    """100 studies of three equal arms, each run to the last look whatever was said: a false word at any look."""
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(100):
        frame = table({arm: rng.normal(size=10).tolist() for arm in ("baseline", "a", "b", "c")})
        told = [compare(frame, metrics=[METRIC], looks=LOOKS, look=look) for look in LOOKS]
        words = [comparison.row(arm).verdict for comparison in told for arm in ("a", "b", "c")]
        wrong += Verdict.BETTER in words or Verdict.WORSE in words
    assert wrong / 100 <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 100)
