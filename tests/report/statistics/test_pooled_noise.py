"""Pooled noise: the formula by hand, who lends and who does not, and the error it keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablate.report.statistics.corrections import adjust
from ablate.report.statistics.pooled_noise import pool
from ablate.report.statistics.significance import Summary, paired_summary, two_sided_p


def summary(sds: list[float], n: int) -> Summary:
    sd = np.array(sds)
    count = np.full(len(sd), float(n))
    return Summary(count, np.zeros(len(sd)), sd, sd / math.sqrt(n), count - 1)


def test_three_arms_by_hand() -> None:
    """n = 3, nu = 2: each borrows min(2, 4, 4) = 2 degrees of freedom of the others' mean variance."""
    pooled = pool(summary([1.0, 1.2, 0.9], 3), np.ones(3, dtype=np.bool_))
    others = np.array([(1.44 + 0.81) / 2, (1 + 0.81) / 2, (1 + 1.44) / 2])
    expected = (2 * others + 2 * np.array([1.0, 1.44, 0.81])) / 4
    np.testing.assert_allclose(pooled.sd**2, expected)
    np.testing.assert_allclose(pooled.se, np.sqrt(expected / 3))
    np.testing.assert_array_equal(pooled.df, [4, 4, 4])


def test_many_seeds_borrow_four_degrees_at_most() -> None:
    assert pool(summary([1.0, 1.1, 0.9], 10), np.ones(3, dtype=np.bool_)).df.tolist() == [13, 13, 13]


def test_a_noisy_arm_keeps_its_own_and_lends_nothing() -> None:
    sds = [1.0, 1.1, 0.9, 1.05]
    mixed = pool(summary([*sds, 8.0], 5), np.ones(5, dtype=np.bool_))
    alone = pool(summary(sds, 5), np.ones(4, dtype=np.bool_))
    assert (mixed.sd[4], mixed.df[4]) == (8.0, 4)
    np.testing.assert_allclose(mixed.sd[:4], alone.sd)


def test_arms_that_take_no_part_are_untouched() -> None:
    own = summary([1.0, 2.0, 3.0], 4)
    assert pool(own, np.array([True, False, False])) is own
    pooled = pool(own, np.array([True, True, False]))
    assert (pooled.sd[2], pooled.df[2]) == (3.0, 3)


@pytest.mark.parametrize("wild", [1.0, 6.0])
def test_family_wise_error_with_pooled_noise(wild: float) -> None:
    """1 500 studies of 8 equal arms, 3 seeds; one of them may be six times as noisy. At most 6.6 %, as declared."""
    rng = np.random.default_rng(6)
    level, scale = np.full(8, 0.05), np.array([wild, *[1.0] * 7])[:, None]
    wrong = 0
    for _ in range(1500):
        tested = pool(paired_summary(scale * rng.normal(size=(8, 3)) - rng.normal(size=3)), np.ones(8, dtype=np.bool_))
        p = two_sided_p(tested.mean, tested.se, tested.df)
        wrong += bool((adjust(p, level, "holm").p <= 0.05).any())
    assert wrong / 1500 <= 0.066
