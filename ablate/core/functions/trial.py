"""What a function sees of its trial: the engine's `TrialContext` for one recipe, which no method needs to be given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.interface import TrialContext
from ablate.recipe import Recipe

TRAINING = "training"
"""The stage that progress is of, unless a function names others."""


class Trial:
    """One trial, as a function that has a parameter ``trial`` is given it. All methods are cheap."""

    def __init__(self, context: TrialContext, recipe: Recipe) -> None:
        self._context = context
        self._recipe = recipe

    @property
    def study(self) -> str:
        """Name of the study."""
        return self._context.study

    @property
    def arm(self) -> str:
        """Name of the arm. Arms with equal settings are computed once, under the name of the first."""
        return self._context.arm(self._recipe)

    @property
    def seed(self) -> int:
        """The seed, the same in every arm: all randomness comes from it."""
        return self._recipe.seed

    @property
    def seed_index(self) -> int:
        """Which of the study's seeds this is, from 0."""
        return self._context.seed_index(self._recipe)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting by name, those of nested models by dotted name; lists as tuples."""
        return self._recipe.settings

    @property
    def device(self) -> str:
        """Where to compute, as torch names it: ``cpu`` or ``cuda:0``."""
        return self._context.device

    @property
    def threads(self) -> int:
        """CPU threads of this trial."""
        return self._context.threads

    @property
    def folder(self) -> Path:
        """The trial's own folder, which survives retries: for checkpoints, images, whatever is to be kept."""
        return self._context.folder(self._recipe)

    @property
    def wanted(self) -> frozenset[str]:
        """Names of the study's metrics."""
        return self._context.wanted

    @property
    def stop_requested(self) -> bool:
        """True when the run is being stopped: save what is needed to go on, then raise `ablate.StoppedError`."""
        return self._context.stop_requested

    @property
    def checkpoint_due(self) -> bool:
        """True when it is time to save a checkpoint; call `checkpointed` afterwards."""
        return self._context.checkpoint_due

    def checkpointed(self) -> None:
        """Say that a checkpoint is safely on disk."""
        self._context.checkpointed()

    def progress(self, done: float, total: float | None = None, *, stage: str = TRAINING, **numbers: float) -> None:
        """Tell how much is done, of a `total` if that is known, with numbers to show (loss, it/s)."""
        self._context.progress(self._recipe, stage, done, total or 0, **numbers)  # type: ignore[arg-type]

    def curve(self, step: int, **values: float) -> None:
        """Add a point to the learning curve at `step`, a whole number from 0 on. Repeated steps are ignored."""
        self._context.curve(self._recipe, step, **values)

    def log(self, text: str) -> None:
        """Append a line to the trial's log.txt, where what the function prints goes too."""
        self._context.log(self._recipe, text)
