"""What a method is: how the models of a trial are made, and how they restore and generate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.restoration import Observation
from ablate.core.diffusion.samplers import Noise, Reverse


@dataclass(frozen=True)
class Models:
    """What a method has fitted and trained; a method that does without one leaves it None."""

    denoiser: Denoiser | None = None
    prior: Tensor | None = None
    """DIP outputs of the observed images, float32 [N,3,H,W] in [-1,1], in their order."""

    def first(self, count: int) -> Models:
        """The same for the first `count` observed images."""
        return self if self.prior is None else replace(self, prior=self.prior[:count])


Curve = Callable[[int, float, Models], None]
"""(training images seen, seconds trained so far, the models as they are then): a point of the learning curve."""


class Method(Protocol):
    """One way from a recipe to images. Stateless: everything it knows is in `run` and in the models it made."""

    def prepare(self, run: Run, curve: Curve) -> Models:
        """Fit and train what the method needs, through the stage cache; record times and losses in `run.found`."""

    def restore(self, run: Run, models: Models, observed: Observation, steps: int) -> Tensor:
        """Restore `observed` with at most `steps` network evaluations per image: [N,3,H,W] in [-1,1].

        `models` belong to these observations: `models.first(n)` to `observed.first(n)`.
        """

    def generates(self, run: Run) -> bool:
        """True when `generate` can be called in this trial."""

    def generate(self, run: Run, models: Models, start: Tensor, how: Reverse, noise: Noise) -> Tensor:
        """Turn standard normal `start` [N,3,H,W] into images in [-1,1]; `noise` gives what the sampler adds later.

        Not called on a method that cannot generate: its settings are refused before anything starts.
        """
