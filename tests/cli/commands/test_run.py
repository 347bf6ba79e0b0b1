"""`ablate run` from the command line to the report, with a core that only calculates."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.errors import ExitCode
from ablate.paths import ResultsPaths
from ablate.storage.read import read_study
from tests.sentences import SENTENCES

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

ONE_SLOT = ("--gpus", "none", "--slots", "1")
QUICK = (*ONE_SLOT, "--no-figures")


def test_a_run_tells_events_verdicts_and_where_the_report_is(ablate: Ablate, project: Path) -> None:
    said = ablate("run", "steps.yaml", *QUICK)
    assert said.code == ExitCode.DONE
    words = [line.split()[1] for line in said.err.splitlines() if line.startswith("20")]
    assert (words[0], words[-1], words.count("finish")) == ("start-run", "finish-run", 12)
    assert said.err.splitlines()[-1] == "  measured 9, diverged 3"
    assert "report:  results/steps/report.html" in said.err
    (row,) = [line.split() for line in said.out.splitlines() if line.startswith("far too fast  ")]
    assert row[3:6] == ["x", "diverged", "0/3"]
    assert all(len(line) <= 80 for line in said.out.splitlines()[:5])
    assert (project / "results" / "steps" / "report.html").exists()


def test_json_is_one_object_per_line_and_nothing_else(ablate: Ablate, project: Path) -> None:
    said = ablate("run", "steps.yaml", *QUICK, "--json")
    found = [json.loads(line) for line in said.out.splitlines()]
    assert {one["schema_version"] for one in found} == {1}
    assert sum(one["event"] == "finish" for one in found) == 12
    rows = [one for one in found if one["event"] == "comparison" and one["metric"] == "score"]
    verdicts = {row["arm"]: row["verdict"] for row in rows}
    assert verdicts["far too fast"] == "diverged"
    assert verdicts["baseline"] is None
    assert (project / "results" / "steps" / "arms.csv").exists()


def test_a_finished_study_says_so_and_does_nothing(ablate: Ablate, finished: Path) -> None:
    database = finished / "results" / "ablate.db"
    before = database.stat().st_mtime_ns
    said = ablate("run", "steps.yaml", *QUICK)
    assert (said.code, said.out) == (ExitCode.DONE, "")
    assert said.err.startswith("steps: all 12 trials are done, nothing to run\n")
    assert database.stat().st_mtime_ns == before


def test_a_changed_margin_is_recorded_where_all_trials_are_done(ablate: Ablate, finished: Path) -> None:
    """Or reports would follow the old file for ever: there is nothing left to run that would bring it up to date."""
    file = finished / "steps.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("margin: 0.1", "margin: 0.7"), encoding="utf-8")
    changed = "steps: the study file has changed since the last run; reports follow it now\n"
    assert ablate("run", "steps.yaml").err.startswith(changed)
    assert "margin ±0.7 dB" in ablate("report", "steps", "--no-figures").out
    assert "STALE" not in (finished / "results" / "steps" / "report.html").read_text(encoding="utf-8")
    assert "has changed" not in ablate("run", "steps.yaml").err
    assert ablate("audit", "steps").code == 0


def test_more_seeds_run_only_what_is_missing(ablate: Ablate, finished: Path) -> None:
    said = ablate("run", "steps.yaml", *QUICK, "--arms", "lr=0.2", "--seeds", "4")
    started = [line for line in said.err.splitlines() if " start  " in line]
    assert [line.partition("arm=")[2] for line in started] == ["baseline  seed=3", "lr=0.2  seed=3"]
    assert said.code == ExitCode.DONE
    assert (finished / "results" / "steps" / "report.html").exists()


@pytest.mark.usefixtures("finished")
def test_report_gates(ablate: Ablate) -> None:
    assert ablate("report", "steps", "--no-figures", "--format", "csv").code == ExitCode.DONE
    said = ablate("report", "steps.yaml", "--no-figures", "--format", "csv,md", "--fail-on", "diverged")
    assert said.code == ExitCode.GATE
    assert "verdict" in said.out.splitlines()[0]


@pytest.mark.usefixtures("finished")
def test_report_of_all_studies(ablate: Ablate) -> None:
    assert ablate("run", "steps.yaml", "--name", "again", "--set", "steps=5", *QUICK, "--quiet").code == 0
    found = [json.loads(line) for line in ablate("report", "--no-figures", "--json").out.splitlines()]
    assert {one["study"] for one in found} == {"steps", "again"}


@pytest.mark.usefixtures("project")
def test_suggested_commands_keep_the_overrides(ablate: Ablate) -> None:
    """Without its `--set` the study would be taken for a changed one, and refused."""
    overrides = ("--set", "steps=5", "--name", "short")
    said = ablate("run", "steps.yaml", *overrides, "--seeds", "1", *QUICK)
    commands = [line.strip() for line in said.out.splitlines() if line.startswith("    ablate run ")]
    assert commands
    assert all("--set steps=5 --name short" in command for command in commands)
    assert ablate(*shlex.split(commands[0])[1:], "--quiet", "--no-report").code == ExitCode.DONE


def test_a_diverged_baseline_is_nothing_comparable(ablate: Ablate, project: Path) -> None:
    text = (project / "steps.yaml").read_text(encoding="utf-8").replace("baseline: {lr: 0.1}", "baseline: {lr: 8.0}")
    (project / "steps.yaml").write_text(text, encoding="utf-8")
    said = ablate("run", "steps.yaml", *QUICK, "--quiet")
    assert said.code == ExitCode.NOTHING_COMPARABLE
    again = ablate("report", "steps", "--no-figures")
    assert again.code == ExitCode.NOTHING_COMPARABLE
    assert again.err.startswith("error: ")


def test_failed_trials_leave_with_code_three_and_name_their_log(ablate: Ablate, project: Path) -> None:
    core = (project / "toycore.py").read_text(encoding="utf-8")
    raising = "            if lr == 0.5:\n                raise ValueError('no luck')\n"
    broken = core.replace("            if lr > 5:", raising + "            if lr > 5:")
    (project / "brokencore.py").write_text(broken, encoding="utf-8")
    text = (project / "steps.yaml").read_text(encoding="utf-8").replace("toycore:Toy", "brokencore:Toy")
    (project / "steps.yaml").write_text(text, encoding="utf-8")
    said = ablate("run", "steps.yaml", *QUICK, "--quiet")
    assert said.code == ExitCode.INCOMPLETE
    assert SENTENCES["failed trials leave code"] in said.err
    loud = ablate("run", "steps.yaml", *QUICK)
    assert loud.err.splitlines()[-1] == SENTENCES["failed trials leave code 2"]


def test_results_that_cannot_be_written(ablate: Ablate, project: Path) -> None:
    (project / "results").write_text("a file", encoding="utf-8")
    said = ablate("run", "steps.yaml", *QUICK)
    assert said.code == ExitCode.USAGE
    assert said.err.splitlines()[-3].startswith("error: ")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_ends_with_the_command_that_goes_on(project: Path, signum: signal.Signals, code: int) -> None:
    core = (project / "toycore.py").read_text(encoding="utf-8")
    slow = core.replace("for step in range(steps):", "for step in slowly(report, steps):") + SLOWLY
    (project / "slowcore.py").write_text(slow, encoding="utf-8")
    text = (project / "steps.yaml").read_text(encoding="utf-8").replace("toycore:Toy", "slowcore:Toy")
    (project / "steps.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ablate", "run", "steps.yaml", *QUICK]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert run.stderr is not None
    for line in run.stderr:
        if " start  " in line:
            break
    run.send_signal(signum)
    _, rest = run.communicate(timeout=60)
    assert run.returncode == code
    assert rest.splitlines()[-1] == SENTENCES["stopped run ends command"]
    _, rows = read_study(ResultsPaths(project / "results").default_storage, "steps")
    assert [row.state for row in rows if row.state == "RUNNING"] == []


SLOWLY = """

def slowly(report, steps):
    import time
    from ablate.errors import StoppedError

    for step in range(steps):
        time.sleep(0.05)
        if context.stop_requested:
            raise StoppedError
        yield step
"""


def test_arms_called_like_missing_values_read_back_right(ablate: Ablate, project: Path) -> None:
    import pandas as pd

    import ablate as package

    text = Path("steps.yaml").read_text(encoding="utf-8")
    Path("steps.yaml").write_text(text.replace("  far too fast:", "  'NA': {lr: 0.3}\n  'None':"), encoding="utf-8")
    assert "arm's name 'NA', 'None' in a CSV file" in ablate("plan", "steps.yaml").err
    assert ablate("run", "steps.yaml", "--slots", "1", "--gpus", "none", "--quiet", "--no-figures").code == 0
    names = {"baseline", "lr=0.2", "lr=0.5", "NA", "None"}
    assert set(package.load("steps").trials["arm"]) == names
    read = pd.read_csv("results/steps/trials.csv", keep_default_na=False, na_values=[""])
    assert set(read["arm"]) == names
    said = ablate("report", "--from", "csv:results/steps/trials.csv", "--metric", "score:max:0.1", "--name", "again")
    assert {"NA", "None"} <= {word for line in said.out.splitlines() for word in line.split()[:1]}
