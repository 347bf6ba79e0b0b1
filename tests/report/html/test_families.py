"""Factorials in the report: heatmaps of cell means, and every contrast with its test."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ablate.outcome import OutcomeKind
from ablate.report.build import build_report
from ablate.report.figures.interaction import interactions
from ablate.report.html.page import report_html
from ablate.study.spec import Arm, Design

PLAIN = {"ema": False, "prior": False, "wide": False}


def arm(name: str, **levels: Any) -> Arm:
    return Arm(name, levels, {**PLAIN, **levels})


ARMS = {
    "baseline": arm("baseline"),
    "ema": arm("ema", ema=True),
    "prior": arm("prior", prior=True),
    "both": arm("both", ema=True, prior=True),
}


@pytest.fixture
def factorial(make_case: Callable[..., Any]) -> Any:
    """A 2x2 factorial of 5 seeds."""
    cells = {name: {"ema": one.settings["ema"], "prior": one.settings["prior"]} for name, one in ARMS.items()}
    return make_case(
        arms=tuple(ARMS.values()), factors=("ema", "prior"), core="other", designs=(Design("factorial", cells),)
    )


def test_the_heatmap_shows_the_mean_of_every_cell_with_its_t_interval(factorial: Any) -> None:
    material = factorial.material()
    [drawing] = interactions(material)
    rows = list(csv.DictReader(io.StringIO(drawing.csv)))

    assert [(row["first_level"], row["second_level"]) for row in rows] == [
        ("false", "false"), ("true", "false"), ("false", "true"), ("true", "true"),
    ]  # fmt: skip
    for name, row in zip(ARMS, rows, strict=True):
        values = np.array(list(material.comparison.row(name).values.values()))
        low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        assert [float(row[key]) for key in ("mean", "ci_low", "ci_high")] == pytest.approx([values.mean(), low, high])
        assert row["seeds"] == "5"


def test_other_factors_are_averaged_over_seed_by_seed(make_case: Callable[..., Any]) -> None:
    """With three factors, a cell of two is the mean over the third; a panel for each of the three pairs."""
    combinations = [(ema, prior, wide) for ema in (False, True) for prior in (False, True) for wide in (False, True)]
    names = ["baseline", *(f"arm {place}" for place in range(1, 8))]
    arms = [
        arm(name, **dict(zip(PLAIN, levels, strict=True))) for name, levels in zip(names, combinations, strict=True)
    ]
    cells = {one.name: dict(one.settings) for one in arms}
    case = make_case(arms=tuple(arms), factors=tuple(PLAIN), core="other", designs=(Design("factorial", cells),))
    material = case.material()
    [drawing] = interactions(material)
    first = next(csv.DictReader(io.StringIO(drawing.csv)))
    expected = [material.comparison.row(name).mean for name in ("baseline", "arm 1")]

    assert float(first["mean"]) == pytest.approx(np.mean(expected))
    assert (drawing.csv or "").count("\n") == 1 + 3 * 4
    assert "averaged over" in drawing.caption


def test_a_cell_whose_arm_diverged_stays_empty(factorial: Any) -> None:
    rows = [
        replace(row, outcome=OutcomeKind.DIVERGED, metrics={}) if row.arm == "both" else row for row in factorial.rows
    ]
    [drawing] = interactions(replace(factorial, rows=rows).material())
    last = list(csv.DictReader(io.StringIO(drawing.csv)))[-1]

    assert (last["seeds"], last["mean"], last["ci_low"]) == ("0", "", "")


def test_the_page_lists_every_contrast_with_its_verdict(factorial: Any, now: Any) -> None:
    material = factorial.material()
    build_report(factorial.study, factorial.rows, factorial.paths, figures=False, now=now)
    text = report_html(material)
    section = text[text.index('<section id="contrasts"') : text.index('<section id="stability"')]
    data = json.loads(factorial.paths.report_json.read_text(encoding="utf-8"))
    [family] = data["contrasts"]

    assert re.findall(r'<th scope="row">(.*?)</th>', section) == ["ema=true", "prior=true", "ema=true x prior=true"]
    assert [effect["name"] for effect in family["effects"]] == ["ema=true", "prior=true", "ema=true x prior=true"]
    assert section.count('class="chip') == 3
    assert "interaction" in section


def test_a_study_without_such_a_design_has_no_heatmap(case: Any) -> None:
    assert interactions(case.material()) == []
