"""report.json keeps the shape that its schema says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from ablate.report.build import build_report
from ablate.report.formats.csv_json import report_json
from ablate.report.formats.json_schema import AcrossShape, ReportShape


@pytest.mark.parametrize("seeds", [0, 1, 3, 5])
def test_a_real_report_has_the_shape_and_nothing_else(make_case: Any, seeds: int) -> None:
    text = report_json(make_case(seeds=seeds).material())
    shape = ReportShape.model_validate_json(text)
    assert shape.schema_version == 1
    assert len(shape.comparison.rows) == 18
    assert shape.answer


def test_the_shape_refuses_what_it_does_not_know(case: Any) -> None:
    data = json.loads(report_json(case.material()))
    with pytest.raises(ValidationError):
        ReportShape.model_validate({**data, "more": 1})


def test_a_written_report_has_the_shape(case: Any) -> None:
    build_report(case.study, case.rows, case.paths, formats=("json",), figures=False)
    ReportShape.model_validate_json(case.paths.report_json.read_text(encoding="utf-8"))


def test_two_studies_have_a_shape_too(case: Any) -> None:
    from ablate.report.data.two_studies import compare_studies
    from ablate.report.formats.json_shape import across_json

    across = compare_studies((case.study, case.rows), (replace(case.study, name="again"), case.rows))
    shape = AcrossShape.model_validate_json(across_json(across))
    assert (shape.before, shape.after, len(shape.pairs)) == ("schedules", "again", 6)
