"""The command line and jobs of a cluster: what is asked for, what is refused, and what waits."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.api.choices import Launchers
from ablate.api.launch_options import LaunchOptions
from ablate.cli.commands import doctor as doctor_module
from ablate.display.live_view import picture, queue_lines
from ablate.display.run_state import RunView
from ablate.engine.display import display_events
from ablate.engine.records.lock import StudyLock
from ablate.errors import ExitCode
from ablate.paths import ResultsPaths
from ablate.study.spec import Arm, MetricSpec, Study
from tests.engine import fake_slurm

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a Slurm on PATH."""
    root = tmp_path / "slurm"
    root.mkdir()
    fake_slurm.install(root / "bin")
    monkeypatch.setenv("FAKE_SLURM", str(root))
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return root


@pytest.mark.usefixtures("project")
def test_a_plan_says_what_jobs_there_would_be_and_the_whole_command(ablate: Ablate) -> None:
    jobs = ("--launcher", "slurm", "--slots", "8", "--listen", "login1", "--job", "gpus=1", "--job", "partition=gpu")
    said = ablate("plan", "steps.yaml", *jobs)
    assert "(8 GPU jobs of Slurm, their wait not counted)" in said.out
    [command] = [line for line in said.out.splitlines() if line.startswith("run it:")]
    assert shlex.split(command.removeprefix("run it:")) == ["ablate", "run", "steps.yaml", *_in_order(jobs)]
    assert "(4 CPU tasks of Ray, their wait not counted)" in ablate("plan", "steps.yaml", "--launcher", "ray").out


def _in_order(words: tuple[str, ...]) -> list[str]:
    """The same options in the order in which a command is written."""
    pairs = list(zip(words[::2], words[1::2], strict=True))
    order = ["--launcher", "--slots", "--listen", "--job"]
    return [word for pair in sorted(pairs, key=lambda pair: order.index(pair[0])) for word in pair]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--job", "gpus=1"), "--job is for jobs of a cluster"),
        (("--listen", "here"), "--listen is for jobs of a cluster"),
        (("--launcher", "slurm", "--gpus", "0"), "--gpus picks GPUs of this machine"),
        (("--launcher", "slurm", "--job", "gpus=4"), "a worker uses one GPU"),
        (("--launcher", "ray", "--job", "partition=gpu"), "is not an option for Ray"),
        (("--launcher", "slurm", "--listen", "a:b"), "is not an address"),
    ],
)
def test_what_does_not_go_together_is_refused(ablate: Ablate, words: tuple[str, ...], problem: str) -> None:
    said = ablate("run", "steps.yaml", *words)
    assert said.code == ExitCode.USAGE
    assert problem in said.err


@pytest.mark.usefixtures("project")
def test_a_probe_measures_this_machine_only(ablate: Ablate) -> None:
    said = ablate("plan", "steps.yaml", "--launcher", "slurm", "--probe")
    assert said.code == ExitCode.USAGE
    assert "--probe runs a trial on this machine" in said.err


@pytest.mark.usefixtures("project")
def test_ray_that_is_missing_is_named_with_what_installs_it(ablate: Ablate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = ablate("run", "steps.yaml", "--launcher", "ray")
    assert said.code == ExitCode.USAGE
    assert "Ray is not installed here" in said.err
    assert "pip install 'ablate[ray]'" in said.err


@pytest.mark.usefixtures("project", "slurm")
def test_a_study_is_run_on_slurm(ablate: Ablate) -> None:
    said = ablate("run", "steps.yaml", "--launcher", "slurm", "--slots", "1", "--no-report", "--plain", "--seeds", "2")
    assert said.code == 0
    assert "queued     slot=0  job=1" in said.err
    assert "8 of 8 trials" in said.err
    found = ResultsPaths(Path("results")).study("steps")
    assert (found.workers / "slot-0.log").exists()


def test_the_picture_shows_what_waits() -> None:
    study = Study("s", "", "toy", (Arm("baseline", {}, {}),), (), (MetricSpec("psnr", "max", primary=True),), (3,))
    view = RunView(study, {"baseline": 3}, began=0.0)
    for slot in range(7):
        view.take(display_events.SlotQueued(at=0.0, slot=slot, job=str(100 + slot), reason="Priority"))
    view.take(display_events.SlotBegun(at=1.0, slot=0, job="100", node="n1"))
    lines = picture(view, 1.0, 80).plain.splitlines()
    assert lines[1:6] == [
        "   1 waits: job 101 (Priority)",
        "   2 waits: job 102 (Priority)",
        "   3 waits: job 103 (Priority)",
        "   4 waits: job 104 (Priority)",
        "     and 2 more wait",
    ]
    assert len(queue_lines(dict.fromkeys(range(5), "job"))) == 5


@pytest.mark.usefixtures("half_done")
def test_status_says_what_waits_while_the_run_is_alive(ablate: Ablate) -> None:
    with StudyLock(ResultsPaths(Path("results")).study("steps").lock) as lock:
        lock.record_workers((), ["job 12 (Priority)"])
        assert "  waits for job 12 (Priority)\n" in ablate("status", "steps").out
        assert json.loads(ablate("status", "steps", "--json").out)["waiting"] == ["job 12 (Priority)"]
    assert "waits for" not in ablate("status", "steps").out


def test_where_workers_run_is_said_again_word_by_word() -> None:
    where = LaunchOptions(Launchers.SLURM, ("gpus=1", "qos=low"), "login1", slots=8)
    assert where.words() == {
        "--launcher": ("slurm",),
        "--slots": ("8",),
        "--listen": ("login1",),
        "--job": ("gpus=1", "qos=low"),
    }
    assert LaunchOptions().words() == {"--job": ()}


def test_doctor_finds_slurm(slurm: Path) -> None:
    found = {one.name: one for one in doctor_module._clusters()}
    assert (found["slurm"].state, found["slurm"].value) == ("ok", "slurm-fake 1.0")
    (slurm / "down").touch()
    down = {one.name: one for one in doctor_module._clusters()}["slurm"]
    assert down.state == "warn"
    assert "Unable to contact slurm controller" in down.value
    # What Slurm says, and not what Python calls it.
    assert "exit status" not in down.value
    assert "sinfo" in down.hint
    assert "ray" in found
