"""What one trial knows and has found so far: handed to its method, its task and its stages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from ablate.core import data
from ablate.core.data import ImageSet
from ablate.core.ddpm_dip.stages.digests import curve_digest
from ablate.core.diffusion.denoiser import schedule_of
from ablate.core.diffusion.restoration import Observation, observe
from ablate.core.schedules import Schedule
from ablate.core.scores.fid import Extractor, extractor
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import ResultsError
from ablate.interface import Stage, TrialContext
from ablate.recipe import Recipe

Made = TypeVar("Made")


@dataclass(frozen=True)
class CurvePoint:
    """A point of the learning curve."""

    images: int
    """Training images seen."""
    seconds: float
    """Seconds of training up to here, whoever spent them."""
    values: Mapping[str, float]
    pictures: Tensor
    """The first few of the images that were scored, uint8 [N,3,H,W], on the CPU."""


@dataclass
class Run:
    """One trial of ``ddpm-dip`` while it is computed."""

    recipe: Recipe
    context: TrialContext
    core_version: str
    sigmas: tuple[int, ...]
    """Noise levels of the validation losses, on the 0..255 scale."""
    found: dict[str, float] = field(default_factory=dict)
    """Metrics so far; those without a finite value are left out of the outcome and named in its notes."""
    reused: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    """Stage digest -> seconds that it has cost in a program of several recipes and nobody is charged for yet."""
    charged: float = 0.0
    """Of them, the seconds charged to this trial."""
    dip_rows: int = 0
    """Fewest networks of the programs that fit its DIPs; 0 for fits of its own images alone."""
    environment: dict[str, str] = field(default_factory=dict)
    """What else the numbers depend on: conventions, extractors, how something was timed."""
    notes: list[str] = field(default_factory=list)
    points: dict[int, CurvePoint] = field(default_factory=dict)
    """The learning curve, by training images seen."""
    images_seen: int = 0
    kept_only: bool = False
    """True when nothing may be trained or fitted: what is measured is what an earlier computation left."""
    _made: dict[str, Any] = field(default_factory=dict)
    waited: float = 0.0
    """Seconds spent waiting for another worker to finish a shared stage: nobody's cost, since the stage's counts."""

    @cached_property
    def settings(self) -> DdpmDipSettings:
        """The recipe's settings, validated."""
        return DdpmDipSettings.model_validate(dict(self.recipe.settings))

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return self.recipe.seed

    @cached_property
    def device(self) -> torch.device:
        """Where to compute."""
        return torch.device(self.context.device)

    @cached_property
    def images(self) -> ImageSet:
        """The data set, resident on the device."""
        settings = self.settings
        found = data.load(
            settings.data,
            cap_per_image=settings.cap_per_image,
            split=settings.split,
            image_size=settings.image_size,
            greyscale=settings.greyscale,
        )
        return found.to(self.device)

    @cached_property
    def observed(self) -> Observation:
        """What is to be restored."""
        return observe(self.images, self.settings, self.seed, self.device)

    @cached_property
    def fid_extractor(self) -> Extractor | None:
        """The Inception network, when the study asks for FID; None otherwise."""
        return extractor(self.device) if any(name.startswith("fid") for name in self.context.wanted) else None

    def asks(self, *names: str) -> bool:
        """True when the study names one of these metrics."""
        return not self.context.wanted.isdisjoint(names)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what `make` gave when it was first asked for under `name`: within a trial nothing is made twice."""
        if name not in self._made:
            self._made[name] = make()
        made: Made = self._made[name]
        return made

    @property
    def schedule(self) -> Schedule:
        """The noise schedule of the settings."""
        return schedule_of(self.settings)

    @contextlib.contextmanager
    def stage(self, stage: Stage) -> Iterator[StageFolder]:
        """Hold the cache folder of `stage` alone."""
        if stage.steps and not (self.context.cache / stage.digest).is_dir():
            self.needs_training(stage.name)
        folder = StageFolder(self.context.cache, stage.digest)
        with folder.locked(lambda: self.context.stop_requested) as waited:
            self.waited += waited
            yield folder

    def needs_training(self, stage: str) -> None:
        """Raise ResultsError where that is not allowed: called before anything is trained or fitted."""
        if self.kept_only:
            raise ResultsError(
                f"what stage {stage} of this trial left in the cache is gone, or is another version's",
                hint="measuring later needs it; name the metric in the study and run it under another --name",
            )

    def kept_curve(self) -> Callable[[CurvePoint], CurvePoint]:
        """Load the points that an earlier attempt at this recipe scored; return what adds one and keeps it.

        Weights on the way are not kept for large networks: their points could not be scored again after a resume.
        """
        folder = StageFolder(self.context.cache, curve_digest(self.recipe, self.core_version))
        for images in folder.steps("point"):
            state = folder.load("point", images)
            if state is not None and "pictures" in state:
                self.points[images] = CurvePoint(images, float(state["seconds"]), state["values"], state["pictures"])

        def keep(point: CurvePoint) -> CurvePoint:
            if not self.points:
                folder.describe({"stage": "curve", "recipe": self.recipe.to_dict()})
            state = {"seconds": point.seconds, "values": dict(point.values), "pictures": point.pictures}
            folder.save("point", point.images, state)
            self.points[point.images] = point
            return point

        return keep

    def wait_for_device(self) -> None:
        """Return when everything asked of the device is done: before and after whatever is timed."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
