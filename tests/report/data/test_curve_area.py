"""Mean curve height: areas by hand, a common stretch, and a comparison like any other metric's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ablate.report import compare
from ablate.report.data.curve_area import curve_means, with_convergence
from ablate.report.statistics.model import Verdict
from ablate.study.spec import MetricSpec


def curves(**trials: list[tuple[float, float]]) -> pd.DataFrame:
    rows = [(name, 0, images, value) for name, points in trials.items() for images, value in points]
    return pd.DataFrame(rows, columns=["arm", "seed", "images", "value"])


def area(frame: pd.DataFrame, arm: str) -> float:
    table = curve_means(frame).set_index("arm")
    return float(table.loc[arm, "area"])  # type: ignore[arg-type]  # a cell of a float column


def test_a_straight_line_has_its_middle_as_mean_height() -> None:
    assert area(curves(a=[(0, 10), (100, 20)]), "a") == pytest.approx(15.0)


def test_unequal_steps_weigh_by_their_length() -> None:
    """Trapezia 10 wide at 5 and 90 wide at 10: (50 + 900) / 100."""
    assert area(curves(a=[(100, 10), (0, 0), (10, 10)]), "a") == pytest.approx(9.5)


def test_all_curves_are_taken_over_the_stretch_they_share() -> None:
    frame = curves(a=[(0, 0), (100, 100)], b=[(20, 5), (60, 5), (80, 5)])
    assert area(frame, "a") == pytest.approx(50.0)
    assert area(frame, "b") == pytest.approx(5.0)
    assert curve_means(frame, start=0, stop=100)["area"].isna().tolist() == [False, True]


def test_a_single_point_is_no_curve() -> None:
    assert np.isnan(area(curves(a=[(0, 1), (10, 1)], b=[(5, 3)]), "b"))


def test_no_curves_give_an_empty_table() -> None:
    assert curve_means(curves()).empty


def test_convergence_is_compared_like_any_metric() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (arm, seed, images, speed * images + rng.normal() * 0.1)
        for arm, speed in (("baseline", 1.0), ("fast", 2.0))
        for seed in range(4)
        for images in (0, 5, 10)
    ]
    points = pd.DataFrame(rows, columns=["arm", "seed", "images", "value"])
    frame = points[["arm", "seed"]].drop_duplicates().assign(outcome="measured")
    table = with_convergence(frame, points, "area")
    row = compare(table, metrics=[MetricSpec("area", "max")]).row("fast")
    assert row.verdict is Verdict.BETTER
    assert row.diff == pytest.approx(5.0, abs=0.3)
