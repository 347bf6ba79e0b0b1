"""Times to a quality on the pages: a table of medians, curves with the seeds still on their way, and their data."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ablate.outcome import OutcomeKind
from ablate.report.data.material import Material
from ablate.report.figures.time_to_event import reaching
from ablate.report.formats.markdown import report_markdown
from ablate.report.html.page import report_html
from ablate.study.spec import MetricSpec

NAME = "images_to_quality"


@pytest.fixture
def material(make_case: Callable[..., Any]) -> Material:
    """Every seed of every arm gets there, later from seed to seed, but for two of the arm `dip_epochs=5`."""
    case = make_case()
    metrics = (*case.study.metrics, MetricSpec(NAME, "min", scale="log", unit="images"))
    rows = []
    for row in case.rows:
        at = 4000.0 + 1000 * row.seed
        reached = {NAME: at, f"{NAME}_reached": 1.0, f"{NAME}_limit": at}
        if row.arm == "dip_epochs=5" and row.seed > 2:
            reached = {f"{NAME}_reached": 0.0, f"{NAME}_limit": 12000.0}
        measured = row.outcome is OutcomeKind.MEASURED
        rows.append(replace(row, metrics={**row.metrics, **reached}) if measured else row)
    found: Material = replace(case, study=replace(case.study, metrics=metrics), rows=rows).material()
    return found


def test_the_figure_draws_what_its_data_says(material: Material) -> None:
    (drawing,) = reaching(material)
    assert (drawing.name, drawing.section) == (f"reached-{NAME}", "reaching")
    rows = list(csv.DictReader(io.StringIO(drawing.csv)))
    mine = [
        tuple(row[name] for name in ("time", "at_risk", "reached", "censored")) for row in rows if "=5" in row["arm"]
    ]
    assert mine == [
        ("0.0", "5", "0", "0"),
        ("4000.0", "5", "1", "0"),
        ("5000.0", "4", "1", "0"),
        ("6000.0", "3", "1", "0"),
        ("12000.0", "2", "0", "2"),
    ]
    assert float(next(row["share"] for row in rows if row["arm"] == "dip_epochs=5" and row["time"] == "12000.0")) == 0.6
    assert "Medians: baseline 6,000, noise_schedule=cosine 6,000," in drawing.alt
    assert "dip_epochs=5" in (drawing.svg or "")


def test_page_and_markdown_have_the_medians(material: Material) -> None:
    html, text = report_html(material, reaching(material)), report_markdown(material)
    assert 'id="reaching"' in html
    assert "not by half" not in html
    assert "| 3 of 5 | 6,000 | 4,000 or more | first in 0, later in 2 |" in text
    assert "| both lr 0.03 | 1 of 1, 4 diverged | 6,000 | – |" in text


def test_without_a_declared_quality_there_is_no_section(case: Any) -> None:
    material = case.material()
    assert reaching(material) == []
    assert 'id="reaching"' not in report_html(material)
