"""What a report says about when margins and seeds were declared: what was stored at run time, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ablate.report.build import gather
from ablate.report.data.preregistration import predeclared
from ablate.study.spec import MetricSpec

FIRST = "2026-03-01T10:00:00+00:00"
SHOWN = {"ablate.declared": {"commit": "c" * 40, "at": "2026-02-01T00:00:00+00:00", "same": True}}
OTHER = {"ablate.declared": {**SHOWN["ablate.declared"], "same": False}}


def test_what_git_showed_when_the_study_was_run_is_said(case: Any) -> None:
    said = predeclared(case.study, [None, "2026-03-02T00:00:00+00:00", FIRST], SHOWN)
    assert said == f"yes: commit {'c' * 40} of 2026-02-01T00:00:00+00:00; the first trial started at {FIRST}"
    assert predeclared(case.study, [FIRST], OTHER).startswith(f"no: commit {'c' * 12}, ")


@pytest.mark.parametrize("stored", [None, {}, {"ablate.declared": "yes"}, {"ablate.declared": {}}])
def test_what_was_not_stored_is_not_claimed(case: Any, stored: dict[str, object] | None) -> None:
    assert predeclared(case.study, [FIRST], stored).startswith("not shown: ")


def test_studies_that_cannot_declare_say_why(case: Any) -> None:
    assert predeclared(case.study, [], SHOWN) == "not shown: no trial has started"
    assert predeclared(replace(case.study, core=""), [FIRST], SHOWN).startswith("not known: the results come from a")
    bare = replace(case.study, metrics=(MetricSpec("psnr", "max", primary=True),))
    assert predeclared(bare, [FIRST], SHOWN) == "no: the study declares no margin"


def test_page_and_checklist_say_it(case: Any) -> None:
    material = gather(case.study, case.rows, case.paths, attributes=SHOWN)
    assert "c" * 40 in dict(material.provenance.facts)["margins and seeds declared before the first trial"]
    assert "c" * 40 in material.provenance.declared
