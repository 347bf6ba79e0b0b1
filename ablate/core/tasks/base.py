"""What a task is: how the models of a trial are scored, and what is shown of them."""

from __future__ import annotations

from typing import Protocol

from ablate.core.methods import Method, Models
from ablate.core.run import Run


class Task(Protocol):
    """One question asked of every method alike. Stateless."""

    def curve(self, run: Run, method: Method, models: Models) -> dict[str, float]:
        """Score models in training: the values of one point of the learning curve, cheap enough for ten of them."""

    def evaluate(self, run: Run, method: Method, models: Models) -> str:
        """Score the finished models into `run.found`, keep pictures; return the file name of the sample grid."""
