"""What a denoiser is taught beyond the images themselves: how the combinations of DIP and DDPM differ from DDPM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TrainingTarget:
    """An ordinary training is the empty lesson."""

    smooth: Tensor | None = None
    """A smoothed version of every training image, float32 [N,3,H,W] in [-1,1], or none."""
    literal: bool = False
    """x_t is built from the smoothed image and the target stays x_0; otherwise the network is shown it beside x_t."""
    last_step: int | None = None
    """The largest step t that is trained; None for T."""
    weights: Mapping[str, Tensor] | None = None
    """The network's weights to begin with."""
    updates_spent: int = 0
    """Work done before, in updates, that is taken out of the training."""


ORDINARY = TrainingTarget()
