"""Shared by the tests of the command line: a core that only calculates, and calling ablate in this process."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.api.param_kinds import param_kinds
from ablate.api.request import Request, prepare
from ablate.cli.app import main
from ablate.outcome import Outcome, OutcomeKind
from ablate.storage.store import Store

TOY_CORE = """
from pydantic import Field

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class ToySettings(CoreSettings):
    lr: float = Field(0.1, gt=0, le=10, description="Step size.")
    steps: int = Field(10, ge=1, le=1000, description="Steps.", json_schema_extra={"unit": "steps"})
    kind: str = Field("plain", description="Any word.")


class Toy(Core):
    name = "toy"
    Settings = ToySettings
    metrics = (
        MetricInfo("score", "max", unit="dB", margin=0.1, digits=2),
        MetricInfo("train_seconds", "min", unit="s", scale="log"),
    )

    def run(self, recipes, context):
        for recipe in recipes:
            lr, steps = recipe.settings["lr"], recipe.settings["steps"]
            if lr > 5:
                yield recipe, Outcome(OutcomeKind.DIVERGED, recipe.digest, error="loss is not finite", images_seen=3)
                continue
            for step in range(steps):
                context.progress(recipe, "train", step + 1, steps, loss=1 / (step + 1))
                context.curve(recipe, step + 1, score=float(step))
            noise = (recipe.seed * 37 % 11) / 100
            luck = (recipe.seed * 37 + steps * 5 + int(lr * 100) * 3) % 11 / 200
            metrics = {"score": 20 + lr + noise + luck, "train_seconds": 1 + lr + noise}
            context.log(recipe, f"lr {lr}")
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=metrics, seconds=0.5)
"""

STUDY = """
question: Does the step size matter?
core: toycore:Toy
baseline: {lr: 0.1}
vary:
  lr: [0.2, 0.5]
arms:
  far too fast: {lr: 9.0}
seeds: 3
metrics:
  score: {primary: true, margin: 0.1}
"""


@dataclass(frozen=True)
class Said:
    """What one command answered."""

    code: int
    out: str
    err: str


Ablate = Callable[..., Said]


@pytest.fixture
def ablate(capsys: pytest.CaptureFixture[str]) -> Ablate:
    """Run a command line in this process."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = 0
        try:
            main(arguments)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def make_project(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put a core and a study that uses it into `folder`, and go there."""
    (folder / "toycore.py").write_text(TOY_CORE, encoding="utf-8")
    (folder / "steps.yaml").write_text(STUDY, encoding="utf-8")
    patch.chdir(folder)
    patch.setenv("COLUMNS", "80")
    patch.setenv("NO_COLOR", "1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a core of its own and a study that uses it."""
    make_project(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="session")
def half_done_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `steps` half-way: two seeds of some arms, one failed, one diverged, one still running."""
    folder = tmp_path_factory.mktemp("half_done")
    with pytest.MonkeyPatch.context() as patch:
        make_project(folder, patch)
        store_half()
    return folder / "results"


@pytest.fixture
def half_done(project: Path, half_done_results: Path) -> Path:
    """The working directory of a study that is half-way."""
    shutil.copytree(half_done_results, project / "results")
    return project


def store_half() -> None:
    """Write what a run would have stored."""
    prepared = prepare(Request(Path("steps.yaml")))
    study = prepared.study
    place = prepared.place
    place.results.folder.mkdir()
    attributes = {"ablate.plan": json.dumps(study.to_dict())}
    arms = {arm.name: arm for arm in study.arms}
    with Store.open(
        place.url,
        study.name,
        kinds=param_kinds(prepared.core),
        primary=study.primary.name,
        direction=study.primary.direction,
        attributes=dict(attributes),
    ) as store:

        def trial(arm: str, seed: int, kind: OutcomeKind | None, score: float | None = None) -> None:
            recipe = study.recipe(arms[arm], seed)
            params = {name: arms[arm].settings[name] for name in study.factors}
            number = store.start(arm, seed, params, {})
            if kind is None:
                return
            metrics = {} if score is None else {"score": score, "train_seconds": 1.5}
            error = "ValueError: no luck" if kind is OutcomeKind.FAILED else None
            store.finish(number, Outcome(kind, recipe.digest, metrics=metrics, seconds=2.0, device="cpu", error=error))

        for seed in (0, 1):
            trial("baseline", seed, OutcomeKind.MEASURED, 20.0 + seed)
            trial("lr=0.2", seed, OutcomeKind.MEASURED, 20.5 + seed)
        trial("far too fast", 0, OutcomeKind.DIVERGED)
        trial("lr=0.5", 0, OutcomeKind.FAILED)
        trial("lr=0.5", 1, None)
    log = place.results.study(study.name).trial("lr=0.5", 0).log
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {number}\n" for number in range(30)), encoding="utf-8")


@pytest.fixture(scope="session")
def finished_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `steps` after a whole run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        make_project(folder, patch)
        with contextlib.suppress(SystemExit):
            main(["run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-figures", "--quiet"])
    return folder / "results"


@pytest.fixture
def finished(project: Path, finished_results: Path) -> Path:
    """A working directory in which the study `steps` is done."""
    shutil.copytree(finished_results, project / "results")
    return project
