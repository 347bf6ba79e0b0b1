"""Results of several versions of a core: never mixed without a word, and never forgotten once they are."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ablate as api
from ablate.errors import ExitCode, StudyChangedError
from ablate.storage.read import read_study
from ablate.storage.rows import core_versions, seeds_text, versions_text

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

URL = "sqlite:///results/ablate.db"
RUN = ("--slots", "1", "--gpus", "none", "--no-report", "--quiet")
CORE = """
import os

from pydantic import Field

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class Settings(CoreSettings):
    lr: float = Field(0.1, description="Step size.")


class Versioned(Core):
    name = "versioned"
    version = os.environ["VERSION_OF_CORE"]
    Settings = Settings
    metrics = (MetricInfo("score", "max"),)

    def run(self, recipes, context):
        for recipe in recipes:
            score = float(self.version) + recipe.settings["lr"] + recipe.seed % 7
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"score": score})

    def measure(self, recipe, context):
        raise AssertionError("never asked")
"""
STUDY = """
question: Does the step size matter?
core: versioned:Versioned
baseline: {lr: 0.1}
vary: {lr: [0.2]}
seeds: 2
metrics: {score: {primary: true, margin: 0.1}}
"""

Becomes = Callable[[str], None]


@pytest.fixture
def becomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Becomes:
    """Make the core one of another version, here and in workers."""
    (tmp_path / "versioned.py").write_text(CORE, encoding="utf-8")
    (tmp_path / "steps.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def version(number: str) -> None:
        monkeypatch.setenv("VERSION_OF_CORE", number)
        monkeypatch.delitem(sys.modules, "versioned", raising=False)

    version("1")
    return version


@pytest.fixture
def mixed(ablate: Ablate, becomes: Becomes) -> None:
    """Seeds 0 and 1 of version 1, seed 2 of version 2."""
    assert ablate("run", "steps.yaml", *RUN).code == 0
    becomes("2")
    assert ablate("run", "steps.yaml", "--seeds", "3", "--keep-old", *RUN).code == 0


def stored() -> dict[str, dict[str, list[int]]]:
    return core_versions(read_study(URL, "steps")[1])


def test_a_run_is_refused_and_keeps_what_is_there(ablate: Ablate, becomes: Becomes) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    becomes("2")
    said = ablate("run", "steps.yaml", "--seeds", "3", *RUN)
    assert said.code == ExitCode.USAGE
    assert "4 results of version 1 of core versioned:Versioned, which is version 2 now" in said.err
    assert "--keep-old" in said.err
    assert "--name" in said.err
    assert stored() == {"1": {"baseline": [0, 1], "lr=0.2": [0, 1]}}
    # Also where nothing is left to run: who changed the version wants other numbers than those.
    assert ablate("run", "steps.yaml", *RUN).code == ExitCode.USAGE
    assert ablate("run", "steps.yaml", "--name", "again", *RUN).code == 0


def test_a_plan_warns_and_says_which_are_which(ablate: Ablate, becomes: Becomes) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    assert "version" not in ablate("plan", "steps.yaml").err
    becomes("2")
    said = ablate("plan", "steps.yaml", "--seeds", "3")
    assert said.code == 0
    assert "4 results of version 1" in said.err
    (plan,) = [json.loads(line) for line in ablate("plan", "steps.yaml", "--json").out.splitlines()]
    assert "baseline, lr=0.2 (seeds 0-1)" in str(plan["warnings"])


@pytest.mark.usefixtures("mixed")
def test_results_that_are_kept_stay_and_carry_their_version() -> None:
    assert stored() == {
        "1": {"baseline": [0, 1], "lr=0.2": [0, 1]},
        "2": {"baseline": [2], "lr=0.2": [2]},
    }
    # The command that resumes is the one that was allowed to.
    assert "--keep-old" in str(read_study(URL, "steps")[0].attributes["ablate.command"])


@pytest.mark.usefixtures("mixed")
def test_every_format_of_a_report_says_which_are_which(ablate: Ablate) -> None:
    said = ablate("report", "steps", "--no-figures")
    assert said.code == 0
    folder = Path("results/steps")
    which = "version 1: baseline, lr=0.2 (seeds 0-1); version 2: baseline, lr=0.2 (seed 2)"
    for text in (said.out + said.err, *((folder / name).read_text() for name in ("report.md", "report.html"))):
        assert which in " ".join(text.split())
    assert "versions of core" in (folder / "table.tex").read_text()
    report = json.loads((folder / "report.json").read_text())
    assert report["core_versions"] == stored()
    assert "core-versions" in [lint["code"] for lint in report["comparison"]["lints"]]
    assert any(which in line for line in report["answer"])
    with (folder / "trials.csv").open(newline="") as file:
        found = {(row["arm"], row["seed"]): row["core_version"] for row in csv.DictReader(file)}
    assert found["baseline", "1"] == "1"
    assert found["baseline", "2"] == "2"


@pytest.mark.usefixtures("mixed")
def test_an_audit_finds_it(ablate: Ablate) -> None:
    said = ablate("audit", "steps", "--json")
    assert said.code == ExitCode.UNSOUND
    (found,) = [json.loads(line) for line in said.out.splitlines()]
    assert [fault["kind"] for fault in found["faults"]] == ["core-versions"]


def test_one_version_is_nothing_to_speak_of(ablate: Ablate, becomes: Becomes) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    assert ablate("audit", "steps").code == 0
    assert ablate("report", "steps", "--no-figures").code == 0
    page = Path("results/steps/report.md").read_text()
    assert "versions of core" not in page
    assert "versioned:Versioned, version 1" in Path("results/steps/report.html").read_text()


def test_results_found_as_files_alone_are_asked_about_too(ablate: Ablate, becomes: Becomes) -> None:
    """The database is gone; what the outcome files hold is of version 1."""
    assert ablate("run", "steps.yaml", *RUN).code == 0
    becomes("2")
    for path in Path("results").glob("ablate.db*"):
        path.unlink()
    said = ablate("run", "steps.yaml", "--seeds", "3", *RUN)
    assert said.code == ExitCode.USAGE
    assert "4 results of version 1" in said.err
    assert set(stored()) == {"1"}


def test_an_import_of_another_version_says_so_and_stays_visible(ablate: Ablate, becomes: Becomes) -> None:
    assert ablate("run", "steps.yaml", "--seed-range", "0..1", *RUN).code == 0
    assert ablate("archive", "steps").code == 0
    Path("results").rename("elsewhere")
    becomes("2")
    assert ablate("run", "steps.yaml", "--seed-range", "2..3", *RUN).code == 0
    said = ablate("import", "steps.ablate.zip")
    assert said.code == 0
    assert "2 versions of core" in said.err
    assert ablate("audit", "steps").code == ExitCode.UNSOUND
    ablate("report", "steps", "--no-figures")
    assert "versions of core" in Path("results/steps/report.md").read_text()


def test_two_studies_of_different_versions_are_told_apart(ablate: Ablate, becomes: Becomes) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    becomes("2")
    assert ablate("run", "steps.yaml", "--name", "after", *RUN).code == 0
    said = ablate("report", "steps", "after")
    assert "different versions of the core" in " ".join((said.out + said.err).split())


def test_what_another_version_computed_is_not_measured_later(ablate: Ablate, becomes: Becomes) -> None:
    assert ablate("run", "steps.yaml", *RUN).code == 0
    becomes("2")
    said = ablate("measure", "steps.yaml", "--metric", "score")
    assert said.code == ExitCode.USAGE
    assert "which is version 2 now" in said.err


def test_python_is_refused_and_may_keep_them(becomes: Becomes) -> None:
    quiet: dict[str, Any] = {"slots": 1, "gpus": "none", "progress": "none"}
    api.run("steps.yaml", **quiet)
    becomes("2")
    with pytest.raises(StudyChangedError, match="version 2 now"):
        api.run("steps.yaml", seeds=3, **quiet)
    done = api.run("steps.yaml", seeds=3, keep_old=True, **quiet)
    assert done.complete
    assert set(stored()) == {"1", "2"}


def test_a_function_says_its_version() -> None:
    def train(*, lr: float = 0.1, seed: int) -> dict[str, float]:
        return {"loss": lr + seed}

    assert api.function_core(train, {"loss": "min"}).version == "1"
    train.version = 3  # type: ignore[attr-defined]
    assert api.function_core(train, {"loss": "min"}).version == "3"


@pytest.mark.parametrize(
    ("seeds", "text"),
    [([3], "seed 3"), ([0, 1, 2], "seeds 0-2"), ([0, 1, 4], "seeds 0-1, 4"), ([1, 3], "seeds 1, 3")],
)
def test_seeds_are_said_as_ranges(seeds: list[int], text: str) -> None:
    assert seeds_text(seeds) == text


def test_many_arms_with_the_same_seeds_are_counted() -> None:
    text = versions_text({"1": {f"arm {number}": [0, 1] for number in range(9)}, "2": {"baseline": [0]}})
    assert text == "version 1: arm 0, arm 1, arm 2, arm 3 and 5 more arms (seeds 0-1); version 2: baseline (seed 0)"
