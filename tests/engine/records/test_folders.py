"""A trial's folder belongs to one recipe; what never came to a result makes room for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.engine.records.folders import check_recipe, make_trial
from ablate.errors import ResultsError
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import TrialPaths, write_json
from ablate.recipe import Recipe

ONE, OTHER = Recipe("toy", {"lr": 0.1}, 0), Recipe("toy", {"lr": 0.2}, 0)


@pytest.fixture
def trial(tmp_path: Path) -> TrialPaths:
    (tmp_path / "trials").mkdir()
    found = TrialPaths(tmp_path / "trials" / "baseline-s0")
    make_trial(found, ONE)
    (found.folder / "checkpoint").write_text("half", encoding="utf-8")
    return found


@pytest.mark.parametrize("kind", [OutcomeKind.MEASURED, OutcomeKind.DIVERGED])
def test_a_result_of_another_recipe_is_never_touched(trial: TrialPaths, kind: OutcomeKind) -> None:
    write_json(trial.outcome, Outcome(kind, ONE.digest, metrics={}).to_dict())
    check_recipe(trial, ONE)
    with pytest.raises(ResultsError, match="other settings"):
        check_recipe(trial, OTHER)
    assert trial.outcome.exists()


@pytest.mark.parametrize("kind", [OutcomeKind.FAILED, OutcomeKind.STOPPED, None])
def test_what_another_recipe_left_without_a_result_is_set_aside_each_time(
    trial: TrialPaths, kind: OutcomeKind | None
) -> None:
    if kind is not None:
        write_json(trial.outcome, Outcome(kind, ONE.digest, error="no").to_dict())
    check_recipe(trial, ONE)
    check_recipe(trial, OTHER)
    assert not trial.folder.exists()
    make_trial(trial, OTHER)
    check_recipe(trial, OTHER)
    check_recipe(trial, ONE)
    aside = trial.folder.parents[1] / "set-aside"
    assert sorted(path.name for path in aside.iterdir()) == ["baseline-s0-1", "baseline-s0-2"]
    assert (aside / "baseline-s0-1" / "checkpoint").read_text(encoding="utf-8") == "half"
