"""Ranks over blocks against scikit-posthocs 0.17.1 and scipy's Friedman test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report.statistics.blocks.ranks import critical_difference, ranks_of

VALUES = {
    "a": [0.1, 0.1, -1.2, 0.9, 1.4, -1.5, 0.9, 0.1, -0.6, 2.0],
    "b": [1.7, -0.3, 1.0, 1.5, 0.7, 1.6, 0.8, 1.6, 2.3, 0.2],
    "c": [3.0, 2.3, 2.9, 1.6, 2.2, 2.1, 3.7, 3.9, 1.5, 2.0],
    "d": [-0.4, -3.0, -1.5, -1.1, 0.3, -0.3, -1.3, -1.4, -1.3, 0.5],
}
NEMENYI = {("a", "b"): 0.9728, ("a", "c"): 0.0463, ("a", "d"): 0.1910, ("b", "c"): 0.1331, ("b", "d"): 0.0725}
"""p of `posthoc_nemenyi_friedman`; that of c and d is 2.6e-5."""


def test_friedman_and_mean_ranks_are_those_of_scipy() -> None:
    found = ranks_of(VALUES, lower=False, alpha=0.05, baseline="a")
    assert found is not None
    assert found.mean_ranks == pytest.approx({"a": 2.65, "b": 2.4, "c": 1.15, "d": 3.8})
    assert (found.statistic, found.p) == pytest.approx((21.484848, 8.348178e-5))
    assert found.blocks == 10


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.15])
def test_pairs_that_nemenyi_tells_apart_are_those_of_scikit_posthocs(alpha: float) -> None:
    found = ranks_of(VALUES, lower=False, alpha=alpha)
    assert found is not None
    apart = {pair for pair, p in NEMENYI.items() if p < alpha} | {("c", "d")}
    ranks = found.mean_ranks
    pairs = [(one, other) for one in VALUES for other in VALUES if one < other]
    assert {pair for pair in pairs if abs(ranks[pair[0]] - ranks[pair[1]]) >= found.difference} == apart
    together = {pair for pair in pairs if any(set(pair) <= set(clique) for clique in found.cliques)}
    assert together == set(pairs) - apart


def test_critical_difference_is_that_of_the_published_table() -> None:
    """Demsar (2006), table 5: q of 2.343, 2.569 and 3.164 for 3, 4 and 10 arms at 0.05."""
    for arms, quantile in ((3, 2.343), (4, 2.569), (10, 3.164)):
        expected = quantile * (arms * (arms + 1) / (6 * 14)) ** 0.5
        assert critical_difference(arms, 14, 0.05) == pytest.approx(expected, rel=1e-3)


def test_wilcoxon_against_the_baseline_is_that_of_scipy_corrected_by_holm() -> None:
    found = ranks_of(VALUES, lower=False, alpha=0.05, baseline="a")
    assert found is not None
    assert found.against_baseline == pytest.approx({"b": 0.193359, "c": 3 * 0.00390625, "d": 2 * 0.01953125}, rel=1e-5)


def test_few_arms_or_few_blocks_are_not_ranked() -> None:
    assert ranks_of({name: own[:4] for name, own in VALUES.items()}, lower=False, alpha=0.05) is None
    assert ranks_of({name: VALUES[name] for name in "ab"}, lower=False, alpha=0.05) is None
    holed = {**VALUES, "a": [*VALUES["a"][:4], *[np.nan] * 6]}
    assert ranks_of(holed, lower=False, alpha=0.05) is None


def test_arms_that_are_the_same_everywhere_share_their_ranks() -> None:
    found = ranks_of(dict.fromkeys("abc", [1.0] * 6), lower=True, alpha=0.05, baseline="a")
    assert found is not None
    assert set(found.mean_ranks.values()) == {2.0}
    assert found.p == 1.0
    assert found.cliques == (("a", "b", "c"),)


@given(st.permutations(range(10)))
def test_order_of_blocks_does_not_matter(order: list[int]) -> None:
    moved = {name: [own[place] for place in order] for name, own in VALUES.items()}
    one, other = (ranks_of(values, lower=False, alpha=0.05, baseline="a") for values in (VALUES, moved))
    assert one is not None
    assert other is not None
    assert one.mean_ranks == pytest.approx(other.mean_ranks)
    assert one.against_baseline == pytest.approx(other.against_baseline)
