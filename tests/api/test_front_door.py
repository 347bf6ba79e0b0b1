"""The Python API: what a script and a notebook get from run, plan, load, compare and report."""

from __future__ import annotations

import importlib
import inspect
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ablate
from ablate.api import front_door
from ablate.engine.display import display_events

CONTENT: dict[str, Any] = {
    "core": "toycore:Toy",
    "baseline": {"lr": 0.1},
    "vary": {"lr": [0.2, 0.5]},
    "seeds": 3,
    "metrics": {"score": {"primary": True, "margin": 0.01}},
}
QUIET: dict[str, Any] = {"slots": 1, "gpus": "none", "progress": "none"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The results of one run of a mapping."""
    from tests.cli.conftest import make_project

    with pytest.MonkeyPatch.context() as patch:
        make_project(tmp_path_factory.mktemp("done"), patch)
        return ablate.run(CONTENT, name="mapped", results=Path.cwd() / "results", **QUIET)


def test_a_mapping_runs_and_gives_tables_and_verdicts(done: ablate.StudyResults) -> None:
    assert done.summary is not None
    assert (done.summary.done, done.summary.total) == (9, 9)
    assert list(done.trials["arm"].unique()) == ["baseline", "lr=0.2", "lr=0.5"]
    assert set(done.trials["outcome"]) == {"measured"}
    assert set(done.curves.columns) == {"arm", "seed", "images", "value"}
    assert dict(done.verdicts) == {"lr=0.2": ablate.Verdict.BETTER, "lr=0.5": ablate.Verdict.BETTER}
    assert done.complete


def test_a_loaded_study_is_the_one_that_was_run(done: ablate.StudyResults) -> None:
    loaded = ablate.load("mapped", results=done.folder.parent)
    pd.testing.assert_frame_equal(loaded.trials, done.trials)
    assert loaded.summary is None
    assert "9" in repr(loaded)


def test_a_comparison_shows_itself(done: ablate.StudyResults) -> None:
    comparison = done.comparison
    frame = comparison.to_frame()
    assert list(frame["arm"]) == ["baseline", "lr=0.2", "lr=0.5"]
    assert list(frame["verdict"]) == ["", "better", "better"]
    assert len(repr(comparison)) < 120
    assert "better 2" in repr(comparison)
    html = done._repr_html_()
    assert html.count("<tr>") == 4
    assert "lr=0.5" in html


def test_a_report_is_written_and_returned(done: ablate.StudyResults) -> None:
    written = ablate.report(done, figures=False, formats=("html", "csv"))
    assert written.html is not None
    assert written.html.exists()
    assert {path.name for path in written.files} >= {"report.html", "arms.csv", "trials.csv"}
    assert written.comparison.rows == done.comparison.rows
    assert "better" in str(written)


def test_a_name_reports_too_and_a_word_that_is_no_format_is_refused(done: ablate.StudyResults) -> None:
    by_name = ablate.report("mapped", results=done.folder.parent, figures=False, formats=["md"])
    assert by_name.comparison.rows == done.comparison.rows
    with pytest.raises(ablate.AblateError, match="unknown format 'pdf'"):
        ablate.report("mapped", results=done.folder.parent, formats=["pdf"])
    with pytest.raises(ablate.AblateError, match="a study or a source"):
        ablate.report()


@pytest.mark.usefixtures("project")
def test_two_studies_are_compared_arm_by_arm() -> None:
    ablate.run(CONTENT, name="before", **QUIET)
    ablate.run({**CONTENT, "baseline": {"lr": 0.1, "steps": 11}}, name="after", **QUIET)
    written = ablate.report("after", against="before", figures=False)
    assert written.comparison.arms == ("baseline", "lr=0.2", "lr=0.5")
    assert (written.folder / "arms.csv").exists()


@pytest.mark.usefixtures("project")
def test_the_same_call_resumes_and_more_seeds_are_added() -> None:
    first = ablate.run("steps.yaml", **QUIET)
    again = ablate.run("steps.yaml", **QUIET)
    assert again.summary is None
    pd.testing.assert_frame_equal(again.trials, first.trials)
    more = ablate.run("steps.yaml", seeds=4, only="lr=0.2", **QUIET)
    assert len(more.trials) == len(first.trials) + 2
    assert more.summary is not None
    assert dict(more.summary.counts) == {"measured": 2}


TINY_DIP: dict[str, Any] = {
    "baseline": {"method": "dip", "eval_images": 1, "dip_steps": 2},
    "vary": {"dip_lr": [0.02]},
    "seeds": 1,
    "metrics": {"psnr": {"primary": True}},
}


@pytest.mark.parametrize(("content", "code"), [(TINY_DIP, 0), (CONTENT, 2)], ids=["built-in core", "own core"])
def test_a_study_written_in_python_resumes_at_a_terminal_unless_its_core_would_come_from_results(
    project: Path, content: dict[str, Any], code: int
) -> None:
    """The command that the report suggests runs as it stands; code beside results is never run."""
    results = ablate.run(content, name="mapped", **QUIET)
    command = str(results.stored.command).split()
    assert command[:2] == ["ablate", "run"]
    more = [sys.executable, "-m", *command, "--seeds", "2", "--no-report"]
    run = subprocess.run(more, capture_output=True, text=True, check=False, cwd=project)
    assert run.returncode == code, run.stderr
    if code:
        assert "copy the study file to your own code" in run.stderr
    else:
        assert len(ablate.load("mapped").trials) == 4


@pytest.mark.usefixtures("project")
def test_every_event_goes_to_a_function() -> None:
    seen: list[display_events.DisplayEvent] = []
    ablate.run("steps.yaml", seeds=1, only=["lr=0.2"], slots=1, gpus="none", progress=seen.append)
    assert isinstance(seen[0], display_events.RunStarted)
    assert isinstance(seen[-1], display_events.RunFinished)
    assert sum(isinstance(event, display_events.TrialFinished) for event in seen) == 2


@pytest.mark.usefixtures("project")
def test_failed_trials_do_not_raise_and_are_named() -> None:
    text = Path("toycore.py").read_text(encoding="utf-8")
    broken = text.replace(
        "if lr > 5:", "if lr == 0.2:\n                raise OSError('no disk')\n            if lr > 5:"
    )
    Path("badcore.py").write_text(broken, encoding="utf-8")
    results = ablate.run({**CONTENT, "core": "badcore:Toy"}, name="bad", **QUIET)
    assert not results.complete
    assert results.summary is not None
    assert {error.arm for error in results.summary.errors} == {"lr=0.2"}


@pytest.mark.usefixtures("project")
def test_a_plan_changes_nothing_and_knows_what_is_left(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plan = ablate.plan("steps.yaml", seeds=2, slots=2, gpus="none")
    assert (plan.trials, plan.done, plan.to_run) == (8, 0, 8)
    assert list(plan.to_frame().columns) == ["arm", "seed", "to_run"]
    assert plan.to_frame()["to_run"].all()
    assert plan.to_dict()["study"] == "steps"
    assert "to run 8" in repr(plan)
    assert "lr" in plan._repr_html_()
    assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts] == before


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ablate.plan("stesp.yaml"), ablate.StudyFileError, "did you mean 'steps.yaml'"),
        (lambda: ablate.plan({**CONTENT, "baseline": {"lrr": 1}}), ablate.StudyFileError, "unknown factor 'lrr'"),
        (lambda: ablate.plan({**CONTENT, "baseline": {"lr": object()}}), ablate.AblateError, "cannot hold this value"),
        (lambda: ablate.plan("steps.yaml", vary={"lr": [1]}), ablate.AblateError, "vary would replace what it says"),
        (lambda: ablate.plan(vary={"lr": [1]}), ablate.AblateError, "no study"),
        (lambda: ablate.plan(CONTENT, name="a/b"), ablate.AblateError, "cannot be a study's name"),
        (lambda: ablate.plan("steps.yaml", seeds=0), ablate.AblateError, "seeds is a whole number"),
        (lambda: ablate.run("steps.yaml", seeds=1.5), ablate.AblateError, "seeds is a whole number"),  # type: ignore[arg-type]
        (lambda: ablate.plan("steps.yaml", seeds=[3, 4]), ablate.AblateError, 'seed_range="3..5"'),  # type: ignore[arg-type]
        (lambda: ablate.run(3), ablate.AblateError, "a study is a file, a mapping or a function, not 3"),  # type: ignore[arg-type]
        (lambda: ablate.run("steps.yaml", launcher="pbs"), ablate.AblateError, "no launcher 'pbs'"),
        (lambda: ablate.run("steps.yaml", until="done"), ablate.AblateError, "until='done'"),  # type: ignore[arg-type]
        (lambda: ablate.run("steps.yaml", progress="loud"), ablate.AblateError, "progress='loud'"),  # type: ignore[arg-type]
        (lambda: ablate.load("steps"), ablate.StorageError, "steps|ablate.db"),
        (lambda: ablate.report("steps", test="t"), ablate.AblateError, "steps|ablate.db"),  # type: ignore[arg-type]
    ],
)
def test_what_the_command_line_refuses_raises(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert re.search(words, str(caught.value))


def test_a_core_may_be_given_as_its_class(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(sys.modules, "toycore", raising=False)
    toy = importlib.import_module("toycore").Toy
    assert ablate.plan({**CONTENT, "core": toy}, name="by class", slots=1).prepared.study.core == "toycore:Toy"
    monkeypatch.setattr(toy, "__module__", "__main__")
    with pytest.raises(ablate.AblateError, match="cannot import"):
        ablate.plan({**CONTENT, "core": toy}, name="by class", slots=1)


def test_numpy_levels_are_plain_numbers() -> None:
    from ablate.api.study_source import source_of

    found = source_of({"vary": {"lr": np.linspace(0, 1, 3), "steps": (np.int64(2), range(2))}}, "numbers", {})
    assert isinstance(found, ablate.StudyDefinition)
    assert found.to_yaml() == "vary:\n  lr:\n  - 0.0\n  - 0.5\n  - 1.0\n  steps:\n  - 2\n  - - 0\n    - 1\n"


def test_anybodys_table_is_compared() -> None:
    frame = pd.DataFrame(
        {"arm": ["plain"] * 4 + ["new"] * 4, "seed": [*range(4)] * 2, "acc": [1, 2, 3, 4, 3, 4.1, 5, 6.2]}
    )
    comparison = ablate.compare(frame, baseline="plain", metrics=["acc:max:0.5"])
    assert comparison.row("new").verdict is ablate.Verdict.BETTER


SCRIPT = """
import ablate
from ablate.api import front_door
results = ablate.run("steps.yaml", seeds=2, only="lr=0.2", slots=2, gpus="none")
print(len(results.trials), results.complete)
"""


@pytest.mark.usefixtures("project")
def test_a_plain_script_needs_no_main_guard() -> None:
    Path("script.py").write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout == "4 False\n", run.stderr
    assert run.stderr.count("start-run") == 1


INTERRUPTED = """
import os, signal
import ablate
from ablate.api import front_door
from ablate.engine.display.display_events import TrialStarted
def watch(event):
    if isinstance(event, TrialStarted):
        os.kill(os.getpid(), signal.{name})
ablate.run("steps.yaml", slots=1, gpus="none", progress=watch)
"""


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 143)])
def test_a_signal_saves_and_ends_a_script_as_python_ends(name: str, code: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(name=name)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == code, run.stderr
    assert ablate.run("steps.yaml", **QUIET).complete


def test_the_room_and_the_function_of_the_same_name() -> None:
    code = (
        "import ablate\nfirst = ablate.report\nimport ablate.report.text.escape\n"
        "assert ablate.report is first and callable(ablate.report)\nprint(ablate.report.text.escape.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "ablate.report.text.escape\n", run.stderr
    assert set(ablate.__all__) <= set(dir(ablate))
    assert inspect.signature(ablate.report) == inspect.signature(front_door.report)
    assert all(getattr(ablate, name) is not None for name in ablate.__all__)


def test_a_command_and_its_progress_are_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("import sys\nprint('1 of 2\\n2 of 2\\nscore', float(sys.argv[1]) + int(sys.argv[2]))\n")
    seen: list[display_events.DisplayEvent] = []
    found = ablate.run(
        name="toy",
        command=[sys.executable, "train.py", "{lr}", "{seed}"],
        command_progress=r"(\d+) of (\d+)",
        factors={"lr": 0.1},
        vary={"lr": [0.2]},
        metrics={"score": {"from": "stdout:score (.*)", "direction": "max", "margin": 0.01}},
        seeds=2,
        slots=1,
        gpus="none",
        progress=seen.append,
    )
    assert found.study.name == "toy"
    assert sorted(found.trials.score) == [0.1, 0.2, 1.1, 1.2]
    assert (2, 2) in {(one.done, one.total) for one in seen if isinstance(one, display_events.TrialProgress)}
