"""Equal compute on the pages: one verdict per budget, and who is ahead along it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ablate.report.data.material import Material
from ablate.report.figures.equal_budget import budgets
from ablate.report.formats.markdown import report_markdown
from ablate.report.html.page import report_html
from ablate.study.spec import MetricSpec
from tests.sentences import SENTENCES


@pytest.fixture
def longer(make_case: Callable[..., Any]) -> Any:
    """The arm `dip_epochs=20` sees twice the images: every point of its curve comes twice as late."""
    case = make_case()
    rows = [
        replace(row, curve=tuple((2 * images, value) for images, value in row.curve))
        if row.arm == "dip_epochs=20"
        else row
        for row in case.rows
    ]
    return replace(case, rows=rows)


def drawn(material: Material) -> list[dict[str, str]]:
    drawing = budgets(material, material.points)
    assert drawing is not None
    return list(csv.DictReader(io.StringIO(drawing.csv)))


def test_the_figure_ends_where_the_table_stands(longer: Any) -> None:
    material = longer.material()
    last = [row for row in drawn(material) if row["arm"] == "dip_epochs=20"][-1]
    (equal,) = (one for one in material.equal if one.budget == "images")
    assert (last["budget"], float(last["share"]), float(last["spent"])) == ("images", 100.0, equal.amount)
    ends = [float(last[name]) for name in ("diff", "low", "high")]
    assert ends == pytest.approx([equal.row.diff, equal.row.ci_low, equal.row.ci_high])


def test_on_the_log_scale_the_figure_is_in_per_cent(longer: Any) -> None:
    metric = MetricSpec("psnr", "max", scale="log", primary=True)
    study = replace(longer.study, metrics=(metric, *longer.study.metrics[1:]))
    material = replace(longer, study=study).material()
    last = [row for row in drawn(material) if row["arm"] == "dip_epochs=20"][-1]
    (equal,) = (one for one in material.equal if one.budget == "images")
    assert float(last["diff"]) == pytest.approx(100 * (equal.row.diff or 0.0))


def test_an_arm_that_diverged_is_in_neither(longer: Any) -> None:
    material = longer.material()
    assert "both lr 0.03" not in {row["arm"] for row in drawn(material)}
    assert {one.arm for one in material.equal} == {"dip_epochs=20"}


def test_page_and_markdown_give_a_verdict_per_budget(longer: Any) -> None:
    material = longer.material()
    drawing = budgets(material, material.points)
    assert drawing is not None
    page = report_html(material, [drawing])
    assert 'id="budgets"' in page
    assert 'id="figure-budgets"' in page
    assert SENTENCES["page markdown give verdict"] in report_markdown(material)
    assert "spent 2.00x" in page


def test_without_curves_there_is_nothing_to_show(case: Any) -> None:
    bare = replace(case, rows=[replace(row, curve=()) for row in case.rows]).material()
    assert budgets(bare, bare.points) is None
    assert 'id="budgets"' not in report_html(bare)
