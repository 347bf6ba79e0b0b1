"""Recorded programs, on a CPU: a tape that repeats operations on the same memory stands for a CUDA graph."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ablate.core.data import ImageSet
from ablate.core.diffusion import denoiser as denoiser_module
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.ema import Ema
from ablate.core.diffusion.generation import from_noise, step_noise
from ablate.core.diffusion.restoration import observe, restore
from ablate.core.diffusion.samplers import Reverse, Sampler
from ablate.core.diffusion.validation import Wiener, validate
from ablate.core.programs import cuda_graphs
from ablate.core.programs.cuda_graphs import FIRST_CALLS, Programs, programs_on
from ablate.core.settings import DdpmDipSettings

CPU = torch.device("cpu")


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What is done while it listens: operations, with the tensors they read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[tuple[Callable[..., Any], Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "the device is waited for"
        out = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, _tensors(out)))
        return out

    def replay(self) -> None:
        """Do it once more: Python's numbers stay as they were, results go where they went."""
        for func, args, kwargs, written in self.steps:
            for there, here in zip(written, _tensors(func(*args, **kwargs)), strict=True):
                there.copy_(here)


def _tensors(out: Any) -> list[Tensor]:
    return [one for one in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(one, Tensor)]


def on_tape(compute: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """Record like a GPU does: warmed up, and spoilt memory filled only by a replay."""
    compute()
    with Tape() as tape:
        output = compute()
    output.fill_(torch.nan)
    return tape.replay, output


@pytest.fixture
def taped(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let denoisers built from now on record their programs on tape."""
    return lambda: monkeypatch.setattr(denoiser_module, "programs_on", lambda device: Programs(on_tape))


@pytest.fixture
def images() -> ImageSet:
    """Random bytes."""
    drawn = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet("random", drawn[:8], drawn[8:16], drawn[16:], "random")


def settings_of(**changes: object) -> DdpmDipSettings:
    small = {"channels": 8, "channel_mults": "1-2", "eval_images": 2, "noise_schedule": "cosine", "sample_steps": 7}
    return DdpmDipSettings.model_validate(small | changes)


def denoiser_of(settings: DdpmDipSettings) -> Denoiser:
    """A network that has left its initial zeros."""
    built = Denoiser.build(settings, 3, CPU)
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in built.network.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=drawn))
    return built


def test_a_function_is_recorded_after_its_first_calls_and_gives_the_same() -> None:
    ran = []

    def double(x: Tensor) -> Tensor:
        ran.append(x)
        return 2 * x

    programs = Programs(on_tape)
    results = [programs.run("double", double, torch.full((2,), float(call))) for call in range(FIRST_CALLS + 3)]
    assert [result.tolist() for result in results] == [[2.0 * call] * 2 for call in range(FIRST_CALLS + 3)]
    assert programs.recorded == 1
    assert len(ran) == FIRST_CALLS + 2  # warmed up once, recorded once


def test_other_names_and_other_shapes_are_other_programs() -> None:
    programs = Programs(on_tape)
    for _ in range(FIRST_CALLS + 1):
        for size in (2, 3):
            x = torch.ones(size)
            assert programs.run("double", lambda x: 2 * x, x).tolist() == [2.0] * size
            assert programs.run("triple", lambda x: 3 * x, x).tolist() == [3.0] * size
    assert programs.recorded == 4


def test_a_number_of_python_would_be_frozen() -> None:
    """The tape does what a graph does; this is why steps get their numbers as tensors."""
    programs, calls = Programs(on_tape), itertools.count()
    found = [programs.run("count", lambda x: x + next(calls), torch.zeros(1)).item() for _ in range(FIRST_CALLS + 3)]
    assert found == [*range(FIRST_CALLS), *[FIRST_CALLS + 1] * 3]  # warmed up at one number, recorded at the next


def test_programs_of_one_denoiser_share_memory_that_no_other_one_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch does not open a pool again after the last of its graphs: the next trial of a worker could not record."""
    pools = []

    def graph(compute: Callable[[], object], pool: object) -> SimpleNamespace:
        compute()
        pools.append(pool)
        return SimpleNamespace(replay=lambda: None)

    monkeypatch.setattr(cuda_graphs, "graph_of", graph)
    for _ in range(2):
        programs = programs_on(torch.device("cuda"))
        for name in ("one", "other"):
            for _ in range(FIRST_CALLS + 1):
                programs.run(name, lambda x: 2 * x, torch.zeros(1))
    first, second, third, fourth = pools
    assert first == second
    assert third == fourth
    assert first != third


def test_a_recording_has_workspaces_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept ones would be freed with the next graph that goes, while this one still writes there; also after a fault."""
    said: list[str] = []

    @contextlib.contextmanager
    def graph(*args: object, **options: object) -> Iterator[None]:
        said.append("begin")
        yield

    fake = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(cuda_graphs, "recording_stream", lambda: fake)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: said.append("clear"), raising=False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: fake)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", SimpleNamespace)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    cuda_graphs.graph_of(lambda: said.append("compute"))
    expected = ["compute"] * cuda_graphs.WARM_UPS + ["clear", "begin", "compute", "clear"]
    assert said == expected

    def fail() -> None:
        if "begin" in said:
            raise MemoryError

    said.clear()
    with pytest.raises(MemoryError):
        cuda_graphs.graph_of(fail)
    assert said == ["clear", "begin", "clear"]


def test_on_a_cpu_nothing_is_recorded(images: ImageSet) -> None:
    denoiser, settings = denoiser_of(settings_of()), settings_of()
    restore(denoiser, observe(images, settings, 0, CPU), settings, 0, None)
    assert not denoiser.recorded


@pytest.mark.parametrize("sampler", get_args(Sampler))
@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v", "edm"])
@pytest.mark.parametrize("consistency", [False, True])
def test_recorded_sampling_is_bitwise_the_same(
    sampler: Sampler, prediction: str, consistency: bool, images: ImageSet, taped: Callable[[], None]
) -> None:
    """Images, and the number of evaluations; with noise added on the way."""
    settings = settings_of(
        sampler=sampler, prediction=prediction, data_consistency=consistency, eta=0.5, sample_steps=15
    )
    observed = observe(images, settings, 0, CPU)
    plain = denoiser_of(settings)
    taped()
    recorded = denoiser_of(settings)
    expected, found = (restore(one, observed, settings, 0, None) for one in (plain, recorded))
    assert recorded.recorded
    assert torch.equal(expected, found)
    assert recorded.evaluated == plain.evaluated


def test_generated_batches_share_a_program_whose_results_last(taped: Callable[[], None]) -> None:
    settings = settings_of()
    plain = denoiser_of(settings)
    taped()
    recorded = denoiser_of(settings)
    starts = [torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    how = Reverse("ancestral", 6)

    def generated(denoiser: Denoiser) -> list[Tensor]:
        return [from_noise(denoiser, start, how, step_noise(start, 0, "test")) for start in starts]

    assert all(torch.equal(*pair) for pair in zip(generated(plain), generated(recorded), strict=True))


def test_a_recorded_program_sees_new_weights(images: ImageSet, taped: Callable[[], None]) -> None:
    """Averaged weights are exchanged in place between points of the learning curve."""
    settings = settings_of()
    observed = observe(images, settings, 0, CPU)
    taped()
    recorded = denoiser_of(settings)
    ema = Ema(recorded.network, 0.9)
    for weight in ema.weights:
        weight.mul_(0.9)
    before = restore(recorded, observed, settings, 0, None)
    with ema.applied():
        averaged = restore(recorded, observed, settings, 0, None)
    assert not torch.equal(before, averaged)
    assert torch.equal(restore(recorded, observed, settings, 0, None), before)


def test_guides_have_programs_of_their_own(images: ImageSet, taped: Callable[[], None]) -> None:
    """The same network shown another image beside x_t."""
    settings = settings_of(method="dip_target", dip_target_form="condition")
    observed = observe(images, settings, 0, CPU)
    plain = denoiser_of(settings)
    taped()
    recorded = denoiser_of(settings)
    for guides in (observed.noisy, observed.clean):
        expected, found = (restore(one.guided_by(guides), observed, settings, 0, None) for one in (plain, recorded))
        assert torch.equal(expected, found)


def test_recorded_validation_losses_are_the_same(images: ImageSet, taped: Callable[[], None]) -> None:
    settings = settings_of()
    some = images.validation.float() / 127.5 - 1
    wiener = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))
    plain = denoiser_of(settings)
    taped()
    recorded = denoiser_of(settings)
    expected, found = (validate(one, wiener, some, (15, 25)) for one in (plain, recorded))
    assert recorded.recorded
    assert found == expected
