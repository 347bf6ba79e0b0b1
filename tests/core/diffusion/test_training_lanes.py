"""Denoisers in lanes: as alone, whatever the companions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.diffusion.muon_lanes import lanes_for
from ablate.core.diffusion.training import Trainer, train
from ablate.core.diffusion.training_lanes import UNetLane
from ablate.core.programs.lane_run import LaneRun
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError, StoppedError
from ablate.interface import SERIAL
from ablate.recipe import Recipe
from tests.core.replay.test_lanes import Listener

pytestmark = pytest.mark.usefixtures("deterministic")

TOLERANCE = 1e-3
"""Relative, of all weights as one vector after ten updates, in lanes and alone (measured: 2e-7 to 2e-4).

Adam divides small gradients by themselves and so blows the rounding of vanishing ones up.
"""
TINY: dict[str, Any] = {
    **{"channels": 8, "channel_mults": "1", "batch_size": 4, "epochs": 2},
    **{"warmup_steps": 3, "diffusion_steps": 100},
}


@pytest.fixture
def images() -> Tensor:
    """Eighteen images: four full batches of four and one of two per epoch."""
    return torch.randint(0, 256, (18, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


Job = tuple[DdpmDipSettings, int]
"""Settings and seed."""


def job(seed: int = 0, **settings: Any) -> Job:
    return DdpmDipSettings.model_validate({**TINY, **settings}), seed


ARMS = (
    job(),
    job(1),
    job(lr=0.01, grad_clip=0.1),
    job(noise_schedule="cosine", prediction="v", loss_weight="min-snr"),
    job(epochs=3, ema_decay=0.5, horizontal_flip=False),
)


def in_lanes(jobs: Sequence[Job], images: Tensor, root: Path, *, width: int = 3, stop_after: int = 10**9) -> None:
    """Train all jobs in lanes; what they keep is in ``root/<their number>``."""
    context = Listener(root, SERIAL, stop_after)
    members = []
    for number, (settings, seed) in enumerate(jobs):
        trainer = Trainer(settings, images, seed)
        recipe = Recipe("ddpm-dip", settings.resolved(), seed)
        ends = [trainer.course.total]
        members.append(UNetLane(trainer, ends, StageFolder(root, str(number)), recipe, context))
    for _, _, divergence in LaneRun(lanes_for(members[0].trainer, width), members, context).run():
        assert divergence is None


def ended(root: Path, number: int, job: Job, images: Tensor) -> Trainer:
    """What training alone makes of what lanes left: nothing is left to do."""
    settings, seed = job
    context = Listener(root, SERIAL)
    points: list[int] = []
    trainer = Trainer(settings, images, seed)
    reused = train(
        trainer,
        StageFolder(root, str(number)),
        recipe=Recipe("ddpm-dip", settings.resolved(), seed),
        context=context,
        on_point=lambda seen, seconds, denoiser: points.append(seen),
    )
    assert reused in (0.0, trainer.seconds)
    assert points == [trainer.course.images_seen(step) for step in trainer.course.curve_steps()]
    return trainer


def flat(trainer: Trainer) -> Tensor:
    """Averaged weights, as one vector."""
    return torch.cat([weight.detach().flatten() for weight in trainer.denoiser.network.parameters()])


def apart(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / second.norm())


@pytest.mark.slow
def test_attention_and_several_resolutions_in_lanes(images: Tensor, tmp_path: Path) -> None:
    """The parts that the small network of the other tests does not have."""
    jobs = [job(seed, channel_mults="1-2", attention="16", epochs=1, batch_size=9) for seed in (0, 1)]
    in_lanes(jobs, images, tmp_path / "lanes", width=2)
    for number, one in enumerate(jobs):
        together = ended(tmp_path / "lanes", number, one, images)
        alone = ended(tmp_path / "alone", number, one, images)
        assert apart(flat(together), flat(alone)) < TOLERANCE


def test_every_arm_is_what_it_is_alone(images: Tensor, tmp_path: Path) -> None:
    """Schedules, predictions, weights of the loss, step sizes, averages, clipping and durations of their own."""
    in_lanes(ARMS, images, tmp_path / "lanes")
    for number, one in enumerate(ARMS):
        together = ended(tmp_path / "lanes", number, one, images)
        alone = ended(tmp_path / "alone", number, one, images)
        assert apart(flat(together), flat(alone)) < TOLERANCE


MUON: dict[str, Any] = {"optimizer": "muon", "unet": "light", "channel_mults": "1-2", "lr": 0.002}
"""At the usual 0.008 rounding grows tenfold faster: from 2e-9 after one update to 2e-3 after ten (measured)."""


def test_matrices_are_made_orthogonal_in_lanes_as_alone(images: Tensor, tmp_path: Path) -> None:
    """Muon, each lane at its own step size, and continued from a checkpoint."""
    jobs = [job(**MUON), job(1, **MUON), job(2, **MUON | {"lr": 0.001, "grad_clip": 0.1})]
    with pytest.raises(StoppedError):
        in_lanes(jobs[:2], images, tmp_path / "lanes", stop_after=4)
    in_lanes(jobs, images, tmp_path / "lanes")
    for number, one in enumerate(jobs):
        together = ended(tmp_path / "lanes", number, one, images)
        alone = ended(tmp_path / "alone", number, one, images)
        assert apart(flat(together), flat(alone)) < TOLERANCE


MUON_ARMS = tuple(job(seed, **MUON | {"lr": lr}) for seed, lr in enumerate((0.002, 0.001, 0.004, 0.002, 0.003)))


@pytest.mark.parametrize("arms", [ARMS, MUON_ARMS])
def test_companions_change_no_bit(arms: Sequence[Job], images: Tensor, tmp_path: Path) -> None:
    """Other neighbours, another lane, an empty lane beside it."""
    in_lanes(arms[:3], images, tmp_path / "a")
    in_lanes((arms[4], arms[2], arms[3]), images, tmp_path / "b")
    in_lanes(arms[2:3], images, tmp_path / "c")
    first = flat(ended(tmp_path / "a", 2, arms[2], images))
    assert torch.equal(first, flat(ended(tmp_path / "b", 1, arms[2], images)))
    assert torch.equal(first, flat(ended(tmp_path / "c", 0, arms[2], images)))


@pytest.mark.parametrize("arms", [ARMS, MUON_ARMS])
def test_a_non_finite_neighbour_changes_no_bit(arms: Sequence[Job], images: Tensor, tmp_path: Path) -> None:
    """It ends as diverged, with the images it had seen."""
    in_lanes(arms[:1], images, tmp_path / "healthy", width=2)
    context = Listener(tmp_path / "ill", SERIAL)
    members = []
    for number, (settings, seed) in enumerate((arms[0], arms[1])):
        trainer = Trainer(settings, images, seed)
        recipe = Recipe("ddpm-dip", settings.resolved(), seed)
        folder = StageFolder(tmp_path / "ill", str(number))
        members.append(UNetLane(trainer, [trainer.course.total], folder, recipe, context))
    with torch.no_grad():
        members[1].trainer.denoiser.network.get_parameter("exit.bias").fill_(math.inf)
    found = list(LaneRun(lanes_for(members[0].trainer, 2), members, context).run())
    assert [divergence is None for _, _, divergence in found] == [False, True]
    divergence = found[0][2]
    assert divergence is not None
    assert isinstance(divergence[1], DivergedError)
    assert divergence[1].images_seen == 4
    healthy = ended(tmp_path / "healthy", 0, arms[0], images)
    assert torch.equal(flat(ended(tmp_path / "ill", 0, arms[0], images)), flat(healthy))


@pytest.mark.parametrize("stop_after", [3, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize("arms", [ARMS, MUON_ARMS])
def test_stopped_and_continued_is_undisturbed(
    arms: Sequence[Job], stop_after: int, images: Tensor, tmp_path: Path
) -> None:
    """Weights, average and optimiser of every lane come back bit for bit."""
    in_lanes(arms[:2], images, tmp_path / "whole")
    with pytest.raises(StoppedError):
        in_lanes(arms[:2], images, tmp_path / "stopped", stop_after=stop_after)
    in_lanes(arms[:2], images, tmp_path / "stopped")
    for number in (0, 1):
        whole, stopped = (ended(tmp_path / name, number, arms[number], images) for name in ("whole", "stopped"))
        assert torch.equal(flat(whole), flat(stopped))


def test_a_shorter_recipe_of_the_same_stage_ends_on_the_way(images: Tensor, tmp_path: Path) -> None:
    """Of recipes that share a stage the longest is trained; the others find their own end and their curve."""
    settings, seed = job(epochs=3)
    trainer = Trainer(settings, images, seed)
    recipe = Recipe("ddpm-dip", settings.resolved(), seed)
    context = Listener(tmp_path, SERIAL)
    member = UNetLane(trainer, [5, 15], StageFolder(tmp_path, "0"), recipe, context)
    list(LaneRun(lanes_for(trainer, 2), [member], context).run())
    in_lanes([job(epochs=1)], images, tmp_path / "short", width=2)
    short = ended(tmp_path, 0, job(epochs=1), images)
    assert torch.equal(flat(short), flat(ended(tmp_path / "short", 0, job(epochs=1), images)))


def test_batch_keys() -> None:
    """Shape and arithmetic keep recipes apart; what is not trained in lanes shares nothing."""

    def key(seed: int = 0, **settings: Any) -> str:
        return DdpmDip.batch_key(Recipe("ddpm-dip", DdpmDipSettings.model_validate(settings).resolved(), seed))

    same = (key(3), key(lr=0.1), key(noise_schedule="cosine"), key(prediction="v"), key(epochs=7), key(method="ddpm"))
    assert set(same) == {key()}
    other = (key(channels=8), key(batch_size=8), key(attention="16"), key(precision="tf32"), key(train_images=3))
    assert key() not in (*other, key(unet="light"), key(optimizer="muon"))
    alone: list[dict[str, Any]] = [
        *({"dropout": 0.1}, {"precision": "bf16"}, {"budget": "compute"}),
    ]
    assert all(key(1, **settings, method="ddpm") != key(2, **settings, method="ddpm") for settings in alone)


def test_batch_keys_of_dip_fits() -> None:
    """One shape of network and one number of images; whatever a denoiser after them is."""

    def key(seed: int = 0, **settings: Any) -> str:
        settings = {"method": "dip", **settings}
        return DdpmDip.batch_key(Recipe("ddpm-dip", DdpmDipSettings.model_validate(settings).resolved(), seed))

    same: list[dict[str, Any]] = [
        *({"dip_lr": 0.1}, {"dip_steps": 7}, {"dip_stop": "wmv"}, {"dip_ema": 0.5}, {"noise_sigma": 3}),
        *({"corruption": "inpainting"}, {"lr": 0.1}, {"method": "dip+ddpm", "dropout": 0.1}),
    ]
    assert {key(number, **settings) for number, settings in enumerate(same)} == {key()}
    other: list[dict[str, Any]] = [
        *({"dip_channels": 8}, {"dip_scales": 2}, {"dip_architecture": "decoder"}, {"eval_images": 7}),
        *({"eval_seeds": 2}, {"precision": "tf32"}, {"deterministic": False}, {"method": "nl-means"}),
    ]
    assert key() not in {key(**settings) for settings in other}
