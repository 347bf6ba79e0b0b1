"""Ctrl-C at any moment of any command: one line and exit code 130, never a traceback.

Python says what it imports (`python -v`), so that a real SIGINT can be sent when a process has got exactly that far.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.cli import entry
from ablate.errors import ExitCode
from tests.cli.conftest import make_project


def interrupted_at(folder: Path, words: list[str], when: str) -> tuple[int, str]:
    """Start ablate, press Ctrl-C once Python has imported the module `when`; return exit code and what was said."""
    environment = {**os.environ, "PYTHONVERBOSE": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "ablate", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"import '{when}'"):
                process.send_signal(signal.SIGINT)
                break
        else:
            pytest.fail(f"{words} never imported {when}")
        said = process.stderr.read()
    return process.returncode, said  # whole: Python writes its lines in pieces, and ours may come between two of them


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("words", [["plan", "steps.yaml"], ["run", "steps.yaml", "--slots", "1", "--gpus", "none"]])
@pytest.mark.parametrize(
    "when",
    [
        "ablate.errors",
        "json",
        "typer.main",
        "rich.console",
        "ablate.paths",
        "ablate.cli.app",
        "pydantic",
        "yaml",
        "toycore",
    ],
)
def test_ctrl_c_while_a_command_starts_is_one_line(folder: Path, words: list[str], when: str) -> None:
    code, said = interrupted_at(folder, words, when)
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in said
    assert said.count("interrupted\n") == 1


@pytest.mark.parametrize("when", ["optuna", "sqlalchemy", "numpy"])
def test_ctrl_c_before_the_first_trial_is_one_line_too(folder: Path, when: str) -> None:
    code, said = interrupted_at(folder, ["run", "steps.yaml", "--slots", "1", "--gpus", "none"], when)
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in said


@pytest.mark.parametrize("when", ["pandas", "scipy.stats"])
def test_ctrl_c_while_a_report_is_written_is_one_line(folder: Path, finished_results: Path, when: str) -> None:
    (folder / "results").symlink_to(finished_results)
    code, said = interrupted_at(folder, ["report", "steps", "--no-figures"], when)
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in said


def test_ctrl_c_while_a_query_runs_ends_it(folder: Path, half_done_results: Path) -> None:
    """SQLite calls back into Python while it works: what is raised there never comes out."""
    (folder / "results").symlink_to(half_done_results)
    query = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    code, said = interrupted_at(folder, ["sql", query], "_sqlite3")
    assert code == ExitCode.INTERRUPTED
    assert "Traceback" not in said


def end_of(body: Callable[[], object]) -> tuple[int, bytes]:
    """Run `body` in a child process, where it may end the process; return its exit code and what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 2)
        try:
            body()
        finally:
            os._exit(99)
    os.close(writing)
    said = b""
    while select.select([reading], [], [], 30)[0] and (part := os.read(reading, 4096)):
        said += part
    os.close(reading)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def test_the_second_ctrl_c_waits_for_nothing() -> None:
    def body() -> None:
        ctrl = entry.Ctrl()
        signal.signal(signal.SIGINT, ctrl)
        try:
            signal.raise_signal(signal.SIGINT)
        except entry.Interrupted:
            signal.raise_signal(signal.SIGINT)

    assert end_of(body) == (ExitCode.INTERRUPTED, b"interrupted\n")


def test_the_entry_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys; before = set(sys.modules); import ablate.cli.entry;"
        "print(sorted(name for name in set(sys.modules) - before if name != '__future__'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ablate', 'ablate.cli', 'ablate.cli.entry']"


def test_its_exit_code_is_that_of_an_interrupted_run() -> None:
    assert entry.INTERRUPTED == ExitCode.INTERRUPTED
