"""Real SIGKILLs, Ctrl-C and SIGTERM: nothing recorded is lost, no process stays behind, the numbers are the same."""

from __future__ import annotations

import json
import os
import random
import signal

import pytest

from ablate.engine.display import display_events
from ablate.engine.records.lock import StudyLock
from ablate.errors import ExitCode
from tests.engine.conftest import Bench, score_after, wait_until_gone

GATED = "baseline: {offset: 0.0}\narms: {g: {mode: gate, steps: 4}}\nseeds: 1\n"
UNDISTURBED = {("baseline", 0): score_after(3), ("g", 0): score_after(4)}


def scores(bench: Bench) -> dict[tuple[str, int], float | None]:
    return {key: score for key, (_, score) in bench.results_of().items()}


def worker_pids(bench: Bench) -> list[int]:
    return [int(mark["pid"]) for mark in json.loads(bench.paths.lock.read_text(encoding="utf-8"))["workers"]]


def test_a_killed_worker_loses_its_batch_only_and_its_trial_goes_on_from_its_checkpoint(bench: Bench) -> None:
    bench.run("baseline: {offset: 0.0}\narms: {k: {mode: die, steps: 4}}\nseeds: 1\n")
    assert [row.outcome for row in bench.rows() if row.arm == "k"] == ["lost", "measured"]
    assert bench.steps("k", 0) == [1, 2, 3, 4]
    assert scores(bench)[("k", 0)] == UNDISTURBED[("g", 0)]
    [curve] = [row.curve for row in bench.rows() if row.arm == "k" and row.state == "COMPLETE"]
    assert [images for images, _ in curve] == [1, 2, 3, 4]
    [retry] = bench.of(display_events.Retrying)
    assert (retry.retry, retry.retries) == (1, 2)
    assert "killed by SIGKILL" in retry.reason


def test_a_killed_parent_leaves_no_worker_and_the_same_command_goes_on(bench: Bench) -> None:
    run = bench.start(GATED)
    run.wait_for(event="progress", stage="gate")
    run.wait_for(event="finish", arm="baseline")
    workers = worker_pids(bench)
    assert workers
    run.process.kill()
    run.end()
    assert all(wait_until_gone(pid) for pid in workers)
    assert [row.state for row in bench.rows() if row.arm == "g"] == ["RUNNING"]
    summary = bench.run(GATED)
    assert summary.exit_code is ExitCode.DONE
    assert [row.outcome for row in bench.rows() if row.arm == "g"] == ["lost", "measured"]
    assert bench.steps("g", 0) == [1, 2, 3, 4]
    assert scores(bench) == UNDISTURBED


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 143, marks=pytest.mark.slow),
    ],
)
def test_a_stop_signal_saves_and_the_same_command_goes_on(bench: Bench, number: signal.Signals, code: int) -> None:
    run = bench.start(GATED)
    run.wait_for(event="progress", stage="gate")
    run.process.send_signal(number)
    assert run.end() == code
    assert [row.outcome for row in bench.rows() if row.arm == "g"] == ["stopped"]
    assert worker_pids(bench) == []
    assert bench.run(GATED).exit_code is ExitCode.DONE
    assert bench.steps("g", 0) == [1, 2, 3, 4]
    assert scores(bench) == UNDISTURBED


def test_a_second_ctrl_c_kills_workers_that_do_not_listen(bench: Bench) -> None:
    run = bench.start("baseline: {mode: hang}\nvary: {offset: [1.0]}\nseeds: 1\n")
    run.wait_for(2, event="progress", done=1)
    workers = worker_pids(bench)
    run.process.send_signal(signal.SIGINT)
    run.wait_for(event="stopping", killing=False)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    assert all(wait_until_gone(pid) for pid in workers)
    assert [row.outcome for row in bench.rows()] == ["stopped", "stopped"]


def test_a_second_run_in_another_process_is_refused_and_harms_nothing(bench: Bench) -> None:
    run = bench.start(GATED)
    run.wait_for(event="progress", stage="gate")
    second = bench.start(GATED)
    assert second.end() == 1
    assert second.seen == []
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    assert [row.outcome for row in bench.rows()] == ["measured", "stopped"]


def test_the_lock_of_a_killed_run_holds_nobody_up(bench: Bench) -> None:
    run = bench.start(GATED)
    run.wait_for(event="progress", stage="gate")
    run.process.kill()
    run.end()
    with StudyLock(bench.paths.lock) as lock:
        assert all(wait_until_gone(mark.pid) for mark in lock.orphans)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_random_kills_of_workers_and_parents_change_no_number(bench: Bench, seed: int) -> None:
    """Kill a worker or the parent at random trial starts, again and again, until the study is done."""
    source = random.Random(seed)
    text = "baseline: {steps: 40}\nvary: {offset: [1.0, 2.0, 3.0]}\nseeds: 4\n"
    for _ in range(8):
        run = bench.start(text)
        for _ in range(source.randrange(3)):
            run.wait_for(source.randrange(1, 4), event="start")
            workers = worker_pids(bench)
            if workers:
                try:
                    os.kill(source.choice(workers), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        run.process.kill()
        run.end()
    bench.run(text)
    disturbed = scores(bench)
    calm = Bench(bench.folder / "calm")
    calm.folder.mkdir()
    (calm.folder / "toycore.py").write_text((bench.folder / "toycore.py").read_text(encoding="utf-8"), encoding="utf-8")
    calm.run(text)
    assert disturbed == scores(calm)
    assert len(disturbed) == 16
