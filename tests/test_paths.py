"""Names become safe, distinct folders; files are replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.paths import ResultsPaths, TrialPaths, folder_name, is_study_name, write_atomic, write_json


@given(st.text(min_size=1, max_size=300), st.integers(0, 999))
def test_any_arm_name_becomes_one_safe_folder(arm: str, seed: int) -> None:
    name = folder_name(arm, seed)
    assert "/" not in name
    assert "\\" not in name
    assert "\0" not in name
    assert name not in ("", ".", "..")
    assert len(name.encode()) < 200


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_different_arms_never_share_a_folder(one: str, other: str) -> None:
    assert (folder_name(one, 0) == folder_name(other, 0)) == (one == other)


def test_plain_arm_names_stay_readable() -> None:
    assert folder_name("noise_schedule=cosine", 2) == "noise_schedule=cosine-s2"
    assert folder_name("both lr 0.01", 0) == "both lr 0.01-s0"


@pytest.mark.parametrize("name", ["schedules", "seed_replay", "a b", "v1.2"])
def test_ordinary_study_names_are_accepted(name: str) -> None:
    assert is_study_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "x" * 101, "a\n", "a ", "a."])
def test_names_that_are_no_safe_folder_are_refused(name: str) -> None:
    assert not is_study_name(name)
    with pytest.raises(ValueError, match="not a study name"):
        ResultsPaths(Path("results")).study(name)


def test_write_atomic_replaces_whole_files(tmp_path: Path) -> None:
    target = tmp_path / "outcome.json"
    write_json(target, {"b": 1, "a": [1, 2]})
    write_json(target, {"b": 2})
    assert target.read_text() == '{\n "b": 2\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_a_full_disk_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "outcome.json"
    write_atomic(target, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_write_json_refuses_non_finite_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arm", ["baseline", "lr=0.1", "two words, layers=[1]", "ü"])
def test_a_trials_files_have_a_path_that_no_command_line_takes_apart(tmp_path: Path, arm: str) -> None:
    trial = TrialPaths(tmp_path / "trials" / folder_name(arm, 0))
    trial.folder.mkdir(parents=True)
    path = trial.make_files()
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", str(path.relative_to(tmp_path)))
    (path / "x").write_text(arm, encoding="utf-8")
    assert (trial.files / "x").read_text(encoding="utf-8") == arm
    assert trial.make_files() == path
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert (moved / path.relative_to(tmp_path) / "x").read_text(encoding="utf-8") == arm


def test_where_no_link_can_be_made_the_files_have_their_own_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    trial = TrialPaths(tmp_path / "trials" / "lr=0.1-s0")
    trial.folder.mkdir(parents=True)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert trial.make_files() == trial.files
