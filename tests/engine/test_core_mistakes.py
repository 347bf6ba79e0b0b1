"""The first mistakes of somebody's own core, run as a study: one sentence each, at once, and no retry."""

from __future__ import annotations

import sys

import pytest

from ablate.engine.display import display_events
from ablate.engine.run_study import RunOptions
from ablate.errors import AblateError
from ablate.interface import Fusion
from tests.engine.conftest import Bench
from tests.sentences import SENTENCES

CORE = """
import os, subprocess, sys

import numpy as np

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class Settings(CoreSettings):
    mode: str = "fine"
    steps: int = 1
    offset: float = 0.0


class Mine(Core):
    name = "mine"
    Settings = Settings
    metrics = (MetricInfo("score", direction="max"), MetricInfo("loss", direction="min"))

    def run(self, recipes, context):
        if recipes[0].settings["mode"] == "none":
            return None
        return self.pairs(recipes, context)

    @classmethod
    def batch_key(cls, recipe):
        return "together" if recipe.settings["mode"] == "together" else recipe.digest

    def pairs(self, recipes, context):
        for recipe in recipes:
            mode = recipe.settings["mode"]
            print("computing", mode, recipe.seed)
            subprocess.run(["echo", "a child of", mode], check=True)
            values = {"score": np.float32(0.5), "loss": 1}
            if mode == "text":
                values["score"] = "0.5"
            if mode == "missing":
                del values["score"]
            if mode == "diverged":
                values["score"] = np.nan
            if mode == "nan":
                values["loss"] = np.nan
            if mode == "curve":
                context.curve(recipe, -1, score=1)
            if mode == "fraction":
                context.progress(recipe, "steps", 0.5, None, loss=np.float32(1))
                context.curve(recipe, np.int64(10), score=np.array(0.25), loss=np.nan)
            if mode == "stranger":
                context.log("recipe", "x")
            if mode == "exit":
                sys.exit(0)
            if mode == "interrupt":
                raise KeyboardInterrupt
            if mode == "fork" and os.fork() == 0:
                values["score"] = 99
            if mode == "fork":
                if values["score"] != 99:
                    os.wait()
            if mode == "reporting":
                if os.fork() == 0:
                    context.curve(recipe, 1, score=99)
                os.wait()
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=values)
"""
FAILED = {
    "none": "returned nothing",
    "text": "metric 'score' is the str '0.5'",
    "missing": "did not measure 'score'",
    "curve": "images is -1",
    "stranger": "takes the recipe first, not a str",
    "exit": "the core called sys.exit(0)",
    "interrupt": "KeyboardInterrupt",
}
CAME_BACK = "a process that the core forked came back"


@pytest.fixture
def mine(bench: Bench) -> Bench:
    """A bench on which studies use a core with mistakes."""
    (bench.folder / "toycore.py").write_text(CORE.replace("class Mine", "class Toy"), encoding="utf-8")
    return bench


def test_each_mistake_is_said_in_one_sentence_without_a_retry(mine: Bench) -> None:
    others = ("diverged", "nan", "fraction", "fork", "reporting")
    mine.run(f"baseline: {{mode: fine}}\nvary: {{mode: [{', '.join((*FAILED, *others))}]}}\nseeds: 1\n", slots=2)
    rows = {row.arm.removeprefix("mode="): row for row in mine.rows()}
    assert len(mine.rows()) == len(rows) == 1 + len(FAILED) + len(others)
    assert mine.of(display_events.Retrying) == []
    for mode, words in FAILED.items():
        assert rows[mode].outcome == "failed", mode
        assert words in str(rows[mode].attributes["error"])
    assert (rows["baseline"].outcome, rows["baseline"].metrics) == ("measured", {"score": 0.5, "loss": 1.0})
    assert (rows["diverged"].outcome, rows["diverged"].metrics) == ("diverged", {"loss": 1.0})
    assert (rows["nan"].outcome, rows["nan"].metrics) == ("measured", {"score": 0.5})
    assert rows["fraction"].curve == ((10, 0.25),)
    for mode in ("fork", "reporting"):
        assert (rows[mode].outcome, rows[mode].metrics["score"]) == ("measured", 0.5)
        assert rows[mode].curve == ()
        log = mine.paths.trial(f"mode={mode}", 0).log.read_text()
        assert CAME_BACK in log
        assert (SENTENCES["each mistake said one"] in log) == (mode == "reporting")
    assert sum(CAME_BACK in note.text for note in mine.of(display_events.Note)) == 2


def test_what_a_core_prints_is_in_its_trials_log_and_in_no_other(mine: Bench) -> None:
    mine.run("baseline: {mode: fine}\narms: {other: {mode: other}}\nseeds: 2\n")
    for arm, mode in (("baseline", "fine"), ("other", "other")):
        for seed in (0, 1):
            log = mine.paths.trial(arm, seed).log.read_text()
            assert log.splitlines() == [f"computing {mode} {seed}", f"a child of {mode}"]
    assert "computing" not in (mine.paths.workers / "slot-0.log").read_text()


def test_what_trials_print_that_are_computed_together_is_in_the_logs_of_all(mine: Bench) -> None:
    """Nobody can tell apart what they print."""
    options = RunOptions(fusion=Fusion(width=2, forced=True))
    mine.run("baseline: {mode: together}\narms: {other: {offset: 1.0}}\nseeds: 1\n", options=options)
    logs = [mine.paths.trial(arm, 0).log.read_text() for arm in ("baseline", "other")]
    assert logs[0] == logs[1]
    assert logs[0].count("computing together 0") == logs[0].count("a child of together") == 2


IMPORTED = {
    "raises": ("x = 1\nraise RuntimeError('no licence')", "raises RuntimeError: no licence (broken.py, line 2)"),
    "exits": ("import sys\nsys.exit(0)", "ends the program: sys.exit(0) (broken.py, line 2)"),
    "argparse": (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', required=True)\np.parse_args([])",
        "ends the program: sys.exit(2) (broken.py, line 4)",
    ),
    "syntax": ("def (:", "cannot import 'broken'"),
    "missing": ("import not_there_at_all", "No module named 'not_there_at_all'"),
    "renamed": ("class Torso: pass", "has no 'Toy'"),
    "no core": ("class Toy: pass", "no subclass of ablate.Core"),
    "no settings": ("from ablate import Core\nclass Toy(Core):\n  def run(self, r, c): pass", "Settings"),
    "no metrics": (
        "from ablate import Core, CoreSettings\nclass Toy(Core):\n  Settings = CoreSettings\n  metrics = ['score']",
        "metrics are no tuple",
    ),
    "no run": (
        "from ablate import Core, CoreSettings\nclass Toy(Core):\n  Settings = CoreSettings\n  metrics = ()",
        "it has no run",
    ),
}


@pytest.mark.parametrize("case", IMPORTED)
def test_a_core_that_cannot_be_imported_says_why(case: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from ablate.core.shared.registry import core_class

    text, words = IMPORTED[case]
    (bench.folder / "broken.py").write_text(text)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(AblateError) as caught:
        core_class("broken:Toy", bench.folder)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    sys.modules.pop("broken", None)


def test_a_core_that_cannot_be_made_ends_the_run_with_the_reason(bench: Bench) -> None:
    text = (bench.folder / "toycore.py").read_text()
    made = "class Toy(Core):\n    def __init__(self):\n        raise OSError('no dongle')\n"
    (bench.folder / "toycore.py").write_text(text.replace("class Toy(Core):\n", made))
    with pytest.raises(AblateError, match="cannot be started: OSError: no dongle"):
        bench.run("baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 1\n")
