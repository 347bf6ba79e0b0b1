"""MLflow: what is written is read back with MLflow's own client, and as a source of `ablate report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.report.sources.choose import read_source
from ablate.report.sources.runs import Naming
from ablate.tracking.background import BackgroundTracker
from ablate.tracking.mlflow_tracker import open_mlflow
from ablate.tracking.tracker import ArmVerdict, TrackedStudy
from tests.tracking.conftest import finished, no_wait, point, started

pytestmark = [
    pytest.mark.usefixtures("no_usage_reports"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs(uri: str) -> dict[str, Any]:
    """Name -> run, of the study's experiment."""
    known = client(uri)
    found = known.search_runs([known.get_experiment_by_name("steps").experiment_id])
    assert len({run.info.run_name for run in found}) == len(found), "no replicate has two runs"
    return {run.info.run_name: run for run in found}


def test_a_trial_is_a_run_below_its_arms_run(study: TrackedStudy, mlflow_store: str) -> None:
    tracker = BackgroundTracker(open_mlflow(mlflow_store, study), study)
    for seed in (0, 1):
        tracker.take(started("lr=0.2", seed, trial=seed))
        for images in (10, 20):
            tracker.take(point("lr=0.2", seed, images, score=images / 10, loss=0.5))
        tracker.take(finished("lr=0.2", seed, score=2.5 + seed))
    tracker.verdict("lr=0.2", ArmVerdict("better", "score +1, 2 seeds"))
    assert tracker.close(no_wait).warning == ""
    found = runs(mlflow_store)
    assert set(found) == {"lr=0.2", "lr=0.2 s0", "lr=0.2 s1"}
    run, arm = found["lr=0.2 s1"], found["lr=0.2"]
    assert run.data.params == {"lr": "0.2", "layers": "[8, 8]", "augment": "true", "norm": "null", "name": "plain"}
    assert run.data.metrics == {"curve/score": 2.0, "curve/loss": 0.5, "score": 3.5, "seconds": 2.0}
    tags = {name: run.data.tags[name] for name in ("study", "arm", "seed", "trial", "outcome", "verdict")}
    assert tags == {
        "study": "steps", "arm": "lr=0.2", "seed": "1", "trial": "1", "outcome": "measured", "verdict": "better",
    }  # fmt: skip
    assert run.data.tags["mlflow.parentRunId"] == arm.info.run_id
    assert (run.info.status, arm.info.status) == ("FINISHED", "FINISHED")
    assert arm.data.tags["verdict_on"] == "score +1, 2 seeds"
    history = client(mlflow_store).get_metric_history(run.info.run_id, "curve/score")
    assert [(one.step, one.value) for one in history] == [(10, 1.0), (20, 2.0)]


def test_the_same_command_goes_on_in_the_run_of_a_stopped_trial(study: TrackedStudy, mlflow_store: str) -> None:
    first = BackgroundTracker(open_mlflow(mlflow_store, study), study)
    first.take(started("baseline", 0))
    first.take(point("baseline", 0, 1, score=1.0))
    first.take(finished("baseline", 0, OutcomeKind.STOPPED))
    first.take(started("baseline", 1))
    first.close(no_wait)
    before = runs(mlflow_store)
    assert [before[name].info.status for name in ("baseline s0", "baseline s1")] == ["KILLED", "KILLED"]
    assert before["baseline s0"].data.tags["error"] == "it went wrong"
    second = BackgroundTracker(open_mlflow(mlflow_store, study), study)
    second.take(started("baseline", 0, trial=5))
    for images in (1, 2):
        second.take(point("baseline", 0, images, score=float(images)))
    second.take(finished("baseline", 0, score=3.0))
    second.close(no_wait)
    after = runs(mlflow_store)
    run = after["baseline s0"]
    assert set(after) == set(before)
    assert (run.info.run_id, run.info.status, run.data.tags["trial"]) == (
        before["baseline s0"].info.run_id, "FINISHED", "5",
    )  # fmt: skip
    assert "error" not in run.data.tags
    history = client(mlflow_store).get_metric_history(run.info.run_id, "curve/score")
    assert sorted(one.step for one in history) == [1, 2]


def test_a_run_that_was_deleted_is_begun_anew(study: TrackedStudy, mlflow_store: str) -> None:
    for _ in range(2):
        tracker = BackgroundTracker(open_mlflow(mlflow_store, study), study)
        tracker.take(started("baseline", 0))
        tracker.take(finished("baseline", 0, score=1.0))
        assert tracker.close(no_wait).warning == ""
        for run in runs(mlflow_store).values():
            client(mlflow_store).delete_run(run.info.run_id)
    assert runs(mlflow_store) == {}


def test_ablate_reads_its_own_runs_back(study: TrackedStudy, mlflow_store: str) -> None:
    tracker = BackgroundTracker(open_mlflow(mlflow_store, study), study)
    for seed in (0, 1):
        tracker.take(finished("baseline", seed, score=1.0 + seed))
        tracker.take(finished("lr=0.2", seed, OutcomeKind.DIVERGED))
    tracker.close(no_wait)
    table = read_source(f"mlflow:{mlflow_store}#steps", Naming()).table
    rows = [dict(zip(table.header, cells, strict=True)) for _, cells in table.rows]
    assert {(row["arm"], row["seed"], row["outcome"]) for row in rows} == {
        ("lr=0.1", "0", "measured"),
        ("lr=0.1", "1", "measured"),
        ("lr=0.2", "0", "diverged"),
        ("lr=0.2", "1", "diverged"),
    }


def test_stores_that_cannot_be_used_are_refused_before_anything_starts(study: TrackedStudy, tmp_path: Path) -> None:
    with pytest.raises(AblateError, match="does not answer") as caught:
        open_mlflow("http://me:s3cret@127.0.0.1:9", study)
    assert "s3cret" not in str(caught.value)
    (tmp_path / "text.db").write_text("no database " * 100, encoding="utf-8")
    with pytest.raises(AblateError, match="MLflow cannot use"):
        open_mlflow(f"sqlite:///{tmp_path}/text.db", study)


def test_an_experiment_that_was_deleted_is_refused(study: TrackedStudy, mlflow_store: str) -> None:
    known = client(mlflow_store)
    known.delete_experiment(known.create_experiment("steps"))
    with pytest.raises(AblateError, match="was deleted"):
        open_mlflow(mlflow_store, study)
