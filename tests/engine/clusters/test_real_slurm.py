"""The same on a real Slurm of two virtual nodes, where one is installed (slurm-wlm and munge)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ablate.engine.clusters import job_launcher
from ablate.engine.clusters.job_launcher import ClusterLauncher, Listen
from ablate.engine.clusters.job_options import parse_job
from ablate.engine.clusters.slurm import Slurm
from ablate.engine.display import display_events
from ablate.errors import AblateError, ExitCode
from tests.engine.clusters.test_launchers import GATED, UNDISTURBED
from tests.engine.conftest import Bench
from tests.servers.slurm import NODES, Cluster, cluster

pytestmark = pytest.mark.slow
PAIR = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 1\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """A Slurm for all tests of this module."""
    with cluster() as found:
        yield found


@pytest.fixture
def slurm(running: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The Slurm, with nothing in its queue before and after."""
    monkeypatch.setenv("SLURM_CONF", str(running.configuration))
    yield running
    running.calm()


def launcher(*options: str) -> ClusterLauncher:
    return ClusterLauncher(Slurm(parse_job(options, "slurm")), Listen())


def test_a_study_outlasts_its_controller(bench: Bench, slurm: Cluster) -> None:
    """The controller goes away while a trial runs, and the trial's worker dies: its next job must wait."""

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialProgress) and event.stage == "gate":
            slurm.lose_controller()
            steps = (bench.paths.trial("g", 0).folder / "steps.txt").read_text(encoding="utf-8").split()
            os.kill(int(steps[-1]), signal.SIGKILL)
        if isinstance(event, display_events.Note) and "trying again" in event.text:
            slurm.bring_controller()

    assert bench.run(GATED, launcher=launcher(), listen=listen).exit_code is ExitCode.DONE
    assert bench.results_of() == UNDISTURBED
    said = [note.text for note in bench.of(display_events.Note)]
    assert sum("Unable to contact slurm controller" in text for text in said) == 1
    assert any("takes jobs again" in text for text in said)
    places = {(row.attributes["node"], row.attributes["job"]) for row in bench.rows()}
    assert {node for node, _ in places} <= set(NODES)
    assert len({job for _, job in places}) == 2


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("mem=4000000G", "Memory specification can not be satisfied"),
        ("nosuch=1", "unrecognized option '--nosuch=1'"),
        ("constraint=quantum", "Invalid feature specification"),
    ],
)
def test_what_sbatch_refuses_ends_at_once_in_its_words(bench: Bench, slurm: Cluster, option: str, words: str) -> None:
    with pytest.raises(AblateError) as caught:
        bench.run(PAIR, slots=2, launcher=launcher(option))
    assert words in caught.value.message
    assert caught.value.exit_code is ExitCode.USAGE
    assert bench.rows() == []


@pytest.mark.parametrize(
    ("option", "reason"), [("time=30:00:00", "PartitionTimeLimit"), ("cpus=64", "PartitionConfig")]
)
def test_a_job_that_can_never_start_is_told_with_squeues_reason(
    bench: Bench, slurm: Cluster, monkeypatch: pytest.MonkeyPatch, option: str, reason: str
) -> None:
    monkeypatch.setattr(job_launcher, "_STUCK_S", 0.0)

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.Note) and f"does not start: {reason} (" in event.text:
            os.kill(os.getpid(), signal.SIGINT)

    summary = bench.run(PAIR, launcher=launcher(option), listen=listen)
    assert summary.exit_code is ExitCode.INTERRUPTED
    assert slurm.say("squeue", "--noheader") == ""


def test_a_draining_node_gets_no_new_trials(bench: Bench, slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_launcher, "_NODES_S", 0.5)

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialStarted) and event.arm == "baseline":
            slurm.drain(bench.of(display_events.SlotBegun)[-1].node)
        if isinstance(event, display_events.Note) and "gets no new trials" in event.text:
            (bench.paths.trial("baseline", 0).folder / "go").touch()

    text = "baseline: {mode: file}\narms: {b: {mode: ok}}\nseeds: 1\n"
    assert bench.run(text, launcher=launcher(), listen=listen).exit_code is ExitCode.DONE
    first, second = (row.attributes["node"] for row in bench.rows())
    assert first != second
    assert [row.outcome for row in bench.rows()] == ["measured", "measured"]
