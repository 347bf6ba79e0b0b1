"""Lists, mappings and nested models through a whole study: run, extended, searched, read by others, reported."""

from __future__ import annotations

import csv
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

import ablate

CORE = """
from typing import Any

from pydantic import BaseModel

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class Optimizer(BaseModel):
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)


class Settings(CoreSettings):
    layers: list[int] = [8, 8]
    opt: Optimizer = Optimizer()
    options: dict[str, Any] = {"a": 1}


class Rich(Core):
    name = "rich"
    Settings = Settings
    metrics = (MetricInfo("score", direction="max"),)

    def run(self, recipes, context):
        for recipe in recipes:
            settings = Settings(**recipe.settings)
            score = sum(settings.layers) + settings.opt.lr + len(settings.options) + sum(settings.opt.betas)
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"score": score + recipe.seed / 100})
"""
LONG = list(range(40))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "richcore.py").write_text(CORE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    sys.modules.pop("richcore", None)


def run(**sections: Any) -> Any:
    study = {"core": "richcore:Rich", "baseline": {"layers": [4, 4]}, "metrics": {"score": {"primary": True}}}
    return ablate.run(study, name="rich", progress="none", slots=1, gpus="none", seeds=2, **sections)


def test_a_study_of_lists_mappings_and_models_is_run_and_extended(folder: Path) -> None:
    first = run(vary={"layers": [[16], LONG], "opt.betas": [[0.5, 0.6]], "options": [{}]})
    assert first.complete
    scores = first.trials[first.trials.seed == 0].set_index("arm").score.round(6).to_dict()
    long = next(arm for arm in scores if "40 items" in arm)
    assert scores == {
        "baseline": 10.999,
        "layers=[16]": 18.999,
        long: pytest.approx(sum(LONG) + 2.999),
        "opt.betas=[0.5, 0.6]": 10.2,
        "options={}": 9.999,
    }
    again = run(vary={"layers": [[16], LONG, [1, 2, 3]], "opt.betas": [[0.5, 0.6]], "options": [{}], "opt.lr": [0.5]})
    assert len(again.trials) == 2 * 7

    study = optuna.load_study(study_name="rich", storage="sqlite:///results/ablate.db")
    labels = {trial.params["layers"] for trial in study.trials}
    assert labels == {"[4, 4]", "[16]", "[1, 2, 3]", long.removeprefix("layers=")}
    newest = study.trials[-1].distributions["layers"]
    assert all(trial.distributions["layers"] == newest for trial in study.trials)
    assert {trial.params["opt.lr"] for trial in study.trials[-4:]} == {0.1, 0.5}
    with closing(sqlite3.connect("results/ablate.db")) as database:
        rows = database.execute("select distinct value from ablate_params where name = 'options'").fetchall()
    assert set(rows) == {("{a: 1}",), ("{}",)}

    ablate.report(again, figures=False)
    with (folder / "results" / "rich" / "trials.csv").open() as handle:
        arms = {row["arm"] for row in csv.DictReader(handle)}
    assert {"layers=[16]", "opt.betas=[0.5, 0.6]", "options={}"} < arms
    page = (folder / "results" / "rich" / "report.html").read_text()
    assert "[0.5, 0.6]" in page


def test_a_search_tries_lists_and_says_which(folder: Path) -> None:
    ranges = {"layers": [[1], [2, 2], [9]], "opt.lr": {"from": 0.1, "to": 0.5}}
    found = run(search={"factors": ranges, "trials": 8, "sampler": "tpe", "confirm": True})
    (best,) = [arm for arm in found.study.arms if arm.name == "best of search"]
    assert best.settings["layers"] == (9,)
    study = optuna.load_study(study_name="rich", storage="sqlite:///results/ablate.db")
    assert {trial.params["layers"] for trial in study.trials} <= {"[1]", "[2, 2]", "[9]", "[4, 4]"}
    again = run(search={"factors": ranges, "trials": 8, "sampler": "tpe", "confirm": True})
    assert len(again.trials) == len(found.trials)
