"""The built-in core: DDPM, Deep Image Prior, and DDPM started from a Deep Image Prior. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from ablate.core.ddpm_metrics import METRICS, VALIDATION_SIGMAS
from ablate.core.presence import require_data
from ablate.core.schedules import make_schedule, schedule_warnings
from ablate.core.settings import DdpmDipSettings
from ablate.core.stages import stages_of
from ablate.interface import Core, CoreSettings, MetricInfo, Report, Stage
from ablate.outcome import Outcome
from ablate.recipe import Recipe


class DdpmDip(Core):
    """Restores held-out noisy images with DDPM, DIP, or both, and measures quality and cost."""

    name: ClassVar[str] = "ddpm-dip"
    version: ClassVar[str] = "1"
    Settings: ClassVar[type[CoreSettings]] = DdpmDipSettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = METRICS

    @classmethod
    def check(cls, settings: Any) -> list[str]:
        """Warn about settings that can be computed but hardly mean what was wanted."""
        warnings = []
        if settings.uses_dip and settings.dip_stop == "oracle":
            warnings.append("dip_stop oracle looks at the clean image: an upper bound, not a method to compare with")
        if not settings.uses_ddpm:
            return warnings
        schedule = make_schedule(
            settings.noise_schedule,
            settings.diffusion_steps,
            power=settings.schedule_power,
            zero_terminal_snr=settings.zero_terminal_snr,
        )
        warnings += schedule_warnings(schedule)
        asked = settings.noise_sigma if settings.method == "ddpm" else settings.start_sigma
        least = float(schedule.pixel_sigmas[0])
        if asked < 0.9 * least and (settings.method == "ddpm" or settings.start_fraction is None):
            warnings.append(
                f"noise schedule {schedule.name} begins at pixel noise {least:.3g}: a start at {asked:g} is moved there"
            )
        return warnings

    @classmethod
    def require(cls, settings: Any) -> None:
        """Raise DataError when the data set has to be fetched first."""
        require_data(settings.data)

    @classmethod
    def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
        """Return the DIP and denoiser stages the recipe needs."""
        return stages_of(recipe, cls.version)

    def run(self, recipes: Sequence[Recipe], report: Report) -> Iterator[tuple[Recipe, Outcome]]:
        """Compute the recipes one after another."""
        from ablate.core.pipeline import run_recipe

        for recipe in recipes:
            yield recipe, run_recipe(recipe, report, core_version=self.version, sigmas=VALIDATION_SIGMAS)
