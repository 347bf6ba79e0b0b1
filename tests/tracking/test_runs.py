"""Whole runs with trackers, from the command line and from Python: what arrives, and that results stay the same."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import ablate
from ablate.cli.app import main
from ablate.errors import AblateError
from ablate.paths import ResultsPaths
from ablate.storage.read import read_study
from tests.cli.conftest import make_project

pytestmark = [
    pytest.mark.usefixtures("no_usage_reports"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
QUICK = ("--gpus", "none", "--slots", "1", "--no-figures", "--arms", "lr=*")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    return tmp_path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(("run", "steps.yaml", *QUICK, *words))
    return int(left.value.code or 0)


def mlflow_runs(uri: str) -> dict[str, Any]:
    from mlflow import MlflowClient

    client: Any = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name("steps").experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def stored(results: str) -> dict[tuple[str, int], tuple[object, ...]]:
    _, rows = read_study(ResultsPaths(Path(results)).default_storage, "steps")
    return {(row.arm, row.seed): (row.outcome, dict(row.metrics), row.curve) for row in rows}


@pytest.mark.usefixtures("project")
def test_a_study_reaches_two_trackers_and_more_seeds_their_runs(
    mlflow_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = ("--track", f"mlflow:{mlflow_store}", "--track", "tensorboard:boards")
    assert run("--seeds", "2", *tracks) == 0
    said = capsys.readouterr().err
    assert said.count("tracked: 6 trials in ") == 2
    before = mlflow_runs(mlflow_store)
    assert len(before) == 9, "three arms, and two seeds of each"
    assert before["lr=0.5 s1"].data.metrics["score"] == pytest.approx(stored("results")["lr=0.5", 1][1]["score"])  # type: ignore[index]
    assert run("--seeds", "3", *tracks) == 0
    after = mlflow_runs(mlflow_store)
    assert len(after) == 12
    assert after.keys() > before.keys()
    verdicts = {name: one.data.tags.get("verdict") for name, one in after.items() if name.startswith("lr=0.5")}
    assert verdicts == dict.fromkeys(("lr=0.5", "lr=0.5 s0", "lr=0.5 s1", "lr=0.5 s2"), "better")
    assert {path.name for path in Path("boards/steps").iterdir()} == {
        f"{arm}-s{seed}" for arm in ("baseline", "lr=0.2", "lr=0.5") for seed in range(3)
    }


@pytest.mark.usefixtures("project")
def test_a_tracker_that_fails_in_the_middle_changes_no_result(
    mlflow_store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    assert run("--seeds", "1", "--results", "plain") == 0
    calls: list[object] = []
    log_batch = MlflowClient.log_batch

    def breaks(self: MlflowClient, *words: Any, **more: Any) -> Any:
        calls.append(words)
        if len(calls) > 4:
            raise ConnectionError("https://me:s3cret@tracking.example is away")
        return log_batch(self, *words, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", breaks)
    capsys.readouterr()
    assert run("--seeds", "1", "--track", f"mlflow:{mlflow_store}") == 0
    said = capsys.readouterr().err
    assert stored("results") == stored("plain")
    assert said.count("warning: mlflow") == 1
    assert "https://me@tracking.example is away" in said
    assert "s3cret" not in said


@pytest.mark.usefixtures("project")
def test_json_says_what_a_tracker_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--seeds", "1", "--json", "--track", "tensorboard") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["study"] for one in found} == {"steps"}
    starts = {one["arm"]: one["params"] for one in found if one["event"] == "start"}
    assert starts == {"baseline": {"lr": 0.1}, "lr=0.2": {"lr": 0.2}, "lr=0.5": {"lr": 0.5}}
    curves = [one for one in found if one["event"] == "curve" and one["arm"] == "lr=0.2"]
    assert [(one["images"], one["values"]) for one in curves] == [(at + 1, {"score": float(at)}) for at in range(10)]
    assert {(one["seed"], one["trial"], one["slot"]) for one in curves} == {(0, curves[0]["trial"], 0)}
    (tracked,) = [one for one in found if one["event"] == "tracked"]
    assert (tracked["kind"], tracked["trials"], tracked["warning"]) == ("tensorboard", 3, "")
    assert " curve " not in Path("results/steps/run.log").read_text(encoding="utf-8")


@pytest.mark.usefixtures("project")
def test_what_cannot_be_tracked_starts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert run("--track", "mlflow:sqlite:///m.db") == 2
    assert run("--track", "mlfow") == 2
    said = capsys.readouterr().err
    assert "pip install 'ablate[mlflow]'" in said
    assert "did you mean mlflow?" in said
    assert not Path("results").exists()


@pytest.mark.usefixtures("project")
def test_the_command_that_is_kept_goes_on_tracking_without_the_password() -> None:
    from ablate.api.request import Request

    command = Request(Path("steps.yaml"), track=("mlflow:https://me:s3cret@host", "wandb")).command()
    assert command == "ablate run steps.yaml --track mlflow:https://me@host --track wandb"


@pytest.mark.usefixtures("project")
def test_from_python_what_is_missing_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from ablate.tracking.tensorboard_tracker import TensorboardTracker

    def full(*words: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(TensorboardTracker, "end", full)
    arguments: dict[str, Any] = {"only": "lr=0.2", "seeds": 1, "gpus": "none", "slots": 1, "progress": "none"}
    with pytest.warns(UserWarning, match="2 of 2 trials could not be tracked"):
        results = ablate.run("steps.yaml", track="tensorboard", **arguments)
    assert results.summary is not None
    assert results.summary.done == 2
    with pytest.raises(AblateError, match="no tracker"):
        ablate.run("steps.yaml", track=["comet"], **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = ablate.run("steps.yaml", track="tensorboard", **{**arguments, "only": "lr=0.2"})
    assert again.summary is None, "nothing was left to run"
