"""Arms with skewed noise of their own: seen in the data, and a test that keeps its level on them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.report import compare
from ablate.report.statistics.corrections import adjust
from ablate.report.statistics.significance import equivalence_p, paired_summary, two_sided_p
from ablate.report.statistics.skewed_noise import (
    common_skewness,
    is_one_sided,
    sample_skewness,
    skewed_equivalence_p,
    skewed_p,
)
from ablate.study.spec import MetricSpec

METRIC = MetricSpec("q", "max")


def quiet_baseline(rng: np.random.Generator, seeds: int, arms: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Exponential noise in the arms, a tenth of it in the baseline; nothing matters."""
    values = rng.standard_exponential((arms + 1, seeds)) - 1
    return values[1:], np.broadcast_to(0.1 * values[:1], (arms, seeds))


def test_sample_skewness_is_that_of_scipy() -> None:
    rows = np.random.default_rng(0).standard_exponential((4, 7))
    np.testing.assert_allclose(sample_skewness(rows), stats.skew(rows, axis=1))
    assert np.isnan(sample_skewness(np.array([[1.0, 2.0, np.nan], [1.0, 1.0, 1.0]]))).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_many_samples_of_few_seeds_show_the_skewness_they_came_from(sign: float) -> None:
    """An exponential distribution has skewness 2; samples of six seeds show less than half of it."""
    rows = sign * np.random.default_rng(1).standard_exponential((4000, 6))
    assert abs(sample_skewness(rows).mean()) < 1
    assert common_skewness(rows, caution=0.0) == pytest.approx(2 * sign, abs=0.15)
    assert abs(common_skewness(np.random.default_rng(2).normal(size=(4000, 6)), caution=0.0)) < 0.2


def test_p_is_never_below_that_of_the_t_test() -> None:
    rows = np.random.default_rng(3).normal(size=(20, 6)) + 0.5
    summary = paired_summary(rows)
    plain = two_sided_p(summary.mean, summary.se, summary.df)
    assert (skewed_p(rows, summary) >= plain).all()
    margin = np.full(20, 1.0)
    same = equivalence_p(summary.mean, summary.se, summary.df, margin)
    assert (skewed_equivalence_p(rows, summary, margin) >= same).all()


def test_a_sure_difference_stays_one() -> None:
    rows = np.random.default_rng(4).normal(5.0, 1.0, (3, 6))
    assert (skewed_p(rows, paired_summary(rows)) < 0.01).all()


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_test_holds_where_the_t_test_does_not(seeds: int) -> None:
    """400 studies of eight equal arms: the t-test errs in more than one of ten, this one in one of twenty at most."""
    rng = np.random.default_rng(seeds)
    plain = held = 0
    for _ in range(400):
        arms, baseline = quiet_baseline(rng, seeds)
        rows = arms - baseline
        summary, level = paired_summary(rows), np.full(8, 0.05)
        plain += bool((adjust(two_sided_p(summary.mean, summary.se, summary.df), level, "holm").p <= 0.05).any())
        held += bool((adjust(skewed_p(rows, summary), level, "holm").p <= 0.05).any())
    assert plain / 400 > 0.1
    assert held / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_the_data_show_it_when_they_do() -> None:
    rng = np.random.default_rng(6)
    seen = [bool(is_one_sided(*quiet_baseline(rng, 10))[0]) for _ in range(50)]
    noise = [rng.normal(size=(9, 10)) for _ in range(50)]
    false = [bool(is_one_sided(one[1:], np.broadcast_to(0.1 * one[:1], (8, 10)))[0]) for one in noise]
    assert sum(seen) > 40
    assert sum(false) <= 5


def frame_of(rng: np.random.Generator, seeds: int) -> pd.DataFrame:
    arms, baseline = quiet_baseline(rng, seeds)
    rows = [("baseline", seed, value) for seed, value in enumerate(baseline[0])]
    rows += [(f"arm {at}", seed, value) for at, own in enumerate(arms) for seed, value in enumerate(own)]
    return pd.DataFrame(rows, columns=["arm", "seed", "q"])


def test_a_warning_names_the_arms_and_the_test_that_holds() -> None:
    frame = frame_of(np.random.default_rng(7), 10)
    lints = {lint.code: lint.message for lint in compare(frame, metrics=[METRIC]).lints}
    assert "'skewed'" in lints["skewed-noise"]
    assert "skewed-noise" not in {lint.code for lint in compare(frame, metrics=[METRIC], test="skewed").lints}


def test_the_test_needs_five_seeds() -> None:
    frame = frame_of(np.random.default_rng(8), 4)
    row = compare(frame, metrics=[METRIC], test="skewed").row("arm 0")
    assert (row.p, row.verdict, row.note) == (None, "undecided", "needs 1 more seed")
    five = compare(frame_of(np.random.default_rng(8), 5), metrics=[METRIC], test="skewed").row("arm 0")
    assert five.p is not None
    assert five.p_plain is not None
    assert five.p >= five.p_plain
