"""Corrections against hand-computed values, and their guarantee by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import AblateError
from ablate.report.statistics.corrections import adjust, check_looks, split_alpha
from ablate.study.verdict_method import Correction

PS = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def corrected(p: list[float], method: Correction = "holm", alpha: float = 0.05) -> list[float]:
    out = adjust(np.array(p), np.full(len(p), alpha), method)
    return [float(value) for value in out.p]


def test_holm_by_hand() -> None:
    """Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, made monotone: .04 .06 .06 .06."""
    assert corrected([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_never_exceeds_one() -> None:
    assert corrected([0.6, 0.9]) == [1.0, 1.0]


def test_holm_interval_levels_by_hand() -> None:
    """m = 4 with the first two rejected: levels alpha/4, alpha/3, then alpha/(4 - 3 + 1) for the rest."""
    out = adjust(np.array([0.2, 0.001, 0.012, 0.9]), np.full(4, 0.05), "holm")
    np.testing.assert_allclose(out.level, [0.05 / 2, 0.05 / 4, 0.05 / 3, 0.05 / 2])


def test_holm_interval_levels_when_all_are_rejected() -> None:
    out = adjust(np.array([0.001, 0.002, 0.003]), np.full(3, 0.05), "holm")
    np.testing.assert_allclose(out.level, [0.05 / 3, 0.05 / 2, 0.05])


def test_benjamini_hochberg_by_hand() -> None:
    """Sorted .01 .02 .03 .9 times 4/1 4/2 4/3 1: .04 .04 .04 .9."""
    assert corrected([0.9, 0.03, 0.01, 0.02], "bh") == pytest.approx([0.9, 0.04, 0.04, 0.04])


def test_no_correction_leaves_p_alone() -> None:
    assert corrected([0.9, 0.03], "none") == pytest.approx([0.9, 0.03])


def test_arms_without_a_test_do_not_count() -> None:
    out = adjust(np.array([np.nan, 0.02, np.nan, 0.04]), np.full(4, 0.05), "holm")
    assert out.tested == 2
    np.testing.assert_allclose(out.p, [np.nan, 0.04, np.nan, 0.04])
    assert np.isnan(adjust(np.array([np.nan]), np.array([0.05]), "holm").p).all()


@given(PS, st.sampled_from(["holm", "bh", "none"]), st.floats(0.001, 0.5))
def test_the_interval_level_and_the_corrected_p_say_the_same(p: list[float], method: Correction, alpha: float) -> None:
    out = adjust(np.array(p), np.full(len(p), alpha), method)
    for raw, level, fixed in zip(p, out.level, out.p, strict=True):
        if abs(fixed - alpha) > 1e-9:
            assert (raw <= level) == (fixed <= alpha)


@given(PS)
def test_the_order_of_arms_is_irrelevant(p: list[float]) -> None:
    order = np.random.default_rng(len(p)).permutation(len(p))
    shuffled = corrected([p[place] for place in order])
    assert shuffled == pytest.approx([corrected(p)[place] for place in order])


@given(PS)
def test_holm_lies_between_no_correction_and_bonferroni(p: list[float]) -> None:
    for raw, fixed in zip(p, corrected(p), strict=True):
        assert raw - 1e-12 <= fixed <= min(1.0, len(p) * raw) + 1e-12


def test_holm_keeps_the_family_wise_error() -> None:
    """4 000 families of 8 true nulls: some false rejection in at most 5 % plus four standard errors."""
    p = np.random.default_rng(0).uniform(size=(4000, 8))
    level = np.full(8, 0.05)
    wrong = np.mean([(adjust(row, level, "holm").p <= 0.05).any() for row in p])
    assert wrong == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_arms_at_different_looks_are_ranked_by_p_over_alpha() -> None:
    """.009 at level .01 (ratio .9) comes after .010 at .025 (ratio .4): the second is rejected alone."""
    out = adjust(np.array([0.009, 0.010]), np.array([0.01, 0.025]), "holm")
    np.testing.assert_allclose(out.p, [0.009, 0.020])
    assert (out.p <= [0.01, 0.025]).all()


def test_three_looks_split_five_percent_as_declared() -> None:
    assert split_alpha(0.05, 3) == pytest.approx((0.01, 0.015, 0.025))
    assert split_alpha(0.05, 1) == (0.05,)
    assert split_alpha(0.05, 2) == pytest.approx((0.02, 0.03))


@pytest.mark.parametrize("looks", range(1, 9))
def test_every_split_adds_up_and_rises(looks: int) -> None:
    parts = split_alpha(0.1, looks)
    assert len(parts) == looks
    assert sum(parts) == pytest.approx(0.1)
    assert list(parts) == sorted(parts)
    assert min(parts) > 0


@pytest.mark.parametrize("looks", [[], [5, 3], [3, 3], [0, 2]])
def test_looks_that_do_not_rise_are_refused(looks: list[int]) -> None:
    with pytest.raises(AblateError, match="increasing"):
        check_looks(looks)
