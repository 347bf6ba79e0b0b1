"""What the engine gives the core ddpm-dip, kept in memory, and one trial in miniature."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.ddpm_dip.metric_list import METRICS
from ablate.core.settings import DdpmDipSettings
from ablate.interface import EAGER, SERIAL, Compilation, Fusion
from ablate.outcome import Outcome
from ablate.recipe import Recipe, Scalar
from tests.core.whose import OneArm

MINI: dict[str, Scalar] = {
    "cap_per_image": 30,
    "train_images": 24,
    "eval_images": 3,
    "channels": 8,
    "channel_mults": "1",
    "batch_size": 4,
    "warmup_steps": 2,
    "dip_steps": 6,
    "dip_channels": 4,
    "dip_scales": 2,
    "generated_images": 2,
    "generation_steps": 3,
}
CPU = torch.device("cpu")
EVERYTHING = frozenset(info.name for info in METRICS if not info.name.startswith(("fid", "steps_to_quality", "class")))
"""All metrics but those that need weights from elsewhere, labels, or a declared quality and much sampling."""


@dataclass
class Desk(OneArm):
    """What the engine gives a core, kept in memory."""

    root: Path
    stop_requested: bool = False
    checkpoint_due: bool = False
    points: list[tuple[int, float]] = field(default_factory=list)
    device: str = "cpu"
    threads: int = 1
    fusion: Fusion = SERIAL
    compilation: Compilation = EAGER
    wanted: frozenset[str] = EVERYTHING

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def checkpointed(self) -> None: ...

    def folder(self, recipe: Recipe) -> Path:
        path = self.root / "trials" / recipe.digest
        path.mkdir(parents=True, exist_ok=True)
        return path

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        assert 0 <= done <= total

    def curve(self, recipe: Recipe, images: int, **values: float) -> None:
        self.points.append((images, next(iter(values.values()))))

    def log(self, recipe: Recipe, text: str) -> None: ...


def compute(desk: Desk, seed: int = 0, **changes: Scalar) -> Outcome:
    settings = DdpmDipSettings.model_validate({**MINI, **changes})
    recipe = Recipe("ddpm-dip", settings.resolved(), seed)
    ((_, outcome),) = DdpmDip().run([recipe], desk)
    assert outcome.recipe_digest == recipe.digest
    return outcome


def measure(desk: Desk, seed: int = 0, **changes: Scalar) -> Outcome:
    settings = DdpmDipSettings.model_validate({**MINI, **changes})
    return DdpmDip().measure(Recipe("ddpm-dip", settings.resolved(), seed), desk)
