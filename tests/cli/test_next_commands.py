"""What ablate suggests to type next goes to the place that was asked, and works."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ablate.engine.records.lock import StudyLock
from ablate.errors import ExitCode
from tests.cli.conftest import Ablate, Said

PLACE = ("--results", "other place", "--storage", "sqlite:///kept.db")
OPTIONS = "--results 'other place' --storage sqlite:///kept.db"


@pytest.fixture
def elsewhere(finished: Path) -> Path:
    """The study `steps`, done, in a folder and a storage that are not the default."""
    Path("results").rename("other place")
    Path("other place/ablate.db").rename("kept.db")
    return finished


def suggested(said: Said, mark: str) -> list[str]:
    """The words of the command behind `mark`."""
    lines = [line for line in (said.out + said.err).splitlines() if mark in line]
    assert len(lines) == 1, said
    return shlex.split(lines[0].partition(mark)[2].partition("   ")[0])


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("words", "mark"),
    [
        (("status", "steps"), "next:  "),
        (("run", "steps.yaml", "--slots", "1"), "report:  "),
        (("plan", "steps.yaml"), "nothing to run:  "),
        (("rename", "steps", "later"), "the old name:  "),
    ],
    ids=lambda value: value[0],
)
def test_the_next_command_finds_the_study(ablate: Ablate, words: tuple[str, ...], mark: str) -> None:
    following = suggested(ablate(*words, *PLACE), mark)
    assert following[0:2] == ["ablate", "report"]
    assert following[3:] == list(PLACE)
    assert ablate(*following[1:], "--no-figures", "--format", "csv").code == 0
    assert not Path("results").exists()


@pytest.mark.usefixtures("elsewhere")
def test_an_imported_study_is_run_where_it_is_now(ablate: Ablate) -> None:
    """The command that came with the archive names the places of the machine that it is from."""
    assert (
        ablate("run", "steps.yaml", "--slots", "1", "--gpus", "none", "--add-seeds", "1", "--quiet", *PLACE).code == 0
    )
    assert ablate("archive", "steps", "steps.zip", *PLACE).code == 0
    report = suggested(ablate("import", "steps.zip", "--results", "here"), "report:  ")
    assert report == ["ablate", "report", "steps", "--results", "here"]
    said = ablate(*report[1:], "--no-figures")
    assert "--results here" in said.out
    assert "other place" not in said.out + said.err + Path("here/steps/report.html").read_text(encoding="utf-8")
    again = suggested(ablate("rename", "steps", "later", "--results", "here"), "resume:  ")
    assert "later: all 12 trials are done" in ablate(*again[1:]).err


@pytest.mark.usefixtures("elsewhere")
def test_a_locked_study_is_watched_where_it_is(ablate: Ablate) -> None:
    with StudyLock(Path("other place/steps/.lock")):
        said = [ablate("rename", "steps", "later", *PLACE), ablate("run", "steps.yaml", "--seeds", "4", *PLACE)]
    for one in said:
        assert one.code == ExitCode.USAGE
        assert f"hint: watch it with: ablate status {OPTIONS}\n" in one.err


@pytest.mark.usefixtures("finished")
def test_nothing_is_added_for_the_default_places(ablate: Ablate) -> None:
    assert ablate("status", "steps").out.endswith("next:  ablate report steps\n")
    assert ablate("plan", "steps.yaml").out.endswith("nothing to run:  ablate report steps\n")
    assert "\nreport:  ablate report steps   more" in ablate("run", "steps.yaml").err
    with StudyLock(Path("results/steps/.lock")):
        assert "watch it with: ablate status\n" in ablate("rename", "steps", "later").err


def test_a_suggested_file_is_quoted(ablate: Ablate, project: Path) -> None:
    assert suggested(ablate("init", "my study.yaml"), "next:  ") == ["ablate", "plan", "my study.yaml"]
