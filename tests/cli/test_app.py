"""How the program starts and how it ends."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ablate as package
from ablate.cli import app as app_module
from ablate.cli.reference.commands import commands, help_of
from ablate.errors import AblateError, ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

HEAVY = ("torch", "optuna", "pandas", "seaborn", "matplotlib", "scipy", "skimage", "sqlalchemy")
ROOT = Path(__file__).parents[2]


def loaded_by(arguments: list[str], folder: Path, names: tuple[str, ...]) -> list[str]:
    """Which of `names` a command line imports, in a process of its own."""
    code = (
        "import sys\nfrom ablate.cli.app import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as left:\n    assert not left.code, left.code\n"
        f"sys.stderr.write(' '.join(name for name in {names!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stderr.split("\n")[-1].split()


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_by(["--help"], tmp_path, (*HEAVY, "numpy", "pydantic", "yaml")) == []


@pytest.mark.parametrize("command", [["status"], ["show", "lr=0.2"], ["show", "0"], ["export"]])
def test_looking_imports_neither_torch_nor_seaborn(half_done: Path, command: list[str]) -> None:
    assert loaded_by(command, half_done, HEAVY) == []


def test_a_plan_takes_little_of_scipy_and_only_to_say_what_finished_seeds_can_show(half_done: Path) -> None:
    rare = ("scipy.stats", "scipy.optimize")
    assert loaded_by(["plan", "steps.yaml"], half_done, (*HEAVY, *rare)) == ["scipy"]
    shutil.rmtree(half_done / "results")
    assert loaded_by(["plan", "steps.yaml"], half_done, HEAVY) == []


def test_planning_with_the_built_in_core_imports_no_torch(tmp_path: Path) -> None:
    study = ROOT / "studies" / "schedules.yaml"
    assert loaded_by(["plan", str(study), "--quiet", "--results", str(tmp_path)], tmp_path, HEAVY) == []


def test_help_answers_in_half_a_second_of_processor_time(tmp_path: Path) -> None:
    """Processor time, because the wall clock of a busy machine measures its other work; the best of a few tries."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "ablate", "--help"], cwd=tmp_path, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.5


def test_version(ablate: Ablate) -> None:
    assert ablate("--version").out == f"ablate {package.__version__}\n"


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    text = help_of(words)
    if words not in (("data",), ("cache",)):
        assert f"  Example:\n    ablate {' '.join(words)}" in text
    assert all(len(line) <= 84 for line in text.splitlines())


@pytest.mark.parametrize("words", [words for words in commands() if words not in ((), ("data",))], ids=" ".join)
def test_every_option_says_what_it_does(words: tuple[str, ...]) -> None:
    lines = help_of(words).partition("Options:\n")[2].splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("  -")]
    for at, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text = " ".join(lines[at:end])
        assert "." in text.split("  ", 2)[-1], text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rnu",), "Did you mean 'run'"),
        (("plan",), "Missing argument"),
        (("plan", "a.yaml", "--sed", "3"), "--seeds"),
        (("plan", "a.yaml", "--seeds", "x"), "--seeds"),
        (("plan", "a.yaml", "--seeds", "0"), "--seeds"),
        (("report", "--fail-on", "bad"), "--fail-on"),
        (("report", "--format", "pdf"), "unknown format 'pdf'"),
        (("plan", "missing.yaml"), "no such study file"),
        (("data", "fetch", "cifar"), "did you mean 'cifar10'?"),
        (("status", "--storage", "sqlite://"), "remembers nothing"),
        (("status", "--storage", "nonsense"), "not a storage URL"),
        (("sql", "--storage", "mysql://host/db"), "SQLite files only"),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_wrong_command_line_leaves_with_code_two(ablate: Ablate, arguments: tuple[str, ...], words: str) -> None:
    said = ablate(*arguments)
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert words in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.NOTHING_COMPARABLE])
def test_expected_errors_leave_with_their_own_code(
    ablate: Ablate, monkeypatch: pytest.MonkeyPatch, code: ExitCode
) -> None:
    class OddError(AblateError):
        exit_code = code

    def fail(**_: object) -> None:
        raise OddError("it is [red]odd[/red]", hint="try again")

    monkeypatch.setattr(app_module, "app", fail)
    said = ablate("status")
    assert (said.code, said.err) == (code, "error: it is [red]odd[/red]\n\nhint: try again\n")


def test_a_bug_leaves_with_code_one_and_the_path_of_its_traceback(tmp_path: Path) -> None:
    code = (
        "from ablate.api import stored_studies as stored\n"
        "from ablate.cli import app\n"
        "def fail(*_, **__): raise RuntimeError('boom')\n"
        "stored.ResultsLocation.find = fail\napp.main(['status'])\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.BUG
    assert done.stderr.startswith("error: a bug in ablate: RuntimeError: boom\n\nhint: ")
    where = Path(done.stderr.rpartition("traceback: ")[2].strip())
    assert where.parent == tmp_path
    assert "RuntimeError: boom" in where.read_text(encoding="utf-8")


@pytest.mark.usefixtures("half_done")
def test_colour_is_used_only_where_it_is_wanted(ablate: Ablate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in ablate("status").out
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[" in ablate("status").out
    assert "\x1b" not in ablate("status", "--no-color").out


@pytest.mark.parametrize("option", ["--seeds", "--add-seeds", "--slots"])
@pytest.mark.parametrize("text", ["3.0", "1_0", "3e0", " 4", "٣", "-1", "0", "", "9" * 40])
def test_a_count_is_written_in_digits(ablate: Ablate, half_done: Path, option: str, text: str) -> None:
    said = ablate("run", "steps.yaml", "--dry-run", option, text)
    assert said.code == ExitCode.USAGE
    assert "whole number" in said.err


def test_a_trial_is_named_in_digits(ablate: Ablate, half_done: Path) -> None:
    assert ablate("show", "1", "--study", "steps").code == 0
    assert ablate("show", "²", "--study", "steps").code == ExitCode.USAGE
    assert ablate("show", "1", "--study", "steps", "--lines", "1_0").code == ExitCode.USAGE
