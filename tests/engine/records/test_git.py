"""Git is asked so that nothing else runs: a repository that names programs gets an answer, and starts none of them."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from ablate.engine.records.git import ask, commit_of


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists once one of the repository's programs has run."""
    return tmp_path / "something-ran"


@pytest.fixture
def program(tmp_path: Path, marker: Path) -> Path:
    """A program that leaves the marker."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def git(folder: Path, *words: str) -> str:
    people = {f"GIT_{who}_{what}": "tester" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **people, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for name in ("study.yaml", "other.txt"):
        (folder / name).write_text("seeds: 3\n", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_folder_has_its_commit_and_a_changed_one_says_so(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")[:12]
    assert commit_of(repository) == head
    (repository / "study.yaml").write_text("seeds: 4\n", encoding="utf-8")
    assert commit_of(repository) == f"{head}-dirty"


def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None


def name_programs(repository: Path, program: Path) -> None:
    """Let the repository name a program wherever it can name one."""
    (repository / ".git" / "info" / "attributes").write_text("* filter=f diff=d\n", encoding="utf-8")
    hooks = repository / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        (hooks / hook).symlink_to(program)
    for key in ("core.fsmonitor", "filter.f.clean", "filter.f.smudge", "filter.f.process", "diff.d.textconv"):
        git(repository, "config", key, str(program))
    for key in ("diff.d.command", "diff.external", "core.pager", "gpg.program", "credential.helper", "alias.status"):
        git(repository, "config", key, str(program))
    git(repository, "config", "core.hooksPath", str(hooks))
    git(repository, "config", "filter.f.required", "true")
    git(repository, "config", "log.showSignature", "true")


def test_programs_that_a_repository_names_are_not_started(repository: Path, program: Path, marker: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    name_programs(repository, program)
    # As after a checkout: git has to look into the files again, through the filters.
    os.utime(repository / "study.yaml", (1, 1))
    (repository / "other.txt").write_text("seeds: 5\n", encoding="utf-8")
    assert commit_of(repository) == f"{head[:12]}-dirty"
    assert ask(repository, "cat-file", "blob", f"{head}:./study.yaml") == "seeds: 3\n"
    assert ask(repository, "rev-list", "-1", "HEAD", "--", "./study.yaml").strip() == head
    assert not marker.exists()


def test_the_marker_shows_when_git_is_asked_as_usual(repository: Path, program: Path, marker: Path) -> None:
    """So the test above can fail."""
    name_programs(repository, program)
    subprocess.run(["git", "status"], cwd=repository, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert marker.exists()


def test_programs_of_a_submodule_are_not_started(repository: Path, tmp_path: Path, program: Path, marker: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository), "inner")
    git(outer, "commit", "-q", "-m", "with a submodule")
    git(outer / "inner", "config", "core.fsmonitor", str(program))
    assert commit_of(outer) == git(outer, "rev-parse", "HEAD")[:12]
    assert not marker.exists()


def test_nothing_is_fetched(repository: Path, tmp_path: Path, program: Path, marker: Path) -> None:
    """In a clone without its files' contents git would ask the remote for them, by the program the remote names."""
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repository}", "partial")
    partial = tmp_path / "partial"
    git(partial, "config", "remote.origin.uploadpack", str(program))
    assert ask(partial, "cat-file", "blob", "HEAD:./study.yaml") == ""
    assert not marker.exists()


def test_plain_files_are_no_repository(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare")
    assert git(tmp_path / "bare", "rev-parse", "HEAD")
    assert commit_of(tmp_path / "bare") is None


def test_git_is_not_asked_below_results(repository: Path) -> None:
    study = repository / "results" / "schedules"
    (study / "trials" / "baseline-s0").mkdir(parents=True)
    assert commit_of(study) is not None
    (study / "plan.json").write_text("{}", encoding="utf-8")
    assert commit_of(study) is None
    assert commit_of(study / "trials" / "baseline-s0") is None
    assert commit_of(repository) is not None


def test_the_environment_does_not_redirect_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = commit_of(repository)
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert commit_of(repository) == head
