"""An audit finds what does not hold, and nothing where everything does; it never changes anything."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.core.shared.cache_names import checksum
from ablate.core.shared.registry import core_class
from ablate.engine.records.audit import Audit, audit
from ablate.engine.records.lock import StudyLock, read_holder
from ablate.outcome import OutcomeKind
from ablate.paths import write_json
from ablate.storage.store import Store
from ablate.study.reading.load_study import load_study
from tests.engine.conftest import KINDS, Bench


def audited(bench: Bench, *, deep: bool = False) -> Audit:
    study = load_study(bench.folder / "toy.yaml", resolve_core=core_class)
    return audit(study, bench.rows(), bench.results, deep=deep)


def faults(bench: Bench, *, deep: bool = False) -> list[str]:
    return [fault.kind for fault in audited(bench, deep=deep).faults]


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_finished_study_is_sound_and_left_as_it_is(done: Bench) -> None:
    before = snapshot(done.results.folder)
    found = audited(done, deep=True)
    assert (found.faults, found.planned, found.done, found.running) == ([], 4, 4, False)
    assert found.files == 8
    assert snapshot(done.results.folder) == before


def test_what_is_missing_is_no_fault_but_counted(done: Bench) -> None:
    done.write("baseline: {offset: 0.0}\nvary: {offset: [1.0, 2.0]}\nseeds: 3\n")
    found = audited(done)
    assert (found.faults, found.planned, found.done) == ([], 9, 4)


def with_numbers(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**data, "metrics": {"score": data["metrics"]["score"] + 1e-9}})


def with_digest(path: Path) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "recipe_digest": "another"})


def with_kind(path: Path) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "kind": "diverged"})


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (Path.unlink, "no-file"),
        (lambda path: path.write_text("{"), "damaged"),
        (with_numbers, "numbers"),
        (with_digest, "outcome"),
        (with_kind, "outcome"),
    ],
)
def test_an_outcome_file_that_does_not_agree_is_found(done: Bench, damage: Callable[[Path], None], kind: str) -> None:
    damage(done.paths.trial("offset=1", 1).outcome)
    assert faults(done) == [kind]
    assert audited(done).done == 3


def test_a_recipe_that_is_not_the_planned_one_is_found(done: Bench) -> None:
    recipe = done.paths.trial("baseline", 0).recipe
    data = json.loads(recipe.read_text(encoding="utf-8"))
    write_json(recipe, {**data, "seed": 7})
    assert faults(done) == ["recipe"]
    recipe.unlink()
    assert faults(done) == ["recipe"]


def test_two_results_of_one_replicate_are_found(done: Bench) -> None:
    row = done.rows()[0]
    study = load_study(done.folder / "toy.yaml", resolve_core=core_class)
    twice = [*done.rows(), dataclasses.replace(row, number=99)]
    assert [fault.kind for fault in audit(study, twice, done.results).faults] == ["double"]


def test_a_result_that_was_never_recorded_is_found(done: Bench) -> None:
    study = load_study(done.folder / "toy.yaml", resolve_core=core_class)
    assert [fault.kind for fault in audit(study, done.rows()[1:], done.results).faults] == ["unrecorded"]


def test_a_trial_that_nobody_runs_is_found(done: Bench) -> None:
    url = done.results.default_storage
    with Store.open(url, "toy", kinds=KINDS, primary="score", direction="max", attributes={}) as store:
        store.start("baseline", 5, {"offset": 0.0})
    assert faults(done) == ["left-running"]
    with StudyLock(done.paths.lock):
        assert audited(done).running
        assert faults(done) == []


def test_a_worker_and_a_folder_that_nobody_misses_are_found(done: Bench) -> None:
    (done.paths.trials / "left over").mkdir()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with StudyLock(done.paths.lock) as lock:
        lock.record_workers([child.pid])
        listed = json.loads(done.paths.lock.read_text(encoding="utf-8"))["workers"]
    data = json.loads(done.paths.lock.read_text(encoding="utf-8"))
    done.paths.lock.write_text(json.dumps({**data, "workers": listed}), encoding="utf-8")
    assert faults(done) == ["orphan-process", "orphan-folder"]
    child.communicate()
    assert faults(done) == ["orphan-folder"]


def test_a_cache_file_with_another_content_is_found_by_a_deep_audit_only(done: Bench) -> None:
    stage = done.results.cache / "abc"
    stage.mkdir()
    (stage / f"state-000000001-{checksum(b'whole')}.pt").write_bytes(b"whole")
    assert faults(done, deep=True) == []
    (stage / f"state-000000002-{checksum(b'whole')}.pt").write_bytes(b"torn")
    assert faults(done) == []
    assert faults(done, deep=True) == ["cache"]


def test_outcomes_that_are_no_results_are_no_faults(bench: Bench) -> None:
    bench.run("baseline: {offset: 0.0}\narms: {bad: {mode: raise}}\nseeds: 1\n")
    found = audited(bench)
    assert (found.faults, found.planned, found.done) == ([], 2, 1)
    assert [row.outcome for row in bench.rows() if row.arm == "bad"] == [OutcomeKind.FAILED]


def test_the_holder_of_a_lock_is_told_from_one_that_is_gone_or_had_its_number_before(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert read_holder(path) is None
    with StudyLock(path):
        holder = read_holder(path)
        assert holder is not None
        assert (holder.pid, holder.alive) == (os.getpid(), True)
        data = json.loads(path.read_text(encoding="utf-8"))
    over = read_holder(path)
    assert over is not None
    assert over.alive is False
    path.write_text(json.dumps({**data, "boot": "an earlier boot"}), encoding="utf-8")
    rebooted = read_holder(path)
    assert rebooted is not None
    assert rebooted.alive is False
    path.write_text(json.dumps({**data, "host": "elsewhere"}), encoding="utf-8")
    far = read_holder(path)
    assert far is not None
    assert far.alive is None
    path.write_text("{", encoding="utf-8")
    assert read_holder(path) is None
