"""What a task is: how the models of a trial are scored, and what is shown of them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ablate.core.ddpm_dip.methods import Method, Models
from ablate.core.ddpm_dip.stages.trial import Run


class Task(Protocol):
    """One question asked of every method alike. Stateless."""

    def curve(self, run: Run, method: Method, models: Models) -> tuple[dict[str, float], Tensor]:
        """Score models in training: one point of the learning curve, cheap enough for ten of them.

        Returns its values and what was scored, uint8 [N,3,H,W], always of the same noise, so that points compare.
        """

    def score(self, run: Run, method: Method, models: Models) -> Tensor:
        """Score the finished models into `run.found`; return the images that were scored."""

    def show(self, run: Run, method: Method, models: Models, images: Tensor) -> str:
        """Keep pictures of what `score` returned; return the file name of the sample grid."""
