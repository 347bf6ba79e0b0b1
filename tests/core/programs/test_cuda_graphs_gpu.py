"""Programs on a GPU: recorded graphs give what launching every operation gives."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch

from ablate.core.data import ImageSet, as_unit
from ablate.core.diffusion import denoiser as denoiser_module
from ablate.core.diffusion.cuda_graph_training import GraphedTrainer, trainer_for
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.restoration import observe, restore
from ablate.core.diffusion.samplers import Sampler
from ablate.core.diffusion.training import Trainer
from ablate.core.diffusion.validation import Wiener, validate
from ablate.core.programs.compile_rules import missing
from ablate.core.programs.compiled_forward import Program
from ablate.core.programs.cuda_graphs import Programs
from ablate.core.settings import DdpmDipSettings

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("deterministic")]
GPU = torch.device("cuda")


@pytest.fixture
def images() -> ImageSet:
    """Random bytes on the GPU."""
    drawn = torch.randint(0, 256, (34, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train, test, validation = (part.cuda() for part in torch.split(drawn, [18, 8, 8]))
    return ImageSet("random", train, test, validation, "random")


def settings_of(**changes: Any) -> DdpmDipSettings:
    small = {"channels": 8, "channel_mults": "1-2", "eval_images": 2, "batch_size": 4, "sample_steps": 15, "epochs": 4}
    return DdpmDipSettings.model_validate(small | changes)


def plain(monkeypatch: pytest.MonkeyPatch, build: Any) -> Any:
    """What `build` makes, its denoisers without programs."""
    with monkeypatch.context() as patched:
        patched.setattr(denoiser_module, "programs_on", lambda device: Programs(None))
        return build()


@pytest.mark.parametrize("sampler", get_args(Sampler))
@pytest.mark.parametrize("consistency", [False, True])
def test_recorded_sampling_and_validation(
    sampler: Sampler, consistency: bool, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same images and losses to the last bit, and as many evaluations."""
    settings = settings_of(sampler=sampler, data_consistency=consistency, eta=0.5)
    observed = observe(images, settings, 0, GPU)
    wiener = Wiener(torch.zeros(3072).cuda(), torch.ones(3072).cuda(), torch.eye(3072).cuda())
    recorded = Denoiser.build(settings, 3, GPU)
    launched = plain(monkeypatch, lambda: Denoiser.build(settings, 3, GPU))
    found, expected = (restore(one, observed, settings, 0, None) for one in (recorded, launched))
    assert recorded.recorded
    assert not launched.recorded
    assert torch.equal(found, expected)
    some = as_unit(images.validation)
    assert validate(recorded, wiener, some, (15, 25)) == validate(launched, wiener, some, (15, 25))
    assert recorded.evaluated == launched.evaluated


def test_sampling_between_the_updates_of_a_recorded_training(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of both kinds alternate, averaged weights come and go, and neither disturbs the other."""
    settings = settings_of()
    observed = observe(images, settings, 0, GPU)

    def scores(trainer: Trainer) -> list[float]:
        found = []
        for _ in range(3):
            for _ in range(4):
                trainer.update()
            trainer.sync()
            with trainer.ema.applied():
                found.append(float(restore(trainer.denoiser, observed, settings, 0, None).double().sum()))
        return found

    recorded = trainer_for(settings, images.train, 0)
    assert isinstance(recorded, GraphedTrainer)
    launched = plain(monkeypatch, lambda: trainer_for(settings, images.train, 0))
    found = scores(recorded)
    assert all(map(math.isfinite, found))
    assert found == scores(launched)


def test_graphs_that_go_leave_others_what_they_work_in(images: ImageSet) -> None:
    """A training goes on while denoisers come, record, and go, as in fused programs; trials follow each other."""
    settings = settings_of(channels=64)
    observed = observe(images, settings, 0, GPU)
    disturbed, quiet = (trainer_for(settings, images.train, 0) for _ in range(2))
    for _ in range(3):
        for trainer in (disturbed, quiet):
            trainer.update()
        restore(Denoiser.build(settings, 1, GPU), observed, settings, 0, None)
        torch.cuda.empty_cache()
        junk = [torch.full((1 << 23,), float("nan"), device=GPU) for _ in range(8)]
        disturbed.update()
        quiet.update()
        assert all(bool(one.isnan().all()) for one in junk)
        assert math.isfinite(disturbed.settle())
        assert disturbed.settle() == quiet.settle()


@pytest.mark.skipif(missing("cuda") is not None, reason=f"no {missing('cuda')} here")
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning", "ignore:TensorFloat32 tensor cores")
def test_a_compiled_network_in_a_recorded_lane(images: ImageSet) -> None:
    """Within rounding the losses of the eager one."""
    settings = settings_of()
    eager, compiled = (trainer_for(settings, images.train, 0) for _ in range(2))
    compiled.run_by(Program(compiled.denoiser.network))
    for _ in range(8):
        eager.update()
        compiled.update()
    assert compiled.settle() == pytest.approx(eager.settle(), rel=1e-4)
    assert compiled.compiled_updates == 8
