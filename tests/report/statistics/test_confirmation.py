"""Confirmations: the best arm, once more, on seeds that nobody has seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ablate.errors import AblateError, NothingComparableError
from ablate.paths import StudyPaths
from ablate.report.build import gather
from ablate.report.data.frames import compare_study
from ablate.report.statistics.confirmation import FIRST_SEED, confirm_name, confirmation, is_confirmation, winner_of
from ablate.report.statistics.model import Verdict
from ablate.report.text.answer import lines_of_answer
from ablate.study.plan import replicates
from ablate.study.spec import Study


def test_the_winner_is_the_best_of_the_arms_decided_better(case: Any) -> None:
    assert winner_of(compare_study(case.study, case.rows)) == "dip_epochs=20"


def test_without_a_better_arm_there_is_nothing_to_confirm(case: Any) -> None:
    rows = [row for row in case.rows if row.arm != "dip_epochs=20"]
    with pytest.raises(AblateError, match="nothing to confirm"):
        winner_of(compare_study(case.study, rows))
    with pytest.raises(NothingComparableError):
        winner_of(compare_study(case.study, []))


def test_a_confirmation_has_two_arms_one_look_and_fresh_seeds(case: Any) -> None:
    found = confirmation(case.study, "dip_epochs=20", 4)
    assert (found.name, [arm.name for arm in found.arms]) == ("schedules-confirm", ["baseline", "dip_epochs=20"])
    assert (found.looks, found.alpha, is_confirmation(found)) == ((4,), 0.05, True)
    planned = replicates(found)
    assert [one.seed for one in planned[::2]] == list(range(FIRST_SEED, FIRST_SEED + 4))
    before = {one.recipe.digest for one in replicates(case.study, seeds=1000)}
    assert not before & {one.recipe.digest for one in planned}
    assert Study.from_dict(found.to_dict()).seed_range() == range(FIRST_SEED, FIRST_SEED + 4)


def test_it_is_reported_as_one_test_without_correction(case: Any, tmp_path: Any) -> None:
    found = confirmation(case.study, "dip_epochs=20", 5)
    rows = [
        replace(row, seed=row.seed + FIRST_SEED) for row in case.rows if row.arm in {arm.name for arm in found.arms}
    ]
    material = gather(found, rows, StudyPaths(tmp_path))
    row = material.comparison.row("dip_epochs=20")
    assert (row.verdict, material.comparison.tested) == (Verdict.BETTER, 1)
    assert row.p == row.p_holm
    assert material.state.word == "complete"
    said = lines_of_answer(material)
    assert any(line.startswith("This arm was chosen on other seeds") for line in said)
    assert not any("--confirm" in line for line in said)


def test_a_report_with_a_winner_offers_to_confirm_it(case: Any) -> None:
    said = lines_of_answer(case.material(), command="ablate run studies/example.yaml")
    at = next(place for place, line in enumerate(said) if "dip_epochs=20 on fresh seeds" in line)
    assert said[at + 1] == "    ablate run studies/example.yaml --confirm"


def test_a_name_that_gets_too_long_is_refused() -> None:
    with pytest.raises(AblateError, match="cannot be a study's name"):
        confirm_name("x" * 98)
