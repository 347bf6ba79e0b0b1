"""What every launcher keeps to, and what only clusters do: queues, evictions, strangers at the door."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from ablate.engine.clusters.job_launcher import ClusterLauncher, Listen
from ablate.engine.clusters.job_options import JobOptions
from ablate.engine.clusters.ray_tasks import RayTasks
from ablate.engine.clusters.remote_worker import Job, JobStanding, RemoteWorker
from ablate.engine.clusters.srun import Steps
from ablate.engine.display import display_events
from ablate.engine.workers.launcher_api import Launcher, LocalLauncher, WorkerHandle
from ablate.engine.workers.local_process import End
from ablate.engine.workers.messages import (
    VERSION,
    Assignment,
    BatchDone,
    Begun,
    Broken,
    Heard,
    Hello,
    Leave,
    Progress,
    Queued,
    Ready,
    RunBatch,
    WorkerSetup,
)
from ablate.engine.workers.slots import Slot
from ablate.errors import AblateError, ExitCode
from ablate.interface import EAGER, SERIAL
from ablate.paths import StudyPaths, TrialPaths
from ablate.recipe import Recipe
from tests.engine.clusters.conftest import FakeSlurm, slurm_launcher
from tests.engine.conftest import DEADLINE_S, Bench, score_after, wait_until_gone
from tests.sentences import SENTENCES

GATED = "baseline: {offset: 0.0}\narms: {g: {mode: gate, steps: 4}}\nseeds: 1\n"
UNDISTURBED = {("baseline", 0): ("measured", score_after(3)), ("g", 0): ("measured", score_after(4))}


class Processes:
    """The smallest queue: every job begins at once, as a process of this machine."""

    most_s = 0.5

    def __init__(self) -> None:
        self.jobs: dict[str, subprocess.Popen[bytes]] = {}

    def reach(self) -> str:
        return "127.0.0.1"

    def open(self, name: str) -> None:
        self.jobs.clear()

    def submit(self, job: Job) -> str:
        words = [
            sys.executable,
            "-P",
            "-m",
            "ablate.engine.workers.worker",
            "--connect",
            str(job.ticket),
            str(os.getpid()),
        ]
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                words, stdout=log, stderr=log, env={**os.environ, **job.variables}, start_new_session=True
            )
        self.jobs[str(process.pid)] = process
        return str(process.pid)

    def look(self, jobs: Sequence[str]) -> Mapping[str, JobStanding]:
        codes = {job: self.jobs[job].poll() for job in jobs}
        return {
            job: JobStanding(node="here") if code is None else JobStanding(end=End(f"ended with {code}"))
            for job, code in codes.items()
        }

    def cancel(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            self.jobs[job].kill()

    def withdrawn(self, nodes: Sequence[str]) -> Mapping[str, str]:
        return {}

    def stuck(self, reason: str) -> str:
        return ""

    def close(self) -> None:
        for process in self.jobs.values():
            process.wait(DEADLINE_S)


@pytest.fixture(params=["local", "socket", "slurm", "srun", pytest.param("ray", marks=pytest.mark.slow)])
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """Return one launcher after the other."""
    if request.param == "ray":
        pytest.importorskip("ray")
        return ClusterLauncher(RayTasks(JobOptions()), Listen())
    if request.param in ("slurm", "srun"):
        request.getfixturevalue("slurm")
        monkeypatch.setenv("SLURM_JOB_ID", "1")
        return slurm_launcher() if request.param == "slurm" else ClusterLauncher(Steps(JobOptions()), Listen())
    return LocalLauncher() if request.param == "local" else ClusterLauncher(Processes(), Listen())


@dataclass
class Contract:
    """A folder, and one worker in it, without an engine around."""

    bench: Bench

    @property
    def paths(self) -> StudyPaths:
        self.bench.paths.workers.mkdir(parents=True, exist_ok=True)
        return self.bench.paths

    def start(self, place: Launcher) -> WorkerHandle:
        hello = hello_for("toycore:Toy", self.bench)
        return place.launch(Slot(0, "cpu", 1, None, "any", place="job-0"), self.paths.workers / "slot-0.log", hello)

    def order(self, worker: WorkerHandle, mode: str = "ok") -> TrialPaths:
        """Give the worker a trial to compute."""
        trial = self.paths.trial("a", 0)
        trial.folder.mkdir(parents=True, exist_ok=True)
        recipe = Recipe("toy", {"mode": mode, "steps": 3, "offset": 0.0}, 0)
        worker.send(RunBatch("toy", (Assignment(recipe, trial.folder, "a", 0),)))
        return trial


def hello_for(core: str, bench: Bench) -> Hello:
    """Return the first message to a worker of one thread."""
    setup = WorkerSetup(
        core=core,
        parameters={},
        search=bench.folder,
        path=(),
        results=bench.results.folder,
        cache=bench.folder,
        metrics=frozenset({"score"}),
        primary="score",
        checkpoint_s=20.0,
        fusion=SERIAL,
        fused=frozenset(),
        compilation=EAGER,
    )
    return Hello(VERSION, setup, device="cpu", device_name=None, threads=1)


H = TypeVar("H", bound=Heard)


def hear(worker: WorkerHandle, kind: type[H]) -> H:
    """Return the worker's next message of a kind."""
    while True:
        assert select.select([worker.news], [], [], DEADLINE_S)[0], f"no {kind}"
        messages = worker.receive()
        assert messages is not None, f"the worker ended instead of saying {kind}"
        for message in messages:
            if isinstance(message, kind):
                return message


def end_of(worker: WorkerHandle) -> End:
    """Wait until nothing more comes, and let it say how it ended."""
    while True:
        assert select.select([worker.news], [], [], DEADLINE_S)[0], "no end"
        if worker.receive() is None:
            return worker.reap()


@pytest.fixture
def contract(bench: Bench) -> Contract:
    return Contract(bench)


def test_a_worker_computes_what_it_is_given_and_leaves(launcher: Launcher, contract: Contract) -> None:
    with launcher.opened(contract.paths) as place:
        worker = contract.start(place)
        hear(worker, Ready)
        trial = contract.order(worker)
        assert hear(worker, BatchDone).spent is False
        worker.send(Leave())
        end = end_of(worker)
    assert trial.outcome.exists()
    assert not end.out_of_memory
    assert not end.evicted
    assert sorted(path.name for path in contract.paths.workers.iterdir()) == ["slot-0.log"]


def test_a_worker_that_dies_is_noticed(launcher: Launcher, contract: Contract) -> None:
    with launcher.opened(contract.paths) as place:
        worker = contract.start(place)
        hear(worker, Ready)
        trial = contract.order(worker, mode="die")
        end = end_of(worker)
    assert "killed" in end.reason or "ended" in end.reason
    assert not trial.outcome.exists()


def test_a_worker_that_does_not_listen_is_killed(launcher: Launcher, contract: Contract) -> None:
    with launcher.opened(contract.paths) as place:
        worker = contract.start(place)
        hear(worker, Ready)
        trial = contract.order(worker, mode="hang")
        hear(worker, Progress)
        worker.kill()
        end_of(worker)
    pids = {int(line.split()[1]) for line in (trial.folder / "steps.txt").read_text().splitlines()}
    assert all(wait_until_gone(pid) for pid in pids)


def test_a_core_that_cannot_load_is_told(launcher: Launcher, contract: Contract) -> None:
    (contract.bench.folder / "toycore.py").write_text("import nowhere\n")
    with launcher.opened(contract.paths) as place:
        worker = contract.start(place)
        assert "nowhere" in hear(worker, Broken).error
        end_of(worker)


def heard(worker: RemoteWorker) -> list[str]:
    return [said(message) for message in worker.drain()]


def said(message: Heard) -> str:
    assert isinstance(message, Queued | Begun)
    return f"queued {message.reason}".strip() if isinstance(message, Queued) else "begun"


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[RemoteWorker]:
    """Return a worker that nobody has started."""
    made = RemoteWorker("w", Job(tmp_path, tmp_path, {}), hello_for("c", Bench(tmp_path)), lambda: None)
    yield made
    made.finish(End("over"))
    made.reap()


def test_a_job_is_said_to_wait_once_per_reason_and_to_begin_once(remote: RemoteWorker) -> None:
    for reason in ("", "", "Priority", "Priority"):
        remote.waits(reason)
    remote.begins("n1")
    remote.begins("n1")
    remote.waits("Resources")
    assert heard(remote) == ["queued", "queued Priority", "begun"]


def test_a_job_that_never_waited_does_not_begin(remote: RemoteWorker) -> None:
    """The engine takes it for a worker that starts at once, as on this machine."""
    remote.begins("n1")
    remote.waits("Priority")
    assert heard(remote) == []


def test_an_unwanted_worker_says_nothing_more(remote: RemoteWorker) -> None:
    remote.kill()
    remote.waits("Priority")
    assert heard(remote) == []
    assert not remote.uncancelled  # it has no job yet
    remote.identity = "1"
    assert remote.uncancelled


class BrokenQueue(Processes):
    """A queue with a bug."""

    def submit(self, job: Job) -> str:
        raise ZeroDivisionError


def test_a_bug_in_a_queue_ends_the_run_and_is_raised(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.run(GATED, launcher=ClusterLauncher(BrokenQueue(), Listen()))


# ---------------------------------------------------------------------- Slurm


@pytest.mark.usefixtures("slurm")
def test_a_study_on_slurm_gives_the_same_numbers(bench: Bench) -> None:
    summary = bench.run(
        "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 2\n", slots=2, launcher=slurm_launcher()
    )
    assert (summary.done, summary.exit_code) == (4, ExitCode.DONE)
    assert bench.results_of()[("baseline", 0)] == ("measured", score_after(3))
    assert not list(bench.paths.workers.glob("*.ticket"))


def test_a_slot_waits_in_the_queue_until_its_job_begins(bench: Bench, slurm: FakeSlurm) -> None:
    slurm.hold()

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.SlotQueued) and event.reason == "Resources":
            assert "job 1" in bench.paths.lock.read_text()
            slurm.release()

    bench.run("baseline: {offset: 0.0}\narms: {b: {offset: 1.0}}\nseeds: 1\n", launcher=slurm_launcher(), listen=listen)
    assert bench.of(display_events.SlotQueued)[-1].where == "job 1 (Resources)"
    [begun] = bench.of(display_events.SlotBegun)
    assert (begun.slot, begun.job) == (0, "1")
    assert len(bench.results_of()) == 2


def test_a_trial_whose_job_is_taken_away_goes_on_in_another(bench: Bench, slurm: FakeSlurm) -> None:

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialProgress) and event.stage == "gate":
            os.kill(slurm.pids()[-1], signal.SIGUSR1)

    summary = bench.run(GATED, launcher=slurm_launcher(), listen=listen)
    assert summary.exit_code is ExitCode.DONE
    assert [row.outcome for row in bench.rows() if row.arm == "g"] == ["lost", "measured"]
    assert bench.steps("g", 0) == [1, 2, 3, 4]
    assert bench.results_of() == UNDISTURBED
    [retry] = bench.of(display_events.Retrying)
    assert "it received SIGUSR1" in retry.reason
    assert retry.retry == 0


def test_a_killed_parent_leaves_no_job_and_the_same_command_goes_on(bench: Bench, slurm: FakeSlurm) -> None:
    run = bench.start(GATED, slots=1, slurm=True)
    run.wait_for(event="progress", stage="gate")
    run.process.kill()
    run.end()
    assert all(wait_until_gone(pid) for pid in slurm.pids())
    summary = bench.run(GATED, launcher=slurm_launcher())
    assert summary.exit_code is ExitCode.DONE
    assert bench.results_of() == UNDISTURBED


def test_jobs_that_a_killed_run_left_in_the_queue_are_cancelled(bench: Bench, slurm: FakeSlurm) -> None:
    slurm.hold()
    run = bench.start(GATED, slots=1, slurm=True)
    run.wait_for(event="queued")
    run.process.kill()
    run.end()
    assert slurm.states() == ["PENDING"]

    def listen(event: display_events.DisplayEvent) -> None:
        if isinstance(event, display_events.SlotQueued) and event.job == "2":
            slurm.release()

    bench.run(GATED, launcher=slurm_launcher(), arms=["baseline"], listen=listen)
    assert slurm.states()[0] == "CANCELLED"
    assert not (slurm.jobs[0] / "pid").exists()


def test_ctrl_c_while_all_wait_cancels_the_jobs(bench: Bench, slurm: FakeSlurm) -> None:
    slurm.hold()
    run = bench.start(GATED, slots=2, slurm=True)
    run.wait_for(2, event="queued")
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    assert slurm.states() == ["CANCELLED", "CANCELLED"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_random_kills_of_jobs_and_parents_change_no_number(bench: Bench, slurm: FakeSlurm, seed: int) -> None:
    """Evict or kill a worker, or kill the parent, again and again, until the study is done."""
    source = random.Random(seed)
    text = "baseline: {steps: 40}\nvary: {offset: [1.0, 2.0, 3.0]}\nseeds: 3\n"
    for _ in range(5):
        run = bench.start(text, slurm=True)
        for _ in range(source.randrange(3)):
            run.wait_for(source.randrange(1, 4), event="start")
            number = source.choice((signal.SIGKILL, signal.SIGUSR1, signal.SIGTERM))
            for pid in slurm.pids(running=True)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        run.process.kill()
        run.end()
    bench.run(text, slots=2, launcher=slurm_launcher())
    calm = Bench(bench.folder / "calm")
    calm.folder.mkdir()
    shutil.copy(bench.folder / "toycore.py", calm.folder)
    calm.run(text)
    assert bench.results_of() == calm.results_of()
    assert len(calm.results_of()) == 12


def test_a_job_that_does_not_see_the_results_folder_is_named(bench: Bench, slurm: FakeSlurm) -> None:
    """Its ticket is not there, as on a node that does not share the folder; the next job sees it."""
    slurm.hold()

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.SlotQueued) and event.job == "1" and event.reason:
            for ticket in bench.paths.workers.glob("*.ticket"):
                ticket.unlink()
            slurm.release()

    summary = bench.run(GATED, launcher=slurm_launcher(), listen=listen, arms=["baseline"])
    assert summary.exit_code is ExitCode.DONE
    [note] = bench.of(display_events.Note)
    assert SENTENCES["job does not see"] in note.text


@pytest.mark.usefixtures("slurm")
def test_a_job_of_another_version_is_sent_away_and_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("workers.handshake", "workers.messages", "clusters.remote_worker"):
        monkeypatch.setattr(f"ablate.engine.{module}.VERSION", "0.0.9 (messages 00000000)")
    summary = bench.run(GATED, launcher=slurm_launcher())
    assert summary.reason == "no worker can be started"
    assert bench.rows() == []
    text = "\n".join(note.text for note in bench.of(display_events.Note))
    assert f"runs ablate {VERSION}, and this is ablate 0.0.9" in text
    assert "ended: FAILED, it has another version of ablate" in text
    log = (bench.paths.workers / "slot-0.log").read_text(encoding="utf-8")
    assert f"the engine runs ablate 0.0.9 (messages 00000000), and this is ablate {VERSION}" in log


def test_a_folder_that_is_not_shared_ends_the_run_before_a_trial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.engine.clusters.listener.PROBE_S", 0.0)
    monkeypatch.setattr("ablate.engine.clusters.listener.probe_path", lambda folder, name: folder / "elsewhere" / name)
    with pytest.raises(AblateError, match="do not appear here"):
        bench.run(GATED, launcher=ClusterLauncher(Processes(), Listen()))
    assert bench.rows() == []


def test_steps_need_an_allocation(bench: Bench, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(AblateError, match="not inside a Slurm allocation"):
        bench.run(GATED, launcher=ClusterLauncher(Steps(JobOptions()), Listen()))
    assert slurm.jobs == []


def test_without_slurm_nothing_starts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(AblateError, match="no sbatch on this machine"):
        bench.run(GATED, launcher=slurm_launcher())
    assert bench.rows() == []
