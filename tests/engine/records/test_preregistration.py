"""Margins and seeds declared before the results: shown by a commit that git knew at run time, or not claimed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ablate.engine.records.preregistration import ATTRIBUTE, declaration
from ablate.study.spec import Arm, MetricSpec, Study

TEXT = "question: which?\nbaseline: {lr: 0.1}\nseeds: 5\nmetrics: {psnr: {primary: true, margin: 0.1}}\n"
FIRST = "2026-03-01T10:00:00+00:00"


def commit(file: Path, text: str, when: str) -> str:
    """Write and commit the file at a given time; return the commit."""
    file.write_text(text, encoding="utf-8")
    names = ("GIT_AUTHOR_", "GIT_COMMITTER_")
    people = {f"{name}{what}": "tester" for name in names for what in ("NAME", "EMAIL")}
    dates = {f"{name}DATE": when for name in names}

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=file.parent, check=True, capture_output=True, text=True,
            env={**os.environ, **people, **dates, "GIT_CONFIG_GLOBAL": os.devnull},
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "-q")
    git("add", "--", f"./{file.name}")
    git("commit", "-q", "-m", "study")
    return git("rev-parse", "HEAD")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "-odd name's.yaml"


@pytest.fixture
def study(file: Path) -> Study:
    metric = MetricSpec("psnr", "max", margin=0.1, primary=True)
    arms = (Arm("baseline", {}, {"lr": 0.1}),)
    return Study("odd", "which?", "ddpm-dip", arms, (), (metric,), (5,), text=TEXT, file=str(file))


def found(study: Study, starts: list[str | None], stored: dict[str, Any] | None = None) -> Any:
    return declaration(study, starts, stored or {})[ATTRIBUTE]


def test_a_commit_before_the_first_trial_shows_it(study: Study, file: Path) -> None:
    """The arms may have changed since; metrics, margins, seeds, level and baseline may not."""
    made = commit(file, TEXT.replace("which?", "which one?"), "2026-02-01T00:00:00Z")
    commit(file, TEXT.replace("0.1}}", "0.5}}"), "2026-04-01T00:00:00Z")

    said = found(study, [None, "2026-03-02T00:00:00+00:00", FIRST])
    assert said == {"commit": made, "at": "2026-02-01T00:00:00+00:00", "same": True}


def test_another_margin_in_that_commit_is_no_declaration(study: Study, file: Path) -> None:
    made = commit(file, TEXT.replace("margin: 0.1", "margin: 0.5"), "2026-02-01T00:00:00Z")
    commit(file, TEXT, "2026-04-01T00:00:00Z")

    assert found(study, [FIRST]) == {"commit": made, "at": "2026-02-01T00:00:00+00:00", "same": False}


def test_what_no_commit_shows_is_not_claimed(study: Study, file: Path) -> None:
    assert found(study, [FIRST]) == {}
    file.write_text(TEXT, encoding="utf-8")
    assert found(study, [FIRST]) == {}
    commit(file, TEXT, "2026-04-01T00:00:00Z")
    assert found(study, [FIRST]) == {}


def test_before_any_trial_the_last_commit_counts(study: Study, file: Path) -> None:
    made = commit(file, TEXT, "2020-04-01T00:00:00Z")
    assert found(study, [])["commit"] == made


def test_a_committed_file_that_is_no_yaml_is_no_declaration(study: Study, file: Path) -> None:
    commit(file, "{ [", "2026-02-01T00:00:00Z")
    assert found(study, [FIRST])["same"] is False


def test_what_was_shown_once_stays_while_the_study_file_is_the_same(study: Study) -> None:
    """On another machine there may be no repository."""
    shown = {"commit": "c" * 40, "at": FIRST, "same": True}
    assert found(study, [FIRST], {ATTRIBUTE: shown, "ablate.yaml": TEXT}) == shown
    assert found(study, [FIRST], {ATTRIBUTE: shown, "ablate.yaml": "another"}) == {}
