"""Work in one currency: what DIP fits and warm-ups cost, in updates of the denoiser.

Seconds differ from machine to machine, and a number of updates derived from them would make no recipe reproducible. So
the price is arithmetic: multiplications and additions, counted by torch on the networks themselves, times one factor
for how much longer grouped convolutions take per operation, measured once and recorded here.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ablate.core.ddpm_dip.stages.dip import fit_settings
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.build_unet import build_unet
from ablate.core.diffusion.training_course import TrainingCourse
from ablate.core.dip.fit import DipSettings
from ablate.core.dip.skipnet import Bank
from ablate.core.settings import DdpmDipSettings
from ablate.errors import AblateError

DIP_SECONDS_PER_OPERATION = 3.75
"""Seconds per operation of a DIP iteration, those of an update being 1.

3.73 and 3.78 in two runs of benchmarks/dip_price.py (AMD EPYC, one thread, torch 2.14).
"""


def updates_spent(run: Run) -> int:
    """Return the work that budget ``compute`` takes out of the training, in whole updates, rounded up.

    A rule that may stop a fit earlier is charged for `dip_steps`. The blur of ``dip_target`` is charged for the DIP
    fits that its width is found by, like the arm it controls. Raises AblateError, before anything is computed, when
    nothing would be left to train.
    """
    settings = run.settings
    if settings.budget != "compute":
        return 0
    fits = settings.eval_images * settings.eval_seeds if settings.uses_dip else 0
    if settings.smooths_training:
        fits += settings.train_images or len(run.images.train)
    spent = fits * settings.dip_steps * iteration_in_updates(settings)
    if settings.method == "dip_warm":
        spent += settings.warm_steps * settings.warm_images / settings.batch_size
    images = settings.train_images or len(run.images.train)
    planned = TrainingCourse(images, min(settings.batch_size, images), settings.epochs).total
    if math.ceil(spent) >= planned:
        raise AblateError(
            f"DIP and warm-up cost {math.ceil(spent)} updates, and {planned} are planned: with budget compute no "
            f"training is left",
            hint="train longer, fit the DIP for fewer steps, or use budget updates",
        )
    return math.ceil(spent)


def iteration_in_updates(settings: DdpmDipSettings) -> float:
    """Return what one DIP iteration on one image costs, as a part of one update of the denoiser.

    Forward and backward count alike (about three forward passes) on both sides and cancel.
    """
    update = unet_operations(settings) * settings.batch_size
    return DIP_SECONDS_PER_OPERATION * dip_operations(fit_settings(settings), settings.image_shape[1]) / update


def unet_operations(settings: DdpmDipSettings) -> int:
    """Return the operations of one forward pass of the denoiser on one image."""
    channels, side, _ = settings.image_shape
    network = build_unet(
        channels=settings.channels,
        mults=settings.mults,
        blocks=settings.blocks,
        attention=settings.attention,
        dropout=0.0,
        image_size=side,
        image_channels=channels,
        seed=0,
        guided=settings.is_guided,
        kind=settings.unet,
    )
    image = torch.zeros(1, channels * (2 if settings.is_guided else 1), side, side)
    return _operations(network, image, torch.ones(1, dtype=torch.int64))


@cache
def dip_operations(settings: DipSettings, image_size: int = 32) -> int:
    """Return the operations of one forward pass of one DIP network for images of `image_size` pixels."""
    bank = Bank(
        settings.architecture,
        count=1,
        channels=settings.channels,
        scales=settings.scales,
        skip=settings.skip,
        code_channels=settings.code_channels,
        image_channels=settings.image_channels,
    )
    side = image_size // bank.code_shrink
    return _operations(bank, torch.zeros(1, bank.code_channels, side, side))


def _operations(network: torch.nn.Module, *inputs: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(*inputs)
    return int(counter.get_total_flops())
