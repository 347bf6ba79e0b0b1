"""What a GPU would be asked for, on a CPU: tensors that hold no data and say that they are on one.

torch checks devices and shapes of such tensors as it would there. Gradients cannot be computed: the operations that
they would go back through are looked at instead.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from ablate.core.data import ImageSet, as_unit
from ablate.core.data import images as images_module
from ablate.core.diffusion import denoiser as denoiser_module
from ablate.core.diffusion import training as training_module
from ablate.core.diffusion.cuda_graph_training import GraphedTrainer, trainer_for
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.muon_lanes import lanes_for
from ablate.core.diffusion.restoration import observe, restore
from ablate.core.diffusion.samplers import Sampler
from ablate.core.diffusion.training import Trainer
from ablate.core.diffusion.training_lanes import Feeder
from ablate.core.diffusion.validation import Wiener, validate
from ablate.core.dip import fit as dip_module
from ablate.core.dip import skipnet
from ablate.core.dip.fit import DipSettings, Fitting
from ablate.core.dip.fit_batch import DipProgram
from ablate.core.dip.skipnet import Architecture
from ablate.core.programs import lanes as lanes_module
from ablate.core.programs.cuda_graphs import Programs
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import Plain, apply_numerics

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by torch, in deepcopy
GPU = torch.device("cuda", 0)
REFUSED = ("ReflectionPad", "UpsampleBi", "UpsampleLinear", "IndexBackward", "UnsafeIndex", "AdaptiveAvgPool")
"""Beginnings of gradients that torch refuses under deterministic algorithms, or computes by sorting."""

Result = TypeVar("Result")


class Gpu(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers reads of single numbers, and remembers who reads; knows what a recording must not do."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recording = False
        self.recorded = 0
        self.readers: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default and args[0].device == GPU:
            assert not self.recording, "a recording waits for the device"
            self.readers |= {[call.name for call in traceback.extract_stack() if "ablate/core" in call.filename][-1]}
            return 1.0 if args[0].is_floating_point() else 1
        out = func(*args, **kwargs)
        if self.recording:
            met = [one.device for one in _tensors((args, kwargs.values(), out))]
            assert set(met) <= {GPU}, f"{func} of a recording is not on the GPU"
        return out

    def record(self, compute: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Do what is recorded, under the rules for it."""
        compute()
        self.recording = True
        result = compute()
        self.recording = False
        self.recorded += 1
        return lambda: None, result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif not isinstance(value, str) and hasattr(value, "__iter__"):
        for one in value:
            yield from _tensors(one)


def passed(outputs: Tensor) -> set[Any]:
    """What a gradient of `outputs` would go back through."""
    found, ahead = set(), [outputs.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in found:
            found.add(node)
            ahead += [following for following, _ in node.next_functions]
    return found


def grad(outputs: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Gradients without values, unless one of them is refused."""
    names = {node.name() for node in passed(outputs)}
    assert not [name for name in names if name.startswith(REFUSED)]
    return [torch.zeros_like(one) for one in inputs]


def backward(outputs: Tensor) -> None:
    """Leave such gradients with the weights."""
    leaves = [node.variable for node in passed(outputs) if hasattr(node, "variable")]
    for leaf, gradient in zip(leaves, grad(outputs, leaves), strict=True):
        leaf.grad = gradient


def moved(network: nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> nn.Module:
    """`Module.to`, which does not move such tensors itself."""
    for module in network.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                module._parameters[name] = nn.Parameter(weight.detach().to(device, dtype or weight.dtype))
    return network


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """A GPU that computes nothing. A generator cannot be there: which stream draws what is not looked at."""
    watch, caches = Gpu(), (images_module._unit_on, skipnet._doubling)
    monkeypatch.setattr(torch.autograd, "grad", grad)
    monkeypatch.setattr(torch.autograd, "backward", backward)
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(denoiser_module, "programs_on", lambda device: Programs(watch.record))
    monkeypatch.setattr(lanes_module, "graph_of", lambda compute: SimpleNamespace(replay=watch.record(compute)[0]))
    for module in (training_module, dip_module):
        monkeypatch.setattr(module, "generator", lambda *address, device="cpu": torch.Generator())
    monkeypatch.setattr(
        training_module, "stratified_steps", lambda batch, last, stream: torch.full((batch,), last, device=GPU)
    )
    apply_numerics(Plain())
    for one in caches:
        one.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True), watch:
        yield watch
    for one in caches:
        one.cache_clear()
    torch.use_deterministic_algorithms(False)


def pictures(count: int) -> Tensor:
    return torch.zeros(count, 3, 32, 32, dtype=torch.uint8, device=GPU)


def settings_of(**changes: Any) -> DdpmDipSettings:
    small = {"channels": 8, "channel_mults": "1-2", "eval_images": 2, "batch_size": 4, "sample_steps": 11}
    return DdpmDipSettings.model_validate(small | changes)


MUON = {"optimizer": "muon", "unet": "light"}


@pytest.mark.parametrize("optimizer", [{}, MUON])
def test_a_training_alone(optimizer: dict[str, str], gpu: Gpu) -> None:
    """One recording, and nothing read but losses; also a batch that is not full, and a state gone back to."""
    settings = settings_of(prediction="v", loss_weight="min-snr", grad_clip=1.0, **optimizer)
    trainer = trainer_for(settings, pictures(6), 0)
    assert isinstance(trainer, GraphedTrainer)
    for _ in range(4):
        trainer.update()
    assert gpu.recorded == 1
    assert gpu.readers == set()
    trainer.settle()
    trainer.load(trainer.state())
    assert gpu.readers == {"settle", "take"}


@pytest.mark.parametrize("optimizer", [{}, MUON])
def test_trainings_in_lanes(optimizer: dict[str, str], gpu: Gpu) -> None:
    trainers = [Trainer(settings_of(**optimizer), pictures(6), seed) for seed in range(2)]
    lanes = lanes_for(trainers[0], 2)
    feeders = [Feeder(trainer, 20) for trainer in trainers]
    for lane, trainer in enumerate(trainers):
        lanes.put(lane, trainer.denoiser.network, trainer.moments)
        feeders[lane].enter(lanes, lane)
    for _ in range(2):
        for lane, feeder in enumerate(feeders):
            feeder.feed(lanes, lane)
        lanes.step()
    lanes.clear(1)
    assert gpu.recorded == 1
    assert gpu.readers == set()


@pytest.mark.parametrize("architecture", ["skip", "decoder"])
def test_dip_fits(architecture: Architecture, gpu: Gpu) -> None:
    """Alone with a stop rule, and as rows of a program; gradients that a GPU has."""
    images = torch.zeros(2, 3, 32, 32, device=GPU)
    ruled = Fitting(images, DipSettings(architecture, steps=20, window=3, patience=9), 0, [0, 1], clean=images)
    for _ in range(10):
        ruled.follow(*ruled.descend())
    ruled.load(ruled.state())
    fixed = [Fitting(images, DipSettings(architecture, stop="fixed", steps=9), seed, [0, 1]) for seed in range(2)]
    for fit, done in zip(fixed, DipProgram(least=5).descend(fixed), strict=True):
        fit.follow(*done)
    assert gpu.readers == {"follow"}


@pytest.mark.parametrize(
    ("sampler", "corruption"), [("ddim", "noise"), ("heun", "inpainting"), ("ancestral", "super-resolution-2x")]
)
def test_restoration(sampler: Sampler, corruption: str, gpu: Gpu) -> None:
    """Steps are recorded where they repeat, and nothing is read on the way."""
    settings = settings_of(sampler=sampler, corruption=corruption, data_consistency=corruption != "noise", eta=0.5)
    observed = observe(ImageSet("none", pictures(4), pictures(4), pictures(4), ""), settings, 0, GPU)
    restored = restore(Denoiser.build(settings, 0, GPU), observed, settings, 0, None)
    assert restored.device == GPU
    assert gpu.recorded == 1
    assert gpu.readers == set()


def test_validation_reads_once_per_network_and_bound(gpu: Gpu) -> None:
    """In one place: the sums of all steps."""
    denoiser = Denoiser.build(settings_of(), 0, GPU)
    wiener = Wiener(torch.zeros(3072, device=GPU), torch.ones(3072, device=GPU), torch.eye(3072, device=GPU))
    validate(denoiser, wiener, as_unit(pictures(4)), (15, 25))
    assert denoiser.recorded
    assert gpu.readers == {"epsilon_errors"}
