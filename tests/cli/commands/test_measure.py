"""`measure`: what a study did not ask for joins its outcomes and the storage, once, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.api import measuring
from ablate.api.stored_studies import ResultsLocation
from ablate.engine.records.lock import StudyLock
from ablate.errors import AblateError, ResultsError
from ablate.interface import Core, MetricInfo, TrialContext
from ablate.loading import load_object
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe
from ablate.storage.read import read_study
from ablate.storage.store import Store

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

URL = "sqlite:///results/ablate.db"
OUTCOME = Path("results/steps/trials/baseline-s0/outcome.json")


def stored(metric: str) -> dict[tuple[str, int], float | None]:
    rows = read_study(URL, "steps")[1]
    return {(row.arm, row.seed): row.metrics.get(metric) for row in rows if row.outcome is OutcomeKind.MEASURED}


@pytest.fixture
def later(finished: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The study's core can measure ``depth`` later, though not of arm lr=0.5; returns what it was asked for."""
    toy = load_object("toycore:Toy", what="core", search=finished)
    asked: list[str] = []

    class Deep(toy):  # type: ignore[misc, valid-type]
        metrics = (*toy.metrics, MetricInfo("depth", "max"))

        def measure(self, recipe: Recipe, context: TrialContext) -> Outcome:
            assert context.wanted == {"depth"}
            asked.append(recipe.digest)
            found = {} if recipe.settings["lr"] == 0.5 else {"depth": 3.0 + recipe.seed}
            return Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=found)

    monkeypatch.setattr(measuring, "core_class", lambda name, search, parameters: Deep)
    return asked


def test_a_metric_measured_later_is_in_the_outcome_and_in_the_storage(ablate: Ablate, later: list[str]) -> None:
    before, scores = json.loads(OUTCOME.read_text(encoding="utf-8")), stored("score")
    said = ablate("measure", "steps.yaml", "--metric", "depth")
    assert said.code == 0, said.err
    assert "baseline, seed 2: depth 5" in said.out
    assert "lr=0.5" in said.err
    assert stored("depth")[("baseline", 1)] == 4.0
    assert stored("depth")[("lr=0.5", 1)] is None
    assert stored("score") == scores
    after = json.loads(OUTCOME.read_text(encoding="utf-8"))
    assert after["metrics"] == {**before["metrics"], "depth": 3.0}
    assert {**after, "metrics": 0, "notes": 0} == {**before, "metrics": 0, "notes": 0}
    assert ablate("audit", "steps").code == 0


def test_what_is_measured_is_not_measured_again(ablate: Ablate, later: list[str]) -> None:
    ablate("measure", "steps.yaml", "--metric", "depth")
    first = [*later]
    assert ablate("measure", "steps.yaml", "--metric", "depth").code == 0
    # Of lr=0.5 nobody knows that there is nothing.
    assert len(later) - len(first) == 3


def test_an_interrupted_writing_is_completed_from_the_file(
    ablate: Ablate, later: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has the value, the storage not yet: the same command brings it there and computes nothing."""

    def fall_over(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "amend", fall_over)
        with pytest.raises(KeyboardInterrupt):
            measuring.measure(ResultsLocation.of(Path("results"), None), "steps.yaml", ["depth"])
    assert set(stored("depth").values()) == {None}
    first = [*later]
    measuring.measure(ResultsLocation.of(Path("results"), None), "steps.yaml", ["depth"])
    assert first[0] not in later[len(first) :]
    assert stored("depth")[("baseline", 0)] == 3.0


def test_checkpoints_that_are_gone_are_one_clear_error(
    ablate: Ablate, later: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Core, recipe: Recipe, context: TrialContext) -> Outcome:
        raise ResultsError("what stage denoiser left is gone")

    monkeypatch.setattr(vars(measuring)["core_class"]("toycore:Toy", None, None), "measure", gone)
    said = ablate("measure", "steps.yaml", "-m", "depth")
    assert said.code != 0
    assert "9 trials cannot be measured later" in said.err
    assert "what stage denoiser left is gone" in said.err
    assert set(stored("depth").values()) == {None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["steps.yaml", "-m", "depht"], "did you mean 'depth'?"),
        (["stps", "-m", "depth"], "steps"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(
    ablate: Ablate, later: list[str], words: list[str], message: str
) -> None:
    said = ablate("measure", *words)
    assert said.code != 0
    assert message in said.err


def test_a_core_that_cannot_measure_later_says_so(ablate: Ablate, finished: Path) -> None:
    assert ablate("measure", "steps.yaml").code == 0
    core = load_object("toycore:Toy", what="core", search=finished)()
    with pytest.raises(AblateError, match="measures while it runs"):
        core.measure(None, None)


def test_a_study_that_is_being_run_is_left_alone(ablate: Ablate, later: list[str]) -> None:
    with StudyLock(Path("results/steps/.lock")):
        said = ablate("measure", "steps.yaml", "-m", "depth")
    assert "is being run" in said.err
    assert later == []


def test_a_core_of_ones_own_is_imported_from_beside_a_study_file_only(ablate: Ablate, later: list[str]) -> None:
    """What is stored may have come with an archive: a name alone imports nothing."""
    said = ablate("measure", "steps", "-m", "depth")
    assert said.code != 0
    assert "ablate measure steps.yaml" in said.err
    assert later == []
