"""Who dominates whom: two verdicts on every pair of arms, and nobody by what is not decided."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.report import compare
from ablate.report.statistics.model import Comparison, Verdict
from ablate.report.statistics.pareto import MOST_ARMS, Front, front_of, front_sentences, front_text
from ablate.study.spec import MetricSpec

METRICS = (
    MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB"),
    MetricSpec("train_seconds", "min", scale="log", margin=0.05, unit="s"),
)
QUIET = np.random.default_rng(5).normal(0, 0.004, (MOST_ARMS + 1, 5))
"""[arms, seeds]"""


def compared(**arms: tuple[float, float]) -> Comparison:
    """Arm -> (quality, seconds); every seed moves all arms alike, and each arm a little."""
    rows = [
        (arm, seed, quality + seed / 10 + QUIET[place][seed], seconds * (1 + QUIET[place][seed - 2]))
        for place, (arm, (quality, seconds)) in enumerate(arms.items())
        for seed in range(5)
    ]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "psnr", "train_seconds"])
    return compare(frame, metrics=METRICS)


def front(**arms: tuple[float, float]) -> Front:
    found = front_of(compared(**arms))
    assert found is not None
    return found


def over(found: Front) -> set[tuple[str, str]]:
    return {(one.arm, one.over) for one in found.dominated}


def test_arms_that_equal_the_baseline_in_neither_may_dominate_each_other() -> None:
    """Against the baseline both trade quality for time; against each other one is better in both."""
    found = front(baseline=(28, 10), slow=(30, 30), fast=(30.5, 20))
    assert over(found) == {("fast", "slow")}
    assert found.arms == ("baseline", "fast")
    assert (front_text(found, "slow"), front_text(found, "fast")) == ("dominated by fast", "on the front")
    assert front_sentences(found, str.upper) == ["fast dominates slow (better in PSNR, better in TRAIN_SECONDS)."]


def test_arms_that_are_dominated_alike_share_their_reason() -> None:
    found = front(baseline=(28, 10), same=(28, 10), best=(31, 10), slow=(28, 30))
    assert front_sentences(found, str)[-1] == (
        "best dominates baseline, same (better in psnr, equivalent in train_seconds); "
        "slow (better in psnr, better in train_seconds)."
    )


@pytest.mark.parametrize(
    ("arm", "dominates"),
    [
        ((28.0, 5.0), True),  # equivalent, and faster
        ((29.0, 10.0), True),  # better, and as fast
        ((28.0, 10.0), False),  # equivalent in both
        ((29.0, 12.0), False),  # a trade
        ((28.12, 5.0), False),  # faster, and between the margin and clearly better: what it is, is not decided
    ],
)
def test_domination_takes_two_verdicts(arm: tuple[float, float], dominates: bool) -> None:
    comparison = compared(baseline=(28, 10), arm=arm)
    if arm[0] == 28.12:
        rows = dict(comparison.rows)
        rows["arm", "psnr"] = replace(rows["arm", "psnr"], verdict=Verdict.UNDECIDED)
        comparison = replace(comparison, rows=rows)
    found = front_of(comparison)
    assert found is not None
    assert over(found) == ({("arm", "baseline")} if dominates else set())


def test_quality_of_other_pairs_is_corrected_as_a_family_of_its_own() -> None:
    """Three pairs beside the baseline: Holm multiplies the smallest p by three."""
    rng = np.random.default_rng(3)
    names = ("baseline", "a", "b", "c")
    rows = [(arm, seed, rng.normal(28 + at / 4, 0.2), 10.0 + at) for at, arm in enumerate(names) for seed in range(5)]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "psnr", "train_seconds"])
    frame["train_seconds"] *= 1 + 0.001 * rng.normal(size=len(frame))
    found = front_of(compare(frame, metrics=[MetricSpec("psnr", "max", primary=True), METRICS[1]]))
    assert found is not None
    assert found.pairs == 3
    values = {arm: part.sort_values("seed")["psnr"].to_numpy() for arm, part in frame.groupby("arm")}
    p = sorted(
        (float(stats.ttest_rel(values[one], values[other]).pvalue), one, other)
        for one, other in itertools.combinations(names[1:], 2)
    )
    said = {frozenset((one.arm, one.over)) for one in found.dominated if one.quality is Verdict.BETTER}
    clear = [frozenset(pair) for place, (value, *pair) in enumerate(p) if value * (3 - place) <= 0.05]
    assert said.isdisjoint({frozenset(pair) for _, *pair in p} - set(clear))


def test_arms_without_a_mean_and_studies_without_a_time_have_no_front() -> None:
    rows = [(arm, seed, 28.0 + seed, 9.0 + seed, "measured") for arm in ("baseline", "a") for seed in range(3)]
    rows += [("lost", seed, 1.0, 1.0, "diverged") for seed in range(3)]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "psnr", "train_seconds", "outcome"])
    found = front_of(compare(frame, metrics=METRICS))
    assert found is not None
    assert found.arms == ("baseline", "a")
    assert front_text(found, "lost") == "–"
    assert front_of(compare(frame, metrics=METRICS[:1])) is None
    many = {f"arm{place}": (28.0, 10.0) for place in range(MOST_ARMS)}
    assert front_of(compared(baseline=(28, 10), **many)) is None


@given(st.lists(st.tuples(st.integers(20, 30), st.integers(5, 15)), min_size=1, max_size=6))
def test_nobody_dominates_himself_or_who_dominates_him(places: list[tuple[int, int]]) -> None:
    arms = {f"a{at}": (float(quality), float(seconds)) for at, (quality, seconds) in enumerate(places)}
    found = front(baseline=(25.0, 10.0), **arms)
    pairs = over(found)
    assert all((second, first) not in pairs and first != second for first, second in pairs)
    assert found.arms
    assert set(found.arms) | {second for _, second in pairs} == {"baseline", *arms}
    # Differences of whole units are far beyond noise and margins: the front is that of the means.
    known = {"baseline": (25.0, 10.0), **arms}
    for first, second in itertools.permutations(known, 2):
        (quality, seconds), (other, longer) = known[first], known[second]
        better = quality >= other and seconds <= longer and (quality, seconds) != (other, longer)
        assert ((first, second) in pairs) is better
