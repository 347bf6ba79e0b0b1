"""Compiled networks: when they are taken, that they compute the same, and what is kept of them on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from ablate.core.ddpm_dip.stages.digests import denoiser_program, denoiser_stage
from ablate.core.diffusion import compiled_training
from ablate.core.diffusion.compiled_training import compile_now, prepare
from ablate.core.diffusion.cuda_graph_training import GraphedTrainer
from ablate.core.diffusion.training import Trainer
from ablate.core.programs.compile_cache import CompileCache
from ablate.core.programs.compile_rules import (
    APART,
    GAIN,
    LEAST_UPDATES,
    Choice,
    before_measuring,
    by_measurement,
    missing,
)
from ablate.core.programs.compiled_forward import Program
from ablate.core.settings import DdpmDipSettings
from ablate.errors import CompileError
from ablate.interface import EAGER, SERIAL, Compilation, TrialContext
from ablate.outcome import Outcome
from tests.core.desk import Desk, compute
from tests.core.replay.test_lanes import Listener
from tests.sentences import SENTENCES

pytestmark = pytest.mark.usefixtures("deterministic")

LOSSES_APART, WEIGHTS_APART = 1e-5, 1e-3
"""Relative, compiled and eager after ten updates (measured: 1e-7 and 6e-5). The weights are one vector: Adam divides
small gradients by themselves and so blows the rounding of vanishing ones up."""
TINY: dict[str, Any] = {
    **{"channels": 8, "channel_mults": "1", "blocks": 1, "attention": "none", "batch_size": 4, "epochs": 2},
    **{"warmup_steps": 3, "diffusion_steps": 100},
}
KEY = denoiser_program(DdpmDipSettings.model_validate(TINY))
needs_compiler = pytest.mark.skipif(missing("cpu") is not None, reason=f"no {missing('cpu')} here")


def trainer(cls: type[Trainer] = Trainer, seed: int = 0, **changes: Any) -> Trainer:
    """Eighteen images: four full batches of four and one of two per epoch, ten updates."""
    images = torch.randint(0, 256, (18, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return cls(DdpmDipSettings.model_validate({**TINY, **changes}), images, seed)


def losses(one: Trainer, updates: int) -> list[float]:
    found = []
    for _ in range(updates):
        one.update()
        found.append(one.settle())
    one.sync()
    return found


def weights(one: Trainer) -> Tensor:
    return torch.cat([weight.detach().reshape(-1) for weight in one.denoiser.network.parameters()])


def context(root: Path, mode: str = "auto", updates: int = 10**9, study: str = "s") -> TrialContext:
    waiting = {KEY: updates}
    return cast(TrialContext, Listener(root, SERIAL, compilation=Compilation(cast(Any, mode), study, waiting)))


# ---------------------------------------------------------------------- when


def test_small_work_is_not_even_measured() -> None:
    """Few updates, or a compilation that would take more than a twentieth of the work that waits."""
    few = before_measuring("cpu", tensors=150, eager_s=0.1, updates=LEAST_UPDATES - 1)
    assert few is not None
    assert "only 9,999 updates" in few.why
    short = before_measuring("cpu", tensors=150, eager_s=0.1, updates=LEAST_UPDATES)
    assert short == Choice(False, "compiling takes about 90 s, for 1000 s of training")
    assert before_measuring("cpu", tensors=150, eager_s=0.1, updates=2 * LEAST_UPDATES) is None
    assert before_measuring("cuda:0", tensors=150, eager_s=0.1, updates=LEAST_UPDATES) is None


@pytest.mark.parametrize(
    ("compiled_s", "compile_s", "apart", "word"),
    [
        (0.5, 10.0, 0.0, "measured 2.00x"),
        (1 / (GAIN - 0.01), 10.0, 0.0, "is required"),
        (0.5, 501.0, 0.0, "saves 500 s"),
        (0.5, 10.0, 2 * APART, "differ by"),
        (0.5, 10.0, float("nan"), "differ by"),
    ],
)
def test_a_measurement_must_show_a_gain_that_pays_back(
    compiled_s: float, compile_s: float, apart: float, word: str
) -> None:
    """Of a thousand updates of one second each."""
    measured = {"eager_s": 1.0, "compiled_s": compiled_s, "compile_s": compile_s, "apart": apart}
    choice = by_measurement(measured, 1000)
    assert word in choice.why
    assert choice.compiled is (word == "measured 2.00x")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is compiled; says what would be, and measurements say that it is twice as fast."""
    said: list[str] = []
    measured = {"eager_s": 1.0, "compiled_s": 0.5, "compile_s": 10.0, "apart": 0.0}
    monkeypatch.setattr(compiled_training, "missing", lambda device: None)
    monkeypatch.setattr(compiled_training, "before_measuring", lambda *args, **kwargs: None)

    def measure(*args: object) -> dict[str, float]:
        said.append("measured")
        return measured

    monkeypatch.setattr(compiled_training, "time_both", measure)
    monkeypatch.setattr(compiled_training, "compile_now", lambda *args: said.append("compiled"))
    return said


def test_a_study_decides_once_and_a_measurement_serves_every_study(tmp_path: Path, fake: list[str]) -> None:
    yes, no = Choice(True, "measured 2.00x"), Choice(False, "measured 2.00x saves 5 s, compiling takes 10 s")
    assert prepare(trainer(), KEY, context(tmp_path), trainer) == yes
    assert prepare(trainer(), KEY, context(tmp_path, updates=10), trainer) == yes
    assert fake == ["measured", "compiled", "compiled"]
    assert prepare(trainer(), KEY, context(tmp_path, updates=10, study="other"), trainer) == no
    assert fake == ["measured", "compiled", "compiled"]


def test_off_and_dropout_measure_nothing(tmp_path: Path, fake: list[str]) -> None:
    assert prepare(trainer(), KEY, context(tmp_path, "off"), trainer) == Choice(False, "off")
    assert denoiser_program(DdpmDipSettings.model_validate({**TINY, "dropout": 0.1})) == ""
    assert not prepare(trainer(), "", context(tmp_path, "on"), trainer).compiled
    assert fake == []


def test_without_a_compiler_auto_says_so_and_stays_eager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    choice = prepare(trainer(), KEY, context(tmp_path), trainer)
    assert choice == Choice(False, "no C++ compiler (g++, or the one in CXX) here")


def test_shapes_decide_what_is_one_program() -> None:
    """Not seeds, schedules or durations; widths, batches and arithmetic do."""

    def program(seed: int = 0, **changes: Any) -> str:
        return denoiser_stage(DdpmDipSettings.model_validate({**TINY, **changes}), seed, "1").program

    assert {program(1), program(lr=0.1), program(epochs=9), program(noise_schedule="cosine")} == {KEY}
    others = [program(channels=16), program(batch_size=8), program(train_images=3), program(precision="bf16")]
    assert len({KEY, *others}) == 5


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let the next `times` compilations fail."""
    tried: list[int] = []

    def run_by(self: Trainer, program: Program | None) -> None:
        if program is not None:
            tried.append(1)
            if len(tried) <= times:
                raise RuntimeError("\ncannot open shared object file\nmore")

    monkeypatch.setattr(Trainer, "run_by", run_by)
    return tried


def test_a_failure_is_an_error_under_on_and_a_reason_under_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, 99)
    with pytest.raises(CompileError, match=r"compiling the network failed: cannot open shared object file") as caught:
        prepare(trainer(), KEY, context(tmp_path / "on", "on"), trainer)
    assert "--compile off" in (caught.value.hint or "")
    monkeypatch.setattr(compiled_training, "missing", lambda device: None)
    monkeypatch.setattr(compiled_training, "before_measuring", lambda *args, **kwargs: None)
    choice = prepare(trainer(), KEY, context(tmp_path / "auto"), trainer)
    assert choice == Choice(False, SENTENCES["failure error under on"])


def test_programs_on_disk_that_do_not_load_are_dropped_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = failing(monkeypatch, 1)
    cache = CompileCache.take(context(tmp_path).cache)
    cache.programs.mkdir(parents=True)
    (cache.programs / "half.so").touch()
    compile_now(trainer(), KEY, context(tmp_path))
    assert len(tried) == 2
    assert cache.empty


def test_out_of_memory_is_not_taken_for_a_failure_of_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_by(self: Trainer, program: Program | None) -> None:
        raise MemoryError

    monkeypatch.setattr(Trainer, "run_by", run_by)
    with pytest.raises(MemoryError):
        prepare(trainer(), KEY, context(tmp_path, "on"), trainer)


# ---------------------------------------------------------------------- on disk

HOLD = """
import sys
from pathlib import Path
from ablate.core.programs.compile_cache import CompileCache
cache = CompileCache.take(Path(sys.argv[1]))
with cache.compiling():
    (cache.programs / "half.so").touch()
    print(cache.programs.parent.name, flush=True)
    if sys.argv[2] == "killed":
        sys.stdin.read()
"""


def holder(root: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(root), how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_live_workers_never_share_a_place_and_a_killed_ones_leavings_are_dropped(tmp_path: Path) -> None:
    with holder(tmp_path, "killed") as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "0\n"
        mine = CompileCache.take(tmp_path)
        assert mine.programs.parent.name == "1"
        assert CompileCache.take(tmp_path) is mine
        one.send_signal(signal.SIGKILL)
        one.wait()
        assert one.stdin is not None
        one.stdin.close()
    with holder(tmp_path, "ended") as other:
        assert other.communicate()[0] == "0\n"
    # The mark of the killed process made the next one begin with an empty folder; its own end left none.
    assert [path.name for path in (tmp_path / ".compiled" / "0").iterdir() if path.name == "compiling"] == []


# ---------------------------------------------------------------------- what comes out


@pytest.fixture(scope="module")
def compiled_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the slow tests: what one has compiled, the others find."""
    return tmp_path_factory.mktemp("compiled")


@pytest.mark.slow
@needs_compiler
def test_a_compiled_training_is_the_eager_one_within_rounding(compiled_cache: Path) -> None:
    """Ten updates, two of them on smaller batches; other trials' networks are no other program."""
    eager, compiled = trainer(), trainer()
    before = weights(compiled).clone()
    compile_now(compiled, KEY, context(compiled_cache))
    assert torch.equal(weights(compiled), before)
    assert losses(compiled, 10) == pytest.approx(losses(eager, 10), rel=LOSSES_APART)
    assert (weights(compiled) - weights(eager)).norm() < WEIGHTS_APART * weights(eager).norm()
    assert compiled.state()["compiled"] == 10
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    again, other = trainer(), trainer(seed=1)
    for one in (again, other):
        compile_now(one, KEY, context(compiled_cache))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
    losses(again, 10)
    assert torch.equal(weights(again), weights(compiled))
    assert losses(other, 2) == pytest.approx(losses(trainer(seed=1), 2), rel=LOSSES_APART)


@pytest.mark.slow
@needs_compiler
def test_checkpoints_go_from_eager_to_compiled_and_back(compiled_cache: Path) -> None:
    """Their weights have the plain names, and the rest of the way is the same within rounding."""
    whole = losses(trainer(), 10)
    for first, second in ((False, True), (True, False)):
        one, two = trainer(), trainer()
        if first:
            compile_now(one, KEY, context(compiled_cache))
        losses(one, 5)
        state = one.state()
        assert set(state["network"]) == set(two.denoiser.network.state_dict())
        assert not any("_orig_mod" in name for name in state["network"])
        two.load(state)
        if second:
            compile_now(two, KEY, context(compiled_cache))
        assert losses(two, 5) == pytest.approx(whole[5:], rel=LOSSES_APART)
        assert two.compiled_updates == 5


@pytest.mark.slow
@needs_compiler
def test_a_single_lane_runs_by_a_compiled_network_too(compiled_cache: Path) -> None:
    """What a GPU records as a graph, without the graph."""
    eager, lane = trainer(), trainer(GraphedTrainer)
    compile_now(lane, KEY, context(compiled_cache))
    for _ in range(10):
        lane.update()
    lane.sync()
    losses(eager, 10)
    assert lane.settle() == pytest.approx(eager.settle(), rel=LOSSES_APART)
    assert (weights(lane) - weights(eager)).norm() < WEIGHTS_APART * weights(eager).norm()
    assert lane.compiled_updates == 10


AGAIN = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from ablate.core.diffusion.compiled_training import compile_now
from ablate.core.shared.numerics import Plain, apply_numerics
from ablate.core.settings import DdpmDipSettings
from ablate.core.diffusion.training import Trainer
apply_numerics(Plain())
cache, key, settings = Path(sys.argv[1]), *json.loads(sys.argv[2])
images = torch.load(cache / "images.pt", weights_only=True)
one = Trainer(DdpmDipSettings.model_validate(settings), images, 0)
compile_now(one, key, SimpleNamespace(cache=cache))
for _ in range(3):
    one.update()
found = torch._dynamo.utils.counters["inductor"]
weights = [float(value) for weight in one.denoiser.network.parameters() for value in weight.detach().reshape(-1)]
print(json.dumps([found["fxgraph_cache_miss"], found["fxgraph_cache_hit"], weights]))
"""


@pytest.mark.slow
@needs_compiler
def test_another_process_finds_the_program_on_disk_and_computes_the_same_bits(tmp_path: Path) -> None:
    """Forward and backward come from the cache of the process before it."""
    torch.save(trainer().images, tmp_path / "images.pt")
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", AGAIN, str(tmp_path), json.dumps([KEY, TINY])],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout))
    (first_misses, first_hits, first), (later_misses, later_hits, later) = found
    assert (first_misses, first_hits) == (2, 0)
    assert (later_misses, later_hits) == (0, 2)
    assert first == later


@pytest.mark.slow
@needs_compiler
def test_a_trial_says_how_it_was_trained(tmp_path: Path) -> None:
    """A whole trial of the core; what was trained eagerly and continued compiled is compiled in part."""
    desk = Desk(tmp_path)

    def one(epochs: int) -> Outcome:
        return compute(desk, method="ddpm", blocks=1, attention="none", epochs=epochs)

    assert one(1).environment["compile"] == "eager"
    desk.compilation = Compilation("on", "s")
    outcome = one(2)
    assert outcome.environment["compile"] == "in part"
    assert outcome.environment["compile_why"] == "asked for"
    desk.compilation = EAGER
    kept = one(2)
    assert kept.environment["compile"] == "in part"
    assert "compile_why" not in kept.environment
