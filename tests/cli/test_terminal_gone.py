"""A run whose terminal is closed, or whose pipe is broken: real pseudo-terminals, real pipes, no trial left behind.

The core waits in its first trial at a named pipe, so that a test knows how far the run has got.
"""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import ExitCode
from ablate.storage.read import read_study
from tests.cli.conftest import make_project

RUN = [sys.executable, "-m", "ablate", "run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-figures"]
WAIT = """        for recipe in recipes:
            if recipe.seed == 0 and recipe.settings["lr"] == 0.1:
                open("gate").read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    core = tmp_path / "toycore.py"
    core.write_text(
        core.read_text(encoding="utf-8").replace("        for recipe in recipes:\n", WAIT), encoding="utf-8"
    )
    # Workers run in the same folder as the command.
    os.mkfifo(tmp_path / "gate")
    return tmp_path


@dataclass
class Running:
    """A run in its first trial, and the end of its output that the test holds."""

    process: subprocess.Popen[bytes]
    output: int

    def lose_output(self) -> None:
        """Close the terminal, or stop reading the pipe."""
        os.close(self.output)

    def go_on(self) -> int:
        """Let the first trial end, wait for the run, and return its exit code."""
        os.close(self.gate)
        return self.process.wait(timeout=120)

    gate: int = -1


Start = Callable[..., Running]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start a run on a pseudo-terminal or on pipes, and return when its first trial waits."""
    started: list[Running] = []

    def begin(*words: str, terminal: bool, hangs_up: bool = False) -> Running:
        ours, theirs = pty.openpty() if terminal else os.pipe()
        streams: dict[str, Any] = {"stdout": theirs, "stderr": theirs}

        def own_terminal() -> None:
            os.setsid()
            if hangs_up:
                fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            [*RUN, *words],
            cwd=folder,
            env={**os.environ, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            preexec_fn=own_terminal,
            pass_fds=(theirs,),
            **streams,
        )
        os.close(theirs)
        found = Running(process, ours)
        started.append(found)
        found.gate = os.open(folder / "gate", os.O_WRONLY)  # waits for the trial
        return found

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def states(folder: Path) -> list[str]:
    return [row.state for row in read_study(f"sqlite:///{folder}/results/ablate.db", "steps")[1]]


def log(folder: Path) -> str:
    return (folder / "results" / "steps" / "run.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [(), ("--plain",), ("--json",), ("--quiet",)], ids=" ".join)
def test_a_run_outlasts_a_terminal_that_does_not_hang_up(folder: Path, start: Start, words: tuple[str, ...]) -> None:
    """As under nohup."""
    run = start(*words, terminal=True)
    run.lose_output()
    assert run.go_on() == ExitCode.DONE
    assert len(states(folder)) == 12
    assert "RUNNING" not in states(folder)
    if words in (("--plain",), ("--json",)):  # a picture is drawn now and then, --quiet says nothing
        assert "the run can no longer be shown" in log(folder)
    assert (folder / "results" / "steps" / "report.html").exists()


@pytest.mark.parametrize("words", [(), ("--json",)], ids=" ".join)
def test_a_run_outlasts_whoever_read_its_pipe(folder: Path, start: Start, words: tuple[str, ...]) -> None:
    run = start(*words, terminal=False)
    run.lose_output()
    assert run.go_on() == ExitCode.DONE
    assert "RUNNING" not in states(folder)
    assert "the run can no longer be shown" in log(folder)


def test_a_terminal_that_hangs_up_stops_the_run_as_sigterm_does(folder: Path, start: Start) -> None:
    """The window was closed: what runs is saved, and the same command resumes."""
    run = start(terminal=True, hangs_up=True)
    run.lose_output()
    assert run.go_on() == ExitCode.TERMINATED
    assert "RUNNING" not in states(folder)
    assert "SIGHUP" in log(folder)
    (folder / "gate").unlink()
    (folder / "gate").touch()
    assert subprocess.run([*RUN, "--quiet"], cwd=folder, check=False, timeout=120).returncode == ExitCode.DONE
    assert states(folder).count("COMPLETE") == 9
