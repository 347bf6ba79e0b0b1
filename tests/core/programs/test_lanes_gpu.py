"""Lanes on a GPU: the step as a CUDA graph gives what the plain loop gives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ablate.core.diffusion.cuda_graph_training import GraphedTrainer, trainer_for
from ablate.core.diffusion.training import Trainer
from ablate.core.programs.lane_run import LaneRun
from ablate.core.replay.lanes import ReplayLane, ReplayLanes
from ablate.core.replay.network import ReplayDenoiser, draw
from ablate.core.replay.noise_tables import noise_table
from ablate.core.replay.training import Training
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import apply_numerics
from ablate.core.shared.stage_cache import StageFolder
from ablate.interface import SERIAL
from ablate.recipe import Recipe
from tests.core.replay.test_lanes import Listener

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("deterministic")]


@pytest.fixture
def images() -> Tensor:
    """Eighteen images on the GPU: full batches of four and one of two per epoch."""
    drawn = torch.randint(0, 256, (18, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return drawn.cuda()


def denoiser(images: Tensor, seed: int) -> Training:
    """A small denoiser's training."""
    table = noise_table("linear")
    network = ReplayDenoiser(2, table)
    draw(network, torch.Generator().manual_seed(seed))

    def loss(x: Tensor, noise: torch.Generator) -> Tensor:
        t = torch.randint(len(table), (1,), generator=noise, device=x.device)
        return network.loss(x, x, t, noise)

    return Training("denoiser", network, loss, images, seed, 1e-3, 4, 3)


@pytest.mark.parametrize("width", [1, 3])
def test_replay_as_a_graph(width: int, images: Tensor, tmp_path: Path) -> None:
    """Every lane has the losses of its training alone."""
    context = Listener(tmp_path, SERIAL, device="cuda:0")
    trainings = [denoiser(images, seed) for seed in range(width)]
    lanes = ReplayLanes(trainings[0].network, images, width, 4, dips=False)
    members = [
        ReplayLane(one, None, StageFolder(tmp_path, str(one.seed)), Recipe("replay", {}, one.seed), context)
        for one in trainings
    ]
    assert all(divergence is None for _, _, divergence in LaneRun(lanes, members, context).run())
    for seed, fused in enumerate(trainings):
        alone = denoiser(images, seed)
        while alone.step < alone.total:
            alone.update()
        assert [point[1] for point in fused.curve] == pytest.approx([point[1] for point in alone.curve], rel=1e-4)


MUON = {"optimizer": "muon", "unet": "light"}


@pytest.mark.parametrize(("precision", "optimizer"), [("fp32", {}), ("bf16", {}), ("fp32", MUON)])
def test_a_denoiser_as_a_graph(precision: str, optimizer: dict[str, str], images: Tensor) -> None:
    """The plain loop's losses, and its weights within rounding."""
    small = {"channels": 8, "channel_mults": "1-2", "batch_size": 4, "epochs": 4}
    settings = DdpmDipSettings.model_validate(small | {"precision": precision} | optimizer)
    apply_numerics(settings)
    graphed, plain = trainer_for(settings, images, 0), Trainer(settings, images, 0)
    assert isinstance(graphed, GraphedTrainer)
    for _ in range(plain.course.total):
        graphed.update()
        plain.update()
    tolerance = 1e-3 if precision == "fp32" else 5e-2
    assert graphed.settle() == pytest.approx(plain.settle(), rel=tolerance)
    graphed.sync()
    pairs = zip(graphed.denoiser.network.parameters(), plain.denoiser.network.parameters(), strict=True)
    assert all(math.isfinite(float(a.detach().sum())) and torch.allclose(a, b, atol=10 * tolerance) for a, b in pairs)
