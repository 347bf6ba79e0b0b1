"""Workers that are forked: the same numbers, nothing shared but memory, and nothing left behind by any kill."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap

import pytest

from ablate.engine.display import display_events
from ablate.engine.workers.forked_process import can_adopt, key_of
from ablate.engine.workers.launcher_api import WARM_WORKERS
from ablate.engine.workers.slots import Slot
from ablate.errors import AblateError, ExitCode
from tests.engine.conftest import Bench, wait_until_gone

pytestmark = pytest.mark.skipif(not can_adopt(), reason="the system cannot adopt a forked worker")

CORE = """
import json, os, random, sys, threading

import heavy
import numpy as np

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind
from ablate.errors import StoppedError


class Settings(CoreSettings):
    mode: str = "fine"
    steps: int = 1
    offset: float = 0.0


class Toy(Core):
    name = "toy"
    Settings = Settings
    metrics = (MetricInfo("score", direction="max"),)
    imports = ("heavier", "no_such_module")

    def run(self, recipes, context):
        [recipe] = recipes
        seen = {
            "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgrp(), "session": os.getsid(0),
            "loaded": heavy.LOADED_BY, "heavier": "heavier" in sys.modules, "spoilt": getattr(heavy, "spoilt", 0),
            "cuda": os.environ["CUDA_VISIBLE_DEVICES"], "threads": os.environ["OMP_NUM_THREADS"],
            "random": random.random(), "numpy": np.random.rand(), "flags": str(sys.flags), "argv": len(sys.argv),
            "streams": sorted(map(int, os.listdir("/proc/self/fd"))), "stdin": sys.stdin.read(),
            "tqdm": os.environ["TQDM_MININTERVAL"],
        }
        heavy.spoilt = os.getpid()
        print("seen", json.dumps(seen))
        if recipe.settings["mode"] == "die" and not (context.folder(recipe) / "struck").exists():
            (context.folder(recipe) / "struck").touch()
            os.kill(os.getpid(), 9)
        if recipe.settings["mode"] == "gate":
            context.progress(recipe, "gate", 0, 1)
            while not context.stop_requested:
                threading.Event().wait(0.005)
            raise StoppedError
        score = recipe.settings["offset"] + recipe.seed
        yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"score": score})
"""
STUDY = "baseline: {offset: 0.0}\nvary: {offset: [1.0, 2.0, 3.0]}\nseeds: 2\n"


@pytest.fixture
def forked(bench: Bench) -> Bench:
    """Return a bench whose core imports a library that says which process loaded it."""
    (bench.folder / "toycore.py").write_text(CORE, encoding="utf-8")
    (bench.folder / "heavy.py").write_text("import os\nLOADED_BY = os.getpid()\n", encoding="utf-8")
    (bench.folder / "heavier.py").write_text("", encoding="utf-8")
    return bench


def seen(bench: Bench) -> list[dict[str, object]]:
    """What the core saw, of every trial."""
    logs = sorted(bench.paths.trials.glob("*/log.txt"))
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("seen ")]


def notes(bench: Bench) -> list[str]:
    return [event.text for event in bench.of(display_events.Note)]


@pytest.fixture(params=["warm", "plain"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with workers that are forked, and with some that are started one by one."""
    monkeypatch.setenv(WARM_WORKERS, str(int(request.param == "warm")))
    found: str = request.param
    return found


def test_workers_are_as_if_the_engine_had_started_them(forked: Bench, kind: str) -> None:
    summary = forked.run(STUDY, slots=2)
    assert summary.exit_code is ExitCode.DONE
    assert {key: score for key, (_, score) in forked.results_of().items()} == {
        (arm, seed): offset + seed
        for arm, offset in (("baseline", 0), ("offset=1", 1), ("offset=2", 2), ("offset=3", 3))
        for seed in range(2)
    }
    found = seen(forked)
    pids = {one["pid"] for one in found}
    assert len(pids) in (1, 2)  # all trials may be done before the second worker is ready
    assert len({one["loaded"] for one in found}) == (1 if kind == "warm" else len(pids))
    assert pids.isdisjoint({one["loaded"] for one in found}) is (kind == "warm")
    assert all(one["parent"] == os.getpid() and one["pid"] == one["group"] == one["session"] for one in found)
    assert all(one["spoilt"] in (0, one["pid"]) for one in found)
    assert all(one["heavier"] and one["cuda"] == "" and one["stdin"] == "" for one in found)
    assert len({one["random"] for one in found}) == len({one["numpy"] for one in found}) == 8
    assert notes(forked) == []


def test_a_forked_worker_has_the_descriptors_flags_and_variables_of_one_that_is_started(
    forked: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for warm in ("1", "0"):
        monkeypatch.setenv(WARM_WORKERS, warm)
        forked.run("baseline: {offset: 0.0}\nvary: {offset: [%s]}\nseeds: 1\n" % (2 + int(warm)))
        found.append(seen(forked)[-1])
    for name in ("streams", "flags", "argv", "threads", "tqdm"):
        assert found[0][name] == found[1][name], name


def test_a_killed_worker_is_replaced_by_another_fork(forked: Bench) -> None:
    forked.run("baseline: {offset: 0.0}\narms: {k: {mode: die}}\nseeds: 1\n")
    assert [row.outcome for row in forked.rows() if row.arm == "k"] == ["lost", "measured"]
    [retry] = forked.of(display_events.Retrying)
    assert "killed by SIGKILL" in retry.reason
    found = seen(forked)
    assert len({one["loaded"] for one in found}) == 1
    assert len({one["pid"] for one in found}) == 2


GATE = "baseline: {offset: 0.0}\narms: {g: {mode: gate}}\nseeds: 1\n"


@pytest.mark.parametrize("victim", ["the template", "the engine", "the worker"])
def test_no_sigkill_leaves_a_process_and_the_study_goes_on(forked: Bench, victim: str) -> None:
    run = forked.start(GATE, slots=1)
    run.wait_for(event="progress", stage="gate")
    [one] = seen(forked)[-1:]
    worker, template = int(str(one["pid"])), int(str(one["loaded"]))
    os.kill({"the template": template, "the engine": run.process.pid, "the worker": worker}[victim], signal.SIGKILL)
    if victim == "the engine":
        assert wait_until_gone(worker)
        assert wait_until_gone(template)
        run.end()
        return
    if victim == "the template":
        assert wait_until_gone(template)
        os.kill(worker, 0)
    else:
        assert wait_until_gone(worker)
        run.wait_for(2, event="progress", stage="gate")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 143
    assert all(wait_until_gone(int(str(one[name]))) for one in seen(forked) for name in ("pid", "loaded"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_the_template_imports_ends_it(forked: Bench, number: signal.Signals) -> None:
    os.mkfifo(forked.folder / "fifo")
    text = f"import os, signal\nopen({str(forked.folder / 'fifo')!r}, 'w').write(str(os.getpid()))\nsignal.pause()\n"
    (forked.folder / "heavier.py").write_text(text, encoding="utf-8")
    run = forked.start(STUDY)
    template = int((forked.folder / "fifo").read_text(encoding="ascii"))
    run.process.send_signal(number)
    run.wait_for(event="stopping")
    run.process.send_signal(number)
    assert run.end() == (130 if number is signal.SIGINT else 143)
    assert wait_until_gone(template)


UNSAFE = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='pump').start()\n"


def test_where_a_fork_is_not_safe_workers_are_started_one_by_one_and_that_is_said_once(forked: Bench) -> None:
    (forked.folder / "heavier.py").write_text(UNSAFE, encoding="utf-8")
    assert forked.run(STUDY, slots=2).exit_code is ExitCode.DONE
    found = seen(forked)
    assert all(one["loaded"] == one["pid"] and one["parent"] == os.getpid() for one in found)
    [note] = notes(forked)
    assert "pump" in note


@pytest.mark.parametrize("text", ["raise RuntimeError('no')", "import sys; sys.exit(3)", "import os; os._exit(4)"])
def test_a_core_that_cannot_be_imported_is_the_same_error_as_ever(forked: Bench, kind: str, text: str) -> None:
    heavy = forked.folder / "heavy.py"
    guard = f"import sys\nif sys.argv[0].endswith(('worker.py', 'template.py')):\n    {text}\nLOADED_BY = 0\n"
    heavy.write_text(guard, encoding="utf-8")
    study = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 1\n"
    if "_exit" in text:
        assert forked.run(study, slots=2).exit_code is ExitCode.INCOMPLETE
        assert any("exit code 4" in note for note in notes(forked))
    else:
        with pytest.raises(AblateError, match=r"heavy|toycore"):
            forked.run(study, slots=2)


def test_workers_of_one_environment_share_a_template_whatever_gpu_they_see() -> None:
    def slot(index: int, visible: str | None, threads: int) -> Slot:
        return Slot(index, "cuda:0" if visible else "cpu", threads, visible, "")

    inherited = {"PATH": "/bin"}
    keys = [key_of(slot(0, "GPU-a", 2), inherited), key_of(slot(1, "GPU-b", 2), inherited)]
    assert keys[0] == keys[1]
    assert key_of(slot(0, "GPU-a", 3), inherited) not in keys
    assert key_of(slot(0, None, 2), inherited) not in keys


def test_numbers_of_torch_are_the_same_bit_for_bit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        import torch

        from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind

        class Settings(CoreSettings):
            mode: str = "fine"
            steps: int = 4
            offset: float = 0.0

        class Toy(Core):
            name, Settings, metrics = "toy", Settings, (MetricInfo("score", direction="max"),)

            def run(self, recipes, context):
                for recipe in recipes:
                    torch.manual_seed(recipe.seed)
                    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 4))
                    for _ in range(recipe.settings["steps"]):
                        loss = (net(torch.randn(16, 3, 8, 8)) ** 2).mean() + torch.get_num_threads()
                        loss.backward()
                        with torch.no_grad():
                            for weight in net.parameters():
                                weight -= 0.1 * weight.grad
                                weight.grad = None
                    yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"score": loss.item()})
    """
    found = []
    for warm in ("1", "0"):
        monkeypatch.setenv(WARM_WORKERS, warm)
        place = Bench(bench.folder / warm)
        place.folder.mkdir()
        (place.folder / "toycore.py").write_text(textwrap.dedent(code), encoding="utf-8")
        monkeypatch.delitem(sys.modules, "toycore", raising=False)
        place.run("baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 2\n", slots=2)
        found.append(place.results_of())
        assert notes(place) == []
    assert found[0] == found[1]
    assert len(found[0]) == 4
