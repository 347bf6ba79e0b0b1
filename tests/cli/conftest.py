"""Shared by the tests of the command line: a core that only calculates, and calling ablate in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.cli.app import main

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

    def run(self, recipes, report):
        for recipe in recipes:
            lr, steps = recipe.settings["lr"], recipe.settings["steps"]
            if lr > 5:
                yield recipe, Outcome(OutcomeKind.DIVERGED, recipe.digest, error="loss is not finite", images_seen=3)
                continue
            for step in range(steps):
                report.progress(recipe, "train", step + 1, steps, loss=1 / (step + 1))
                report.curve(recipe, step + 1, score=float(step))
            noise = (recipe.seed * 37 % 11) / 100
            metrics = {"score": 20 + lr + noise, "train_seconds": 1 + lr + noise}
            report.log(recipe, f"lr {lr}")
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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a core of its own and a study that uses it."""
    (tmp_path / "toycore.py").write_text(TOY_CORE, encoding="utf-8")
    (tmp_path / "steps.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path
