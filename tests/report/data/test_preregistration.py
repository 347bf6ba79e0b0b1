"""Margins and seeds declared before the results: shown by a commit, or not claimed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.report.data.preregistration import predeclared
from ablate.study.spec import MetricSpec

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
def study(case: Any, file: Path) -> Any:
    return replace(case.study, file=str(file), text=TEXT)


def test_a_commit_before_the_first_trial_shows_it(study: Any, file: Path) -> None:
    """The arms may have changed since; metrics, margins, seeds, level and baseline may not."""
    made = commit(file, TEXT.replace("which?", "which one?"), "2026-02-01T00:00:00Z")
    commit(file, TEXT.replace("0.1}}", "0.5}}"), "2026-04-01T00:00:00Z")

    said = predeclared(study, [None, "2026-03-02T00:00:00+00:00", FIRST])
    assert said == f"yes: commit {made} of 2026-02-01T00:00:00+00:00; the first trial started at {FIRST}"


def test_another_margin_in_that_commit_is_no_declaration(study: Any, file: Path) -> None:
    made = commit(file, TEXT.replace("margin: 0.1", "margin: 0.5"), "2026-02-01T00:00:00Z")
    commit(file, TEXT, "2026-04-01T00:00:00Z")

    assert predeclared(study, [FIRST]) == f"no: commit {made[:12]}, the last one before the first trial, states others"


def test_what_no_commit_shows_is_not_claimed(study: Any, file: Path, case: Any) -> None:
    assert predeclared(study, [FIRST]) == "not shown: the study file is not where it was"
    file.write_text(TEXT, encoding="utf-8")
    assert predeclared(study, [FIRST]) == "not shown: no commit of the study file is older than the first trial"
    commit(file, TEXT, "2026-04-01T00:00:00Z")
    assert predeclared(study, [FIRST]) == "not shown: no commit of the study file is older than the first trial"
    assert predeclared(study, []) == "not shown: no trial has started"
    assert predeclared(replace(study, core=""), [FIRST]).startswith("not known: the results come from a table")
    bare = replace(study, metrics=(MetricSpec("psnr", "max", primary=True),))
    assert predeclared(bare, [FIRST]) == "no: the study declares no margin"


def test_a_committed_file_that_is_no_yaml_is_no_declaration(study: Any, file: Path) -> None:
    commit(file, "{ [", "2026-02-01T00:00:00Z")
    assert predeclared(study, [FIRST]).startswith("no: commit ")


def test_page_and_checklist_say_it(study: Any, file: Path, case: Any) -> None:
    made = commit(file, TEXT, "2026-02-01T00:00:00Z")
    material = replace(case, study=study).material()

    assert made in dict(material.provenance.facts)["margins and seeds declared before the first trial"]
    assert made in material.provenance.declared
