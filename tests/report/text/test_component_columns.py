"""The layout of component tables: check marks for boolean factors, one row per subset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ablate.errors import AblateError
from ablate.report.formats.latex import table_latex
from ablate.report.formats.markdown import comparison_markdown
from ablate.report.text.component_columns import are_told_apart, check_layout, components_of
from ablate.study.spec import Arm

PLAIN = {"ema": False, "prior": False, "lr": 0.1}


def arm(name: str, **levels: Any) -> Arm:
    return Arm(name, levels, {**PLAIN, **levels})


ARMS = (arm("baseline"), arm("both", ema=True, prior=True), arm("ema=true", ema=True), arm("prior=true", prior=True))


@pytest.fixture
def subsets(make_case: Callable[..., Any]) -> Any:
    return make_case(arms=ARMS, factors=("prior", "ema"), core="other")


def material(case: Any) -> Any:
    return replace(case.material(), layout="components")


def test_components_are_the_boolean_settings_that_differ(subsets: Any) -> None:
    """In the order of the study file; a setting that is the same in all arms is no component."""
    assert components_of(subsets.study) == ("prior", "ema")
    assert components_of(replace(subsets.study, arms=ARMS[:1] + ARMS[2:3])) == ("ema",)


def test_latex_rows_are_subsets_with_check_marks(subsets: Any) -> None:
    page = table_latex(material(subsets))
    body = [line for line in page.splitlines() if line.endswith(r"\\")]

    assert page.startswith(r"% \usepackage{amssymb,")
    assert body[0].startswith(r"prior & ema & $n$ & ")
    assert body[1].startswith(r"\rowcolor{gray!12}[2pt][6pt]  &  & 5 & 27.41 & ")
    assert [line.split(" & ")[:3] for line in body[2:]] == [
        ["", r"\checkmark", "5"],
        [r"\checkmark", "", "5"],
        [r"\checkmark", r"\checkmark", "5"],
    ]


def test_markdown_rows_have_marks_before_the_name(subsets: Any) -> None:
    lines = comparison_markdown(material(subsets)).splitlines()

    assert lines[0].startswith("| prior | ema | arm | verdict | n |")
    assert lines[1].startswith("| :-: | :-: | --- | --- | --: |")
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| ", "", "**baseline**"],
        ["| ", "✓", "ema=true"],
        ["| ✓", "", "prior=true"],
        ["| ✓", "✓", "both"],
    ]


def test_arms_that_differ_otherwise_keep_their_names(subsets: Any) -> None:
    arms = (*ARMS, arm("slow", lr=0.01))
    case = replace(subsets, study=replace(subsets.study, arms=arms))

    assert are_told_apart(subsets.study)
    assert not are_told_apart(case.study)
    assert "prior & ema & Arm & $n$" in table_latex(material(case))


def test_a_study_without_boolean_factors_has_no_components(case: Any) -> None:
    with pytest.raises(AblateError, match="no boolean factor"):
        check_layout(case.study, "components")
    with pytest.raises(AblateError, match="unknown layout 'wide'"):
        check_layout(case.study, "wide")
    check_layout(case.study, "arms")
