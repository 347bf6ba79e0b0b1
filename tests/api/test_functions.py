"""Functions as cores, from a study file and from Python, with real workers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ablate
from ablate.cli.app import main
from ablate.errors import AblateError
from ablate.paths import ResultsPaths

TRAIN = '''
"""Somebody's training."""
import random

from pydantic import BaseModel

import neighbour


class Optimizer(BaseModel):
    lr: float = 0.1


def train(*, layers: list[int] = [8], opt: Optimizer = Optimizer(), seed: int, trial):
    print("training", trial.study, trial.arm, trial.seed_index, trial.seed)
    noise = random.Random(seed).random() / 100
    for epoch in range(1, 4):
        yield {"step": epoch, "acc": epoch / 10}
    return {"acc": neighbour.BASE + opt.lr + sum(layers) / 1000 + noise, "size": sum(layers)}
'''
SCRIPT = """
import ablate
from pydantic import BaseModel

class Optimizer(BaseModel):
    lr: float = 0.1

SCALE = 2.0

def train(*, opt: Optimizer = Optimizer(), layers: list[int] = [8], seed: int) -> dict[str, float]:
    return {"acc": SCALE * opt.lr + sum(layers) / 100 + seed / 1000}

results = ablate.run(
    train, vary={"opt.lr": [0.2], "layers": [[4, 4, 4]]}, seeds=3, metrics={"acc": "max:0.5%", "size": "min"},
    progress="none", slots=1, gpus="none",
)
print(results.study.core, results.study.name, results.complete)
print(sorted(results.trials[results.trials.seed == 2].acc.round(6)))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a training of one's own in it."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "neighbour.py").write_text("BASE = 0.5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_a_study_file_names_a_function_by_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "widths.yaml").write_text(
        "core: train.py:train\nbaseline: {}\nvary: {layers: [[4, 4]], opt: {lr: [0.2]}}\nseeds: 2\n"
        "metrics: {acc: {primary: true, direction: max, margin: 0.5%}, size: min}\n"
    )
    with pytest.raises(SystemExit) as left:
        main(["run", "widths.yaml", "--slots", "1", "--gpus", "none", "--quiet", "--no-figures"])
    assert left.value.code in (0, None)
    results = ablate.load("widths")
    assert (results.study.core, results.study.curve_over) == ("train.py:train", "step")
    means = results.trials.groupby("arm").acc.mean()
    assert means["opt.lr=0.2"] - means["baseline"] == pytest.approx(0.1)
    assert means["layers=[4, 4]"] == pytest.approx(means["baseline"])
    log = ResultsPaths(folder / "results").study("widths").trial("layers=[4, 4]", 1).log.read_text()
    assert log.splitlines() == ["training widths layers=[4, 4] 1 1"]
    assert results.curves[results.curves.arm == "baseline"].value.tolist() == pytest.approx([0.1, 0.2, 0.3] * 2)


def test_a_script_passes_its_own_function_and_resumes(folder: Path) -> None:
    """It cannot be imported by workers: it is sent to them. No main guard is needed."""
    (folder / "script.py").write_text(SCRIPT)
    first, second = (
        subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
        for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == ["__main__:train train True", "[0.282, 0.322, 0.482]"]
    assert second.stdout == first.stdout
    (sent,) = (folder / "results" / "train" / "functions").iterdir()
    assert sent.suffix == ".pkl"
    # What reads results has no need of the function, and what would run it does not unpickle it.
    sent.write_bytes(b"cos\nsystem\n(S'touch unpickled'\ntR.")
    assert ablate.load("train").complete
    for command in ("status", "report train --no-figures", "cache list", "run results/train/study.yaml"):
        with contextlib.suppress(SystemExit):
            main(command.split())
    assert not (folder / "unpickled").exists()


def test_a_function_of_a_module_is_imported_by_workers(folder: Path) -> None:
    from train import train  # type: ignore[import-not-found]

    found = ablate.run(
        train, vary={"layers": [[2]]}, seeds=2, metrics={"acc": "max:1%"}, progress="none", slots=1, gpus="none"
    )
    assert (found.study.core, found.study.name) == ("train:train", "train")
    assert not (folder / "results" / "train" / "functions").exists()
    assert set(found.trials.columns) >= {"acc", "size"}


def test_a_function_is_refused_where_workers_would_import_another(folder: Path, tmp_path: Path) -> None:
    """They look beside the study first, which is where the caller is."""
    from train import train

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "train.py").write_text("def train(*, layers: list[int] = [1], seed: int): return {'acc': -1.0}\n")
    with contextlib.chdir(elsewhere), pytest.raises(AblateError) as caught:
        ablate.run(train, vary={"layers": [[2]]}, metrics={"acc": "max"}, progress="none")
    assert str(elsewhere / "train.py") in str(caught.value)
    assert not (elsewhere / "results").exists()


class Callable:
    """What is sent to workers, not imported by them: an instance has no name of its own."""

    def __call__(self, *, layers: list[int] = [8], seed: int) -> dict[str, float]:  # noqa: B006 - a default as users write it
        return {"acc": sum(layers) / 100 + seed / 1000}


def test_what_is_sent_to_workers_may_come_from_a_module_of_any_name(tmp_path: Path, monkeypatch: Any) -> None:
    """A file beside the study with the name of the function's module changes nothing: nobody imports it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{__name__.partition('.')[0]}.py").write_text("")

    def nested(*, layers: list[int] = [8], seed: int) -> dict[str, float]:  # noqa: B006
        return {"acc": sum(layers) / 100 + seed / 1000}

    for train in (nested, Callable()):
        planned = ablate.plan(train, name="mine", vary={"layers": [[2]]}, seeds=2, metrics={"acc": "max:1%"})
        assert planned.to_run == 4


def test_a_wrong_level_is_refused_before_anything_starts(folder: Path) -> None:
    from train import train

    with pytest.raises(AblateError) as caught:
        ablate.run(train, vary={"layers": [8, 16]}, metrics={"acc": "max"}, progress="none")
    assert "each of its levels is a list of its own" in str(caught.value.problems)  # type: ignore[attr-defined]
    assert not (folder / "results").exists()


def test_a_metric_may_be_called_error_but_not_as_what_identifies_a_trial(folder: Path) -> None:
    (folder / "errors.yaml").write_text(
        "core: errors.py:fit\nbaseline: {}\nvary: {lr: [0.2]}\nseeds: 2\nmetrics: {error: 'min:1%', seconds: min}\n"
    )
    (folder / "errors.py").write_text(
        "def fit(*, lr: float = 0.1, seed: int):\n    return {'error': lr, 'seconds': lr, 'arm': lr, 'search': lr}\n"
    )
    found = ablate.run("errors.yaml", progress="none", slots=1, gpus="none")
    assert found.complete
    assert found.trials.groupby("arm").error.mean().to_dict() == {"baseline": 0.1, "lr=0.2": 0.2}
    (folder / "errors.yaml").write_text("core: errors.py:fit\nbaseline: {}\nvary: {lr: [0.2]}\nmetrics: {arm: max}\n")
    with pytest.raises(AblateError) as caught:
        ablate.plan("errors.yaml")
    assert "a metric cannot be called 'arm'" in str(caught.value.problems)  # type: ignore[attr-defined]
