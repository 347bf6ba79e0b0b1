"""Faults that a machine really has: full and read-only disks, clocks that jump, a storage taken away, no memory."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.core.shared.registry import core_class
from ablate.engine.display import display_events
from ablate.engine.records.lock import ProcessMark, StudyLock
from ablate.engine.run_study import RunOptions, RunSummary, run_study
from ablate.engine.workers.slots import Slot
from ablate.errors import ResultsError, StorageError
from ablate.outcome import Outcome
from ablate.storage.store import Store
from ablate.study.plan import replicates
from ablate.study.reading.load_study import load_study
from tests.engine.conftest import KINDS, Bench

TEXT = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 2\n"


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Have a file system of its own at `folder`; skips the test where that is not permitted."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting needs root")
    folder.mkdir(exist_ok=True)
    done = subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_one_clear_error_and_nothing_is_lost(bench: Bench) -> None:
    with mounted(bench.results.folder, "size=3m"):
        assert bench.run(TEXT.replace("seeds: 2", "seeds: 1")).done == 2
        before = bench.results_of()
        filler = bench.results.folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as handle:
            while True:
                handle.write(b"x" * 4096)
        with pytest.raises((ResultsError, StorageError), match="the disk is full") as caught:
            bench.run(TEXT)
        assert "space" in str(caught.value.hint)
        filler.unlink()
        assert bench.results_of().items() >= before.items()
        assert bench.run(TEXT).done == 4


def test_a_results_folder_that_is_read_only_is_one_clear_error_before_anything_starts(bench: Bench) -> None:
    with mounted(bench.results.folder, "ro"), pytest.raises(ResultsError, match="Read-only file system") as caught:
        bench.run(TEXT)
    assert caught.value.hint is not None
    assert "--results" in caught.value.hint
    assert bench.events == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_results_folder_without_permission_is_one_clear_error_before_anything_starts(bench: Bench) -> None:
    bench.results.folder.mkdir(mode=0o555)
    with pytest.raises(ResultsError, match="Permission denied"):
        bench.run(TEXT)
    assert bench.events == []


def test_a_clock_that_jumps_changes_nothing_but_the_times_shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes back by an hour with every look at it: nobody is taken for silent, nothing ends early."""
    hours = itertools.count(500_000, -1)
    monkeypatch.setattr(time, "time", lambda: 3600.0 * next(hours))
    summary = bench.run(TEXT, slots=2, options=RunOptions(stall_s=60.0, stop_s=5.0))
    assert summary.done == 4
    assert 0 < summary.seconds < 3600
    assert all(row.outcome == "measured" for row in bench.rows())
    assert bench.of(display_events.Retrying) == []


def test_a_storage_that_another_process_takes_over_ends_the_run_and_loses_nothing(bench: Bench) -> None:
    taken: list[Store] = []

    def listen(event: display_events.DisplayEvent) -> None:
        if isinstance(event, display_events.TrialFinished) and not taken:
            store = Store.open(
                bench.results.default_storage, "toy", kinds=KINDS, primary="score", direction="max", attributes={}
            )
            taken.append(store)

    with pytest.raises(StorageError, match="taken over by another process"):
        bench.run(TEXT, listen=listen)
    taken[0].close()
    assert len(bench.results_of()) >= 1
    assert bench.run(TEXT).done == 4


def test_a_lock_from_before_a_reboot_is_taken_over_and_nobody_is_killed_for_it(bench: Bench) -> None:
    """The lock lists a worker whose number now belongs to somebody else: the boot tells them apart."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    mark = ProcessMark.of(child.pid)
    assert mark is not None
    bench.paths.folder.mkdir(parents=True)
    worker = {"pid": mark.pid, "started": mark.started, "boot": "the boot before"}
    held = {"pid": os.getpid(), "host": "here", "since": "2026-01-01T00:00:00Z", "workers": [worker]}
    bench.paths.lock.write_text(json.dumps(held), encoding="utf-8")
    assert bench.run(TEXT).done == 4
    assert child.poll() is None
    child.communicate()
    with StudyLock(bench.paths.lock) as lock:
        assert lock.orphans == ()


def test_a_worker_that_the_system_kills_for_memory_is_tried_again_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SIGKILL is real; that the kernel counted it as its own is not."""
    counted = itertools.count()
    monkeypatch.setattr("ablate.engine.workers.local_process.killed_for_memory", lambda: next(counted))
    bench.run("baseline: {steps: 2000}\narms: {k: {mode: die, steps: 4}}\nseeds: 1\n", slots=2)
    rows = [row for row in bench.rows() if row.arm == "k"]
    assert [row.outcome for row in rows] == ["out_of_memory", "measured"]
    assert "out of memory" in str(rows[0].attributes["error"])


HUNGRY = '''
import fcntl, json, os, threading
from pathlib import Path

from pydantic import Field

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class Settings(CoreSettings):
    need_mb: int = Field(400, description="memory it needs")


def allocate(mb):
    """Take memory of the device that all workers share, or give it back; fails as an allocator does."""
    with open(Path(__file__).with_name("device.json"), "r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        state = json.load(handle)
        if state["used"] + mb > state["size"]:
            raise MemoryError(f"tried to allocate {mb} MB, {state['size'] - state['used']} MB are free")
        state["used"] += mb
        state["most"] = max(state["most"], state["used"])
        handle.seek(0)
        handle.truncate()
        json.dump(state, handle)


class Hungry(Core):
    name = "hungry"
    Settings = Settings
    metrics = (MetricInfo("score", direction="max"),)

    def run(self, recipes, context):
        for recipe in recipes:
            need = recipe.settings["need_mb"]
            allocate(need)
            try:
                for step in range(10):
                    context.progress(recipe, "work", step, 10)
                    threading.Event().wait(0.03)
            finally:
                allocate(-need)
            yield recipe, Outcome(
                OutcomeKind.MEASURED, recipe.digest, metrics={"score": 1.0 * recipe.seed},
                environment={"peak_memory_mb": str(need)},
            )
'''


def run_hungry(folder: Path, text: str, *, size_mb: int, believed_mb: float) -> tuple[RunSummary, dict[str, Outcome]]:
    """Run a study of the hungry core on three slots of one device; return its outcomes by folder name."""
    (folder / "hungry.py").write_text(HUNGRY, encoding="utf-8")
    (folder / "device.json").write_text(json.dumps({"size": size_mb, "used": 0, "most": 0}), encoding="utf-8")
    bench = Bench(folder)
    bench.write(text)
    file = folder / "toy.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("toycore:Toy", "hungry:Hungry"), encoding="utf-8")
    study = load_study(file, resolve_core=core_class)
    summary = run_study(
        study,
        core_class(study.core, folder),
        replicates(study),
        results=bench.results,
        storage_url=bench.results.default_storage,
        slots=[Slot(index, "cuda:0", 1, "GPU-fake", "fake device", believed_mb) for index in range(3)],
        listen=bench.events.append,
        options=RunOptions(),
        kinds={"need_mb": "int"},
    )
    outcomes = {
        path.parent.name: Outcome.from_dict(json.loads(path.read_text(encoding="utf-8")))
        for path in bench.paths.trials.glob("*/outcome.json")
    }
    return summary, outcomes


@pytest.fixture
def hungry_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "hungry", raising=False)
    yield tmp_path
    sys.modules.pop("hungry", None)


def device(folder: Path) -> dict[str, int]:
    with (folder / "device.json").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        found: dict[str, int] = json.load(handle)
        return found


def test_trials_share_a_device_as_their_measured_memory_permits(hungry_folder: Path) -> None:
    """400 MB and a tenth more each on 1,000 MB: the first alone, then two at a time, and never out of memory."""
    text = "baseline: {need_mb: 400}\nvary: {need_mb: [410]}\nseeds: 3\n"
    summary, outcomes = run_hungry(hungry_folder, text, size_mb=1000, believed_mb=1000.0)
    assert summary.counts == {"measured": 6}
    together = {name: outcome.environment["trials_on_device"] for name, outcome in outcomes.items()}
    assert set(together.values()) == {"1", "2"}
    assert device(hungry_folder) == {"size": 1000, "used": 0, "most": 810}


def test_a_device_with_less_memory_than_believed_costs_one_attempt(hungry_folder: Path) -> None:
    text = "baseline: {need_mb: 400}\nseeds: 4\narms: {same: {need_mb: 401}}\n"
    summary, outcomes = run_hungry(hungry_folder, text, size_mb=700, believed_mb=1000.0)
    assert summary.counts == {"measured": 8}
    assert len(outcomes) == 8
    assert device(hungry_folder)["used"] == 0


def test_what_needs_more_than_the_device_has_is_tried_once_and_said_of_all_seeds(hungry_folder: Path) -> None:
    text = "baseline: {need_mb: 100}\narms: {huge: {need_mb: 5000}}\nseeds: 3\n"
    summary, outcomes = run_hungry(hungry_folder, text, size_mb=1000, believed_mb=1000.0)
    assert summary.counts == {"measured": 3, "out_of_memory": 3}
    assert {name for name, outcome in outcomes.items() if outcome.kind == "out_of_memory"} == {"huge-s0"}
    assert [error.error for error in summary.errors] == [outcomes["huge-s0"].error] * 3


def test_an_outcome_that_the_file_system_hides_at_first_is_looked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network file system does that was asked for the file before it was there."""
    hidden: set[Path] = set()

    def late(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "outcome.json" and path.exists() and not list(path.parent.glob(".look-again-*")):
            hidden.add(path)
            raise FileNotFoundError(path)
        return read_text(path, *arguments, **options)

    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", late)
    summary = bench.run("baseline: {offset: 0.0}\nseeds: 1\narms: {b: {offset: 1.0}}\n")
    assert summary.counts == {"measured": 2}
    assert len(hidden) == 2
    assert not [path for trial in bench.paths.trials.iterdir() for path in trial.glob(".*")]
