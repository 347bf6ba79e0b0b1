"""Shared by the tests of trackers: a study, events, and an MLflow database that is made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ablate.engine.display import display_events
from ablate.outcome import OutcomeKind
from ablate.paths import ResultsPaths
from ablate.tracking.tracker import TrackedStudy

AT = 1_795_480_867.0
PARAMS: Mapping[str, Mapping[str, object]] = {
    "baseline": {"lr": 0.1, "layers": (8, 8), "augment": True, "norm": None, "name": "plain"},
    "lr=0.2": {"lr": 0.2, "layers": (8, 8), "augment": True, "norm": None, "name": "plain"},
}


@pytest.fixture
def study(tmp_path: Path) -> TrackedStudy:
    """A study with two arms, and its folder."""
    paths = ResultsPaths(tmp_path / "results").study("steps")
    paths.folder.mkdir(parents=True)
    return TrackedStudy("steps", paths, "images", PARAMS)  # type: ignore[arg-type]


def started(arm: str, seed: int, trial: int = 0) -> display_events.TrialStarted:
    params = PARAMS[arm]
    return display_events.TrialStarted(at=AT, trial=trial, arm=arm, seed=seed, slot=0, params=params)  # type: ignore[arg-type]


def point(arm: str, seed: int, images: int, **values: float) -> display_events.TrialCurvePoint:
    return display_events.TrialCurvePoint(at=AT, trial=0, arm=arm, seed=seed, slot=0, images=images, values=values)


def finished(
    arm: str, seed: int, kind: OutcomeKind = OutcomeKind.MEASURED, *, final: bool = True, **metrics: float
) -> display_events.TrialFinished:
    return display_events.TrialFinished(
        at=AT,
        trial=0,
        arm=arm,
        seed=seed,
        slot=0,
        outcome=kind,
        metrics=metrics,
        seconds=2.0,
        final=final,
        error=None if kind.is_result else "it went wrong",
    )


@pytest.fixture
def no_usage_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers without what they tell their makers, which would look for a network."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("MLFLOW_TRACKING_URI", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without experiments. Making its tables takes longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("DO_NOT_TRACK", "true")
        from mlflow import MlflowClient

        path = tmp_path_factory.mktemp("mlflow") / "empty.db"
        MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_store(empty_mlflow: Path, tmp_path: Path) -> str:
    """The URI of an MLflow database of the test's own."""
    return f"sqlite:///{shutil.copy(empty_mlflow, tmp_path / 'mlflow.db')}"


Waits = Callable[[str], None]


def no_wait(kind: str) -> None:
    """Nobody wants to know what the end waits for."""
