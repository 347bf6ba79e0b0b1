"""The stage cache: what is written comes back, what is torn is passed over, and nobody computes a stage twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import ResultsError, StoppedError

DIGEST = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    return StageFolder(tmp_path / "cache", DIGEST)


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.path,))


def only(folder: StageFolder, pattern: str) -> Path:
    (path,) = folder.path.glob(pattern)
    return path


def test_what_is_saved_comes_back(folder: StageFolder) -> None:
    state = {"weights": [torch.arange(4.0)], "step": 7, "name": "x", "nested": {"a": torch.ones(2, dtype=torch.int64)}}
    folder.save("step", 7, state)
    loaded = folder.load("step", 7)
    assert loaded is not None
    assert torch.equal(loaded["weights"][0], torch.arange(4.0))
    assert loaded["nested"]["a"].dtype == torch.int64
    assert (loaded["step"], loaded["name"]) == (7, "x")


def test_nothing_saved_is_none(folder: StageFolder) -> None:
    assert folder.load("step", 1) is None
    assert folder.newest("step", "end") is None


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_a_damaged_newest_falls_back_to_the_one_before(
    folder: StageFolder, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.save("step", 10, {"value": 10})
    folder.save("step", 20, {"value": 20})
    path = only(folder, "step-000000020-*.pt")
    raw = path.read_bytes()
    path.write_bytes({"truncated": raw[:-9], "altered": raw[:200] + b"?" + raw[201:], "empty": b""}[damage])
    found = folder.newest("step")
    assert found is not None
    assert (found[0], found[1]["value"]) == (10, 10)
    assert caplog.messages == [
        f"damaged, set aside in {folder.path}: {path.stem}; that of step 10 is used instead",
    ]
    assert folder.steps("step") == [10]  # so that it is not one of those that pruning keeps
    assert path.with_suffix(".damaged").exists()


def test_where_all_are_damaged_one_line_says_so(folder: StageFolder, caplog: pytest.LogCaptureFixture) -> None:
    for step in (10, 20):
        folder.save("step", step, {"value": step})
    for path in folder.path.glob("*.pt"):
        path.write_bytes(b"\0" * 100)
    assert folder.newest("step") is None
    assert [message.rpartition("; ")[2] for message in caplog.messages] == ["there is none before it"]
    assert folder.load("step", 20) is None
    assert len(caplog.messages) == 1


def test_a_file_that_holds_code_is_never_run(folder: StageFolder, tmp_path: Path) -> None:
    """weights_only: a pickle that would run a command on loading is refused, whatever its checksum says."""

    folder.save("step", 5, {"trap": _Trap(str(tmp_path / "sprung"))})
    assert folder.load("step", 5) is None
    assert not (tmp_path / "sprung").exists()


def test_newest_of_several_kinds_up_to_a_step(folder: StageFolder) -> None:
    folder.save("step", 10, {"kind": "step"})
    folder.save("end", 30, {"kind": "end"})
    assert [found[0] if found else None for found in (folder.newest("step", "end"), folder.newest("step"))] == [30, 10]
    limited = folder.newest("step", "end", at_most=29)
    assert limited is not None
    assert limited[0] == 10


def test_pruning_keeps_the_newest_of_one_kind(folder: StageFolder) -> None:
    for step in (1, 5, 3, 4):
        folder.save("step", step, {})
    folder.save("end", 2, {})
    folder.prune("step", keep=2)
    assert folder.steps("step") == [4, 5]
    assert folder.steps("end") == [2]
    folder.prune("step", keep=0)
    assert folder.steps("step") == []


def test_saving_again_replaces(folder: StageFolder) -> None:
    folder.save("end", 2, {"value": 1})
    folder.save("end", 2, {"value": 2})
    assert len(list(folder.path.glob("end-*"))) == 1
    loaded = folder.load("end", 2)
    assert loaded is not None
    assert loaded["value"] == 2


HOLDER = """
import sys, time
from pathlib import Path
from ablate.core.shared.stage_cache import StageFolder
with StageFolder(Path(sys.argv[1]), sys.argv[2]).locked(lambda: False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_worker_waits_and_a_dead_holder_frees_the_stage(tmp_path: Path) -> None:
    """Another process holds the lock: asking to stop ends the wait; killing the holder lets us in."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path), DIGEST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        mine = StageFolder(tmp_path, DIGEST)
        with pytest.raises(StoppedError), mine.locked(lambda: True):
            pass
        holder.kill()
        holder.wait(60)
        with mine.locked(lambda: False):
            pass


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(ResultsError, match="cannot write") as caught:
        StageFolder(tmp_path / "cache", DIGEST)
    assert caught.value.hint


def test_a_full_disk_is_one_clear_error(folder: StageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ablate.core.shared.stage_cache.write_atomic", full)
    with pytest.raises(ResultsError, match="No space left"):
        folder.save("step", 1, {})
