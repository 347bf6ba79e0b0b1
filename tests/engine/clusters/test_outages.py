"""A cluster that is away, that refuses, that can never start a job, and whose nodes are drained."""

from __future__ import annotations

import json
import os
import signal

import pytest

from ablate.engine.clusters import job_launcher
from ablate.engine.clusters.job_launcher import ClusterLauncher, Listen
from ablate.engine.clusters.job_options import JobOptions
from ablate.engine.clusters.remote_worker import Job, QueueAway, QueueRefused
from ablate.engine.clusters.slurm import Slurm
from ablate.engine.display import display_events
from ablate.errors import AblateError, ExitCode, OutageError
from ablate.outcome import Outcome
from tests.engine.clusters.conftest import FakeSlurm, slurm_launcher
from tests.engine.clusters.test_launchers import GATED, UNDISTURBED
from tests.engine.conftest import Bench

PAIR = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 1\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that waits for a while waits for no time."""
    monkeypatch.setattr(job_launcher, "_STUCK_S", 0.0)
    monkeypatch.setattr(job_launcher, "_NODES_S", 0.0)


def notes(bench: Bench) -> str:
    return "\n".join(note.text for note in bench.of(display_events.Note))


def test_a_controller_that_is_away_is_waited_for(bench: Bench, slurm: FakeSlurm) -> None:
    """It goes away while the first trial runs, whose worker is then killed: nothing can be submitted for a while."""
    away = slurm.root / "down"

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialProgress) and event.stage == "gate":
            away.touch()
            os.kill(slurm.pids()[-1], signal.SIGKILL)
        if isinstance(event, display_events.Note) and "trying again" in event.text:
            away.unlink()

    summary = bench.run(GATED, launcher=slurm_launcher(), listen=listen)
    assert summary.exit_code is ExitCode.DONE
    assert bench.results_of() == UNDISTURBED
    said = notes(bench)
    assert said.count("Unable to contact slurm controller") == 1
    assert "takes jobs again after" in said


def test_a_controller_that_stays_away_ends_the_run_as_an_outage(bench: Bench, slurm: FakeSlurm) -> None:
    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialProgress) and event.stage == "gate":
            (slurm.root / "down").touch()
            os.kill(slurm.pids()[-1], signal.SIGKILL)

    launcher = ClusterLauncher(Slurm(JobOptions()), Listen(), max_outage_s=0.0)
    with pytest.raises(OutageError, match=r"no job could be submitted for .*Unable to contact") as caught:
        bench.run(GATED, launcher=launcher, listen=listen)
    assert caught.value.exit_code is ExitCode.OUTAGE
    (slurm.root / "down").unlink()
    assert bench.run(GATED, launcher=slurm_launcher()).exit_code is ExitCode.DONE
    assert bench.results_of() == UNDISTURBED


def test_a_run_that_finds_no_controller_says_so_at_once(bench: Bench, slurm: FakeSlurm) -> None:
    (slurm.root / "down").touch()
    with pytest.raises(OutageError, match="Slurm does not answer"):
        bench.run(PAIR, launcher=slurm_launcher())


def test_what_sbatch_refuses_is_a_wrong_command_line_in_its_words(bench: Bench, slurm: FakeSlurm) -> None:
    (slurm.root / "refuse").touch()
    with pytest.raises(AblateError, match=r"^sbatch: error: invalid partition specified: nowhere\n") as caught:
        bench.run(PAIR, slots=2, launcher=slurm_launcher())
    assert caught.value.exit_code is ExitCode.USAGE
    assert bench.rows() == []
    assert slurm.jobs == []


def test_a_refusal_in_the_middle_of_a_run_is_tried_again(bench: Bench, slurm: FakeSlurm) -> None:
    """A partition that took jobs and takes none now may take some later: trials that run are not given up."""
    refuse = slurm.root / "refuse"

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialProgress) and event.stage == "gate":
            refuse.touch()
            os.kill(slurm.pids()[-1], signal.SIGUSR1)
        if isinstance(event, display_events.Note) and "trying again" in event.text:
            refuse.unlink()

    assert bench.run(GATED, launcher=slurm_launcher(), listen=listen).exit_code is ExitCode.DONE
    assert bench.results_of() == UNDISTURBED


@pytest.mark.usefixtures("impatient")
def test_a_job_that_never_starts_is_told_with_its_reason(bench: Bench, slurm: FakeSlurm) -> None:
    (slurm.root / "hold").write_text("PartitionTimeLimit")

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.Note) and "does not start" in event.text:
            slurm.release()

    assert bench.run(PAIR, slots=2, launcher=slurm_launcher(), listen=listen).exit_code is ExitCode.DONE
    [said] = [note.text for note in bench.of(display_events.Note) if "does not start" in note.text]
    assert "PartitionTimeLimit (it asks for more time than its partition allows)" in said


@pytest.mark.parametrize("reason", ["Resources", "Priority", "None", "BeginTime"])
def test_ordinary_reasons_are_no_trouble(reason: str) -> None:
    assert Slurm(JobOptions()).stuck(reason) == ""


@pytest.mark.usefixtures("impatient")
def test_a_draining_node_gets_no_new_trials(bench: Bench, slurm: FakeSlurm) -> None:
    """Its worker ends what it computes and leaves; the next trial runs in another job, and no retry is used."""

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialStarted) and event.arm == "baseline":
            (slurm.root / "draining").touch()
        if isinstance(event, display_events.Note) and "draining" in event.text:
            (slurm.root / "draining").unlink()
            (bench.paths.trial("baseline", 0).folder / "go").touch()

    text = "baseline: {mode: file}\narms: {b: {mode: ok}}\nseeds: 1\n"
    assert bench.run(text, launcher=slurm_launcher(), listen=listen).exit_code is ExitCode.DONE
    assert "node1 is draining: it gets no new trials" in notes(bench)
    assert [row.outcome for row in bench.rows()] == ["measured", "measured"]
    assert [row.attributes["job"] for row in bench.rows()] == ["1", "2"]


def test_node_and_job_are_remembered_of_results_and_of_lost_trials(bench: Bench, slurm: FakeSlurm) -> None:
    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialProgress) and event.stage == "gate":
            os.kill(slurm.pids()[-1], signal.SIGKILL)

    bench.run(GATED, launcher=slurm_launcher(), listen=listen)
    found = {(row.arm, str(row.outcome)): (row.attributes["node"], row.attributes["job"]) for row in bench.rows()}
    assert found[("g", "lost")] == ("node1", "1")
    assert found[("g", "measured")] == ("node1", "2")
    written = bench.paths.trial("g", 0).outcome.read_text(encoding="utf-8")
    assert Outcome.from_dict(json.loads(written)).environment["job"] == "2"


def test_slurm_tells_a_controller_that_is_away_from_a_refusal(slurm: FakeSlurm, bench: Bench) -> None:
    queue, job = Slurm(JobOptions()), Job(bench.folder / "ticket", bench.folder / "log", {})
    (slurm.root / "down").touch()
    with pytest.raises(QueueAway):
        queue.submit(job)
    (slurm.root / "down").unlink()
    (slurm.root / "refuse").touch()
    with pytest.raises(QueueRefused):
        queue.submit(job)
