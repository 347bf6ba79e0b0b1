"""The small parts: curves, checkpoints, failures, the lock, estimates."""

from __future__ import annotations

import errno
import logging
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.engine.display.eta import History, Pace, Running, estimate, fraction_of
from ablate.engine.records.lock import ProcessMark, StudyLock, end_orphans
from ablate.engine.rules.events_actions import Planned
from ablate.engine.workers.curve_file import CurveFile, repaired
from ablate.engine.workers.failures import classify, is_disk_full
from ablate.engine.workers.messages import Assignment, CurvePoint, FromWorker, Progress, RunBatch, WorkerNote
from ablate.engine.workers.trial_context import (
    CheckpointClock,
    WorkerTrialContext,
)
from ablate.errors import CoreError, DataError, DivergedError, StoppedError
from ablate.interface import Stage
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import TrialPaths
from ablate.recipe import Recipe
from ablate.study.spec import Arm, MetricSpec, Study, levels_of

RECIPE = Recipe("toy", {"lr": 0.1}, 0)


def planned(arm: str, seed: int = 0, *stages: Stage) -> Planned:
    return Planned((arm, seed), f"{arm}{seed}", "k", stages)


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(cut=st.integers(0, 200))
def test_a_curve_cut_anywhere_keeps_its_whole_points(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("curve") / "curve.jsonl"
    curve = CurveFile(path)
    for images in range(5):
        curve.append(images, {"psnr": images / 3})
    curve.close()
    raw = path.read_bytes()
    path.write_bytes(raw[:cut])
    again = CurveFile(path)
    assert again.points == [(images, {"psnr": images / 3}) for images in range(raw[:cut].count(b"\n"))]
    for images in range(5):
        again.append(images, {"psnr": images / 3})
    again.close()
    assert path.read_bytes() == raw


def test_a_curve_takes_each_number_of_images_once_and_finite_values_only(tmp_path: Path) -> None:
    curve = CurveFile(tmp_path / "curve.jsonl")
    assert curve.append(64, {"psnr": 20.0, "loss": math.nan}) == {"psnr": 20.0}
    assert curve.append(64, {"psnr": 21.0}) == {}
    assert curve.append(128, {"psnr": math.inf}) == {}
    curve.close()
    assert repaired(tmp_path / "curve.jsonl") == [(64, {"psnr": 20.0})]


@pytest.mark.parametrize("line", ['{"images": 2, "psnr": NaN}', '{"images": 1e999, "psnr": 1.0}', "[]", "{}"])
def test_a_line_of_a_curve_that_nobody_could_have_written_is_cut_off(tmp_path: Path, line: str) -> None:
    (tmp_path / "curve.jsonl").write_text(f'{{"images": 1, "psnr": 1.0}}\n{line}\n', encoding="utf-8")
    assert repaired(tmp_path / "curve.jsonl") == [(1, {"psnr": 1.0})]
    assert (tmp_path / "curve.jsonl").read_text(encoding="utf-8").count("\n") == 1


def test_checkpoints_become_rarer_when_they_are_expensive() -> None:
    clock = Clock()
    checkpoints = CheckpointClock(20.0, clock)
    assert not checkpoints.due()
    clock.now = 20.0
    assert checkpoints.due()
    clock.now = 21.0
    checkpoints.done()
    clock.now = 21.0 + 49.9
    assert not checkpoints.due()
    clock.now = 21.0 + 50.0
    assert checkpoints.due()
    checkpoints.done()
    clock.now += 20.0
    assert checkpoints.due()


def make_report(folder: Path, clock: Clock) -> tuple[WorkerTrialContext, list[FromWorker]]:
    sent: list[FromWorker] = []
    report = WorkerTrialContext(
        device="cpu",
        threads=1,
        cache=folder,
        send=sent.append,
        stop=threading.Event(),
        checkpoint_s=20.0,
        clock=clock,
    )
    report.begin(RunBatch("study", (Assignment(RECIPE, folder, "lr=0.1", 2),)))
    return report, sent


def test_progress_is_passed_on_a_few_times_a_second_and_at_every_change_of_stage(tmp_path: Path) -> None:
    clock = Clock()
    report, sent = make_report(tmp_path, clock)
    for step in range(100):
        clock.now += 0.01
        report.progress(RECIPE, "train", step, 100)
    report.progress(RECIPE, "train", 100, 100, loss=0.5)
    report.progress(RECIPE, "sample", 0, 10)
    report.end()
    assert sent[-2:] == [
        Progress(RECIPE.digest, "train", 100, 100, {"loss": 0.5}),
        Progress(RECIPE.digest, "sample", 0, 10, {}),
    ]
    assert 5 <= len(sent) <= 8


def test_curve_points_of_an_earlier_attempt_are_passed_on_again(tmp_path: Path) -> None:
    first, _ = make_report(tmp_path, Clock())
    first.curve(RECIPE, 10, psnr=1.0)
    first.end()
    second, sent = make_report(tmp_path, Clock())
    second.curve(RECIPE, 10, psnr=1.0)
    second.curve(RECIPE, 20, psnr=2.0)
    second.end()
    assert sent == [CurvePoint(RECIPE.digest, 10, {"psnr": 1.0}), CurvePoint(RECIPE.digest, 20, {"psnr": 2.0})]


def test_a_core_is_told_whose_trial_a_recipe_is(tmp_path: Path) -> None:
    report, _ = make_report(tmp_path, Clock())
    assert (report.study, report.arm(RECIPE), report.seed_index(RECIPE)) == ("study", "lr=0.1", 2)
    report.end()


def test_what_a_core_warns_of_while_it_computes_is_said_and_logged(tmp_path: Path) -> None:
    logger = logging.getLogger("ablate.core.shared.stage_cache")
    report, sent = make_report(tmp_path, Clock())
    logger.warning("%s is damaged", "step 20")
    logger.info("nothing to see")
    report.end()
    logger.warning("nobody computes now")
    assert sent == [WorkerNote("step 20 is damaged")]
    assert [line.split(" ", 1)[1] for line in TrialPaths(tmp_path).log.read_text().splitlines()] == [
        "step 20 is damaged"
    ]


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (StoppedError(), "stopped", "stopped on request"),
        (DivergedError("loss is inf", images_seen=640), "diverged", "loss is inf"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (OutOfMemoryError("CUDA"), "out_of_memory", "OutOfMemoryError: CUDA"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory", None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out_of_memory", None),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
            *("out_of_memory", None),
        ),
        (ValueError("two\nlines"), "failed", "ValueError: two lines"),
        (DataError("no cifar10", hint="ablate data fetch cifar10"), "failed", "no cifar10; ablate data fetch cifar10"),
    ],
)
def test_exceptions_are_classified(error: BaseException, kind: str, text: str | None) -> None:
    failure = classify(error)
    assert failure.kind == OutcomeKind(kind)
    assert text is None or failure.error == text
    assert failure.images_seen == (640 if kind == "diverged" else 0)


def test_a_number_that_no_float_holds_is_named() -> None:
    with pytest.raises(CoreError, match="metric 'acc' is"):
        Outcome(OutcomeKind.MEASURED, "ab", metrics={"acc": 10**400})


def test_of_a_cores_mistake_the_users_own_lines_are_shown_and_not_those_of_ablate() -> None:
    with pytest.raises(CoreError) as caught:
        Outcome(OutcomeKind.MEASURED, "ab", metrics={"acc": {"top1": 0.5}})  # type: ignore[dict-item]
    failure = classify(caught.value)
    assert failure.error.startswith("metric 'acc' is the dict {'top1': 0.5}, expected one number; ")
    assert failure.traceback is not None
    assert Path(__file__).name in failure.traceback
    assert "outcome.py" not in failure.traceback


def test_memory_that_ran_out_inside_a_recording_is_recognised_behind_what_the_recording_says() -> None:
    broken = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    broken.__context__ = OutOfMemoryError("CUDA out of memory")
    assert classify(broken).kind is OutcomeKind.OUT_OF_MEMORY
    assert classify(RuntimeError(str(broken))).kind is OutcomeKind.FAILED


def test_a_full_disk_is_recognised_also_as_a_cause(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = RuntimeError("unexpected pos 64 vs 0")
    wrapped.__cause__ = full
    assert is_disk_full(full, tmp_path)
    assert is_disk_full(wrapped, tmp_path)
    assert not is_disk_full(OSError(errno.ENOENT, "No such file"), tmp_path)
    assert not is_disk_full(RuntimeError("else"), tmp_path)


def test_a_process_is_told_from_a_later_one_with_its_number(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    mark = ProcessMark.of(child.pid)
    assert mark is not None
    impostor = ProcessMark(mark.pid, str(int(mark.started) - 1), mark.boot)
    assert end_orphans([impostor]) == []
    assert child.poll() is None
    assert end_orphans([mark]) == [child.pid]
    child.communicate()
    assert child.returncode == -9
    assert ProcessMark.of(child.pid) is None


def test_the_lock_hands_over_workers_that_outlived_their_run(tmp_path: Path) -> None:
    with StudyLock(tmp_path / ".lock") as lock:
        lock.record_workers([os.getpid()])
        saved = (tmp_path / ".lock").read_bytes()
    (tmp_path / ".lock").write_bytes(saved)
    with StudyLock(tmp_path / ".lock") as lock:
        assert [mark.pid for mark in lock.orphans] == [os.getpid()]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_lock_file_is_no_obstacle(tmp_path: Path, text: bytes) -> None:
    (tmp_path / ".lock").write_bytes(text)
    with StudyLock(tmp_path / ".lock") as lock:
        assert lock.orphans == ()


STAGES = (Stage("prior", "p", 1.0), Stage("rest", "r", 3.0))


def test_the_fraction_of_a_trial_counts_stages_by_their_cost() -> None:
    one = planned("a", 0, *STAGES)
    assert [fraction_of(one, "prior", 1, 2), fraction_of(one, "rest", 1, 2)] == [0.125, 0.625]
    assert fraction_of(planned("a"), "anything", 1, 4) == 0.25
    assert fraction_of(one, "unknown", 1, 4) == 0.0


def test_nothing_is_said_before_five_per_cent() -> None:
    pace = Pace()
    pace.update(0.0, "train", 0.0)
    pace.update(1.0, "train", 0.04)
    assert pace.left_s(1.0) is None
    assert estimate([planned("b")], [Running(planned("a"), 1.0, None)], History(), 1) is None
    pace.update(2.0, "train", 0.1)
    assert pace.left_s(2.0) == pytest.approx(18.0)
    assert pace.left_s(5.0) == pytest.approx(15.0)


def test_a_reused_stage_does_not_make_the_rest_look_fast() -> None:
    pace = Pace()
    pace.update(0.0, "prior", 0.0)
    pace.update(0.1, "rest", 0.25)
    assert pace.left_s(0.1) is None
    pace.update(10.1, "rest", 0.35)
    assert pace.left_s(10.1) == pytest.approx(65.0)


def test_equal_trials_give_an_exact_end() -> None:
    history = History()
    history.add(planned("a"), 10.0)
    found = estimate([planned("a", seed) for seed in range(5)], [Running(planned("a"), 4.0, 6.0)], history, 2)
    assert found is not None
    assert (found.low_s, found.mid_s, found.high_s) == pytest.approx((30.0, 30.0, 30.0))


def test_an_arm_never_run_is_expected_by_its_cost_and_spread_widens_the_range() -> None:
    history = History()
    for seconds in (5.0, 10.0, 15.0):
        history.add(planned("a", 0, Stage("s", "d", 10.0)), seconds)
    assert history.expected_s(planned("b", 0, Stage("s", "e", 30.0))) == 30.0
    found = estimate([planned("a", seed) for seed in range(20)], [], history, 2)
    assert found is not None
    assert found.low_s < found.mid_s < found.high_s


def test_a_factor_that_its_core_turns_into_another_is_shown_as_written() -> None:
    """`dip_epochs: 10` becomes 100 steps and leaves None behind; the storage still says 10, and 20 in the arm."""
    common = {"dip_epochs": None, "lr": 0.001}
    arms = (
        Arm("baseline", {"dip_epochs": 10, "lr": 0.001}, {**common, "dip_steps": 100}),
        Arm("dip_epochs=20", {"dip_epochs": 20}, {**common, "dip_steps": 200}),
    )
    factors = ("dip_epochs", "lr", "dip_steps")
    study = Study("s", "?", "c", arms, factors, metrics=(MetricSpec("psnr", "max", primary=True),), looks=(3,))
    assert levels_of(study, arms[0]) == {"dip_epochs": 10, "lr": 0.001, "dip_steps": 100}
    assert levels_of(study, arms[1]) == {"dip_epochs": 20, "lr": 0.001, "dip_steps": 200}


def test_seconds_of_attempts_add_up_as_far_as_their_work_is_kept(tmp_path: Path) -> None:
    """What a kill threw away is computed again, and counted once; an odd file counts as nothing."""
    clock = Clock()
    first, _ = make_report(tmp_path, clock)
    clock.now += 10.0
    first.checkpointed()
    clock.now += 7.0  # lost: no checkpoint follows
    first.end()
    second, _ = make_report(tmp_path, clock)
    clock.now += 5.0
    second.checkpointed()
    assert second.spent(RECIPE).seconds == pytest.approx(15.0)
    second.end()
    third, _ = make_report(tmp_path, clock)
    clock.now += 0.5
    assert third.spent(RECIPE).seconds == pytest.approx(15.5)
    third.end()
    for odd in ('{"seconds": -1}', '{"seconds": NaN}', "[]", ""):
        (tmp_path / "spent.json").write_text(odd, encoding="utf-8")
        report, _ = make_report(tmp_path, clock)
        assert report.spent(RECIPE).seconds == pytest.approx(0.0)
        report.end()


def test_images_of_attempts_are_those_of_the_whole_trial(tmp_path: Path) -> None:
    """Stated by the core, or else as far as the curve is; after a resume never less than the curve of all attempts."""
    first, _ = make_report(tmp_path, Clock())
    assert first.images_seen(RECIPE, 0) == 0
    first.curve(RECIPE, 300, psnr=1.0)
    assert first.images_seen(RECIPE, 0) == 300
    assert first.images_seen(RECIPE, 280) == 280
    first.end()
    second, _ = make_report(tmp_path, Clock())
    second.curve(RECIPE, 500, psnr=2.0)
    assert second.images_seen(RECIPE, 200) == 500
    assert second.images_seen(RECIPE, 520) == 520
    second.end()
