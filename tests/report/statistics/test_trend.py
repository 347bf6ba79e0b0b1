"""Dose response by Page's test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ablate.errors import AblateError
from ablate.recipe import Scalar
from ablate.report.statistics.trend import Trend, ordered_factors, page_p, trend, trends
from ablate.study.spec import Arm, MetricSpec, Study

PSNR = MetricSpec("psnr", "max", primary=True)


def study(factor: str, levels: list[Scalar], baseline: Scalar) -> Study:
    arms = [Arm("baseline", {}, {factor: baseline, "other": 1})]
    arms += [Arm(f"{factor}={level}", {factor: level}, {factor: level, "other": 1}, factor) for level in levels]
    return Study("s", "?", "c", tuple(arms), (factor,), (PSNR,), (3,))


def table(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [(arm, seed, value) for arm, row in values.items() for seed, value in enumerate(row)]
    return pd.DataFrame(rows, columns=["arm", "seed", "psnr"])


def test_perfect_order_over_four_doses_and_three_seeds() -> None:
    """One of 24 orders in each of 3 seeds: p = 24^-3 = 7e-5."""
    doses = np.arange(4.0) + np.zeros((3, 1))
    assert page_p(doses, "rising") == pytest.approx(24.0**-3)
    assert page_p(doses, "falling") == pytest.approx(1.0)
    assert page_p(-doses, "falling") == pytest.approx(24.0**-3)


def test_numeric_levels_are_ordered_with_the_baseline_among_them() -> None:
    assert ordered_factors(study("epochs", [20, 5], 10)) == {
        "epochs": ((5.0, "epochs=5"), (10.0, "baseline"), (20.0, "epochs=20"))
    }


@pytest.mark.parametrize(
    ("levels", "baseline"), [(["cosine", "exp"], "linear"), ([True], False), ([20], 10), ([20, None], 10)]
)
def test_names_switches_and_two_levels_have_no_order(levels: list[Scalar], baseline: Scalar) -> None:
    assert ordered_factors(study("factor", levels, baseline)) == {}


def test_trend_of_a_study_both_directions_tested() -> None:
    frame = table({"baseline": [2.0, 3, 4], "epochs=5": [1.0, 2, 3], "epochs=20": [3.0, 4, 5]})
    (found,) = trends(study("epochs", [20, 5], 10), frame, PSNR)
    arms = ("epochs=5", "baseline", "epochs=20")
    expected = Trend("epochs", "psnr", (5.0, 10.0, 20.0), arms, 3, 2 * 6.0**-3, "rising", False, False)
    assert found == expected


def test_declared_direction_is_tested_alone() -> None:
    frame = table({"a": [1.0, 2, 3], "b": [2.0, 3, 4], "c": [3.0, 4, 5]})
    found = trend(frame, PSNR, factor="f", levels=(1, 2, 3), arms=("a", "b", "c"), course="rising")
    assert found.p == pytest.approx(6.0**-3)
    assert found.declared


def test_a_hump_is_told() -> None:
    frame = table({"a": [1.0, 2], "b": [5.0, 6], "c": [3.0, 4]})
    assert trend(frame, PSNR, factor="f", levels=(1, 2, 3), arms=("a", "b", "c")).hump


def test_seeds_that_lack_a_level_do_not_take_part() -> None:
    frame = table({"a": [1.0, 2, 3], "b": [2.0, 3], "c": [3.0]})
    found = trend(frame, PSNR, factor="f", levels=(1, 2, 3), arms=("a", "b", "c"))
    assert (found.seeds, found.p, found.course) == (1, None, None)


def test_two_levels_are_no_trend() -> None:
    with pytest.raises(AblateError, match="3 levels"):
        trend(table({"a": [1.0]}), PSNR, factor="f", levels=(1, 2), arms=("a", "b"))
