"""Denoisers in lanes whose optimiser is Muon; and which lanes a training needs."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ablate.core.diffusion.muon import (
    ADAM_BETAS,
    direction,
    is_matrix,
    of_one_shape,
    orthogonalised,
    scale_of,
    shaped_as,
)
from ablate.core.diffusion.training import Trainer
from ablate.core.diffusion.training_lanes import UNetLanes
from ablate.core.programs.compiled_forward import Program


class MuonLanes(UNetLanes):
    """The averages of matrices are Muon's momentum, all others Adam's: both decay alike, so one update serves both."""

    betas = ADAM_BETAS

    @cached_property
    def _alike(self) -> list[tuple[Tensor, list[int]]]:
        """Weights of one shape: one of them, and which parameters they are."""
        weights = list(self.network.parameters())
        matrices = {place: weight for place, weight in enumerate(weights) if is_matrix(weight)}
        return [(weights[places[0]], places) for places in of_one_shape(matrices)]

    def _move(self, gradient: Tensor) -> None:
        step = torch.div(*self._averaged(gradient))
        gradients, averages, steps = (self.stacked(flat) for flat in (gradient, self.first, step))
        down = -self.lr.float().view(-1, 1, 1, 1, 1)
        for weight, places in self._alike:
            ahead = torch.cat([direction(gradients[place], averages[place]) for place in places])
            found = shaped_as(weight, orthogonalised(ahead)) * scale_of(weight)
            for place, update in zip(places, torch.split(found, self.width), strict=True):
                torch.mul(update, down, out=steps[place])
        self.flat.add_(step)


def lanes_for(like: Trainer, width: int, program: Program | None = None) -> UNetLanes:
    """Return `width` empty lanes for trainings of the shape of `like`; a single one may run by a compiled `program`."""
    kind = MuonLanes if like.settings.optimizer == "muon" else UNetLanes
    network, batch, image = like.denoiser.network, like.course.batch, like.images.shape[1:]
    return kind(network, width, batch, image, precision=like.settings.precision, program=program)
