"""Workers that say what is no message, or what makes no sense where they say it: the run goes on without them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from ablate.engine.clusters.job_launcher import ClusterLauncher, Listen
from ablate.engine.display import display_events
from ablate.engine.workers.launcher_api import Launcher, LocalLauncher
from ablate.engine.workers.messages import (
    BatchDone,
    CurvePoint,
    Evicted,
    FromWorker,
    Leave,
    OutcomeWritten,
    Progress,
    Ready,
    encode,
)
from ablate.errors import AblateError, ExitCode
from tests.engine.clusters.test_launchers import Processes
from tests.engine.conftest import Bench, score_after, wait_until_gone

STUDY = "baseline: {offset: 0.0}\narms: {g: {mode: gate, steps: 4}}\nseeds: 1\n"
UNDISTURBED = {("baseline", 0): ("measured", score_after(3)), ("g", 0): ("measured", score_after(4))}

BABBLER = '''
import os, signal, sys
from pathlib import Path


def engine_end():
    """Return the descriptor that leads to the engine."""
    if sys.argv[1] != "--connect":
        return int(sys.argv[2])
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                return int(name)
        except FileNotFoundError:
            continue


def babble(recipe):
    """Say what the test has written down, for this recipe or any, and wait to be ended."""
    said = Path(__file__).with_name("said").read_bytes().replace(b"DIGEST", recipe.digest.encode())
    with Path(__file__).with_name("pids").open("a") as pids:
        pids.write(f"{os.getpid()}\\n")
    os.write(engine_end(), said)
    while True:
        signal.pause()
'''


@pytest.fixture
def babbling(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Return a bench whose core babbles where it would wait at a gate, the first time; none of its workers stays."""
    (bench.folder / "babbler.py").write_text(BABBLER, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "babbler", raising=False)
    core = bench.folder / "toycore.py"
    text = core.read_text(encoding="utf-8")
    gate = '            context.progress(recipe, "gate", 0, 1)\n'
    assert gate in text
    core.write_text(text.replace(gate, f"{gate}            import babbler; babbler.babble(recipe)\n"), encoding="utf-8")
    yield bench
    pids = (bench.folder / "pids").read_text(encoding="utf-8").split()
    assert pids
    assert all(wait_until_gone(int(pid)) for pid in pids)
    sys.modules.pop("babbler", None)


def text_of(bench: Bench) -> str:
    return "\n".join(note.text for note in bench.of(display_events.Note))


@pytest.fixture(params=["local", "socket"])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    """Return a launcher whose workers talk over pipes, and one whose workers talk over a network."""
    return LocalLauncher() if request.param == "local" else ClusterLauncher(Processes(), Listen())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"Segmentation fault\n", "Segmentation fault"),
        (b'{"type":"progress","digest":"DIGEST"}\n', "progress.stage"),
        (b'{"type":"curve","digest":"DIGEST","images":"many","values":{}}\n', "curve.images"),
        (b'{"type":"queued","job":"1","reason":"so"}\n', "unknown message type 'queued'"),
        (b"\xff\xfe\x00\n[]\n\n{}\n", "JSON"),
    ],
)
def test_a_worker_that_speaks_nonsense_is_ended_and_its_trial_lost_for_that_reason(
    babbling: Bench, launcher: Launcher, said: bytes, reason: str
) -> None:
    (babbling.folder / "said").write_bytes(said)
    summary = babbling.run(STUDY, launcher=launcher)
    assert summary.exit_code is ExitCode.DONE
    assert babbling.results_of() == UNDISTURBED
    lost, _ = [row for row in babbling.rows() if row.arm == "g"]
    assert lost.outcome == "lost"
    assert reason in str(lost.attributes["error"])
    assert reason in text_of(babbling)
    [retry] = babbling.of(display_events.Retrying)
    assert (retry.retry, retry.retries) == (1, 2)
    assert babbling.steps("g", 0) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("message", "reason"), [(Ready(), "'ready' while its slot was busy"), (Leave(), "unknown message type 'leave'")]
)
def test_a_worker_that_is_out_of_step_is_ended(babbling: Bench, message: Ready | Leave, reason: str) -> None:
    (babbling.folder / "said").write_bytes(encode(message))
    assert babbling.run(STUDY).exit_code is ExitCode.DONE
    assert babbling.results_of() == UNDISTURBED
    assert reason in text_of(babbling)


def test_a_worker_that_is_done_once_too_often_is_ended(babbling: Bench) -> None:
    """As often as there are attempts it is taken at its word: the trial has no outcome, so it is lost."""
    (babbling.folder / "said").write_bytes(encode(BatchDone(False, None)) * 4)
    assert babbling.run(STUDY).exit_code is ExitCode.INCOMPLETE
    assert [row.outcome for row in babbling.rows() if row.arm == "g"] == ["lost", "lost", "lost"]
    assert "'done' while its slot was leaving" in text_of(babbling)


def test_a_local_worker_knows_of_no_cluster(babbling: Bench) -> None:
    (babbling.folder / "said").write_bytes(encode(Evicted("a long story")))
    assert babbling.run(STUDY).exit_code is ExitCode.DONE
    [retry] = babbling.of(display_events.Retrying)
    assert (retry.retry, "a long story" in retry.reason) == (1, True)


@pytest.mark.parametrize(
    "message",
    [
        Progress("no such recipe", "gate", 1, 1, {}),
        CurvePoint("no such recipe", 1, {"score": 1.0}),
        OutcomeWritten("no such recipe"),
        OutcomeWritten("DIGEST"),
        Progress("DIGEST", "gate", -(2**63), 2**63 - 1, {"x": float("nan")}),
        CurvePoint("DIGEST", -5, {"score": 1e308}),
        CurvePoint("DIGEST", 2**63 - 1, {"score": 1.0}),
    ],
    ids=repr,
)
def test_what_is_said_of_no_trial_or_too_early_harms_nobody(babbling: Bench, message: FromWorker) -> None:
    (babbling.folder / "said").write_bytes(encode(message) + b"enough\n")
    assert babbling.run(STUDY).exit_code is ExitCode.DONE
    assert babbling.results_of() == UNDISTURBED


# ---------------------------------------------------------------------- versions


def test_workers_of_another_version_end_the_run_before_a_trial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when ablate is installed anew while a run goes on, whose next worker is a new one."""
    monkeypatch.setattr("ablate.engine.workers.pool.VERSION", "0.0.9 (messages 00000000)")
    with pytest.raises(AblateError, match=r"the engine runs ablate 0\.0\.9") as caught:
        bench.run(STUDY)
    assert "same command" in str(caught.value.hint)
    assert bench.rows() == []
