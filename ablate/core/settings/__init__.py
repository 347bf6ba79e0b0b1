"""Factors of the built-in core ``ddpm-dip``: names, ranges, units and defaults. Imports no torch.

Each group of factors has a module; rules that concern more than one group stand here.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from ablate.core.schedules import make_schedule
from ablate.core.settings.base import IMAGE_SIZE
from ablate.core.settings.diffusion import DiffusionSettings
from ablate.core.settings.method import MethodSettings
from ablate.core.settings.prior import PriorSettings
from ablate.core.settings.task import TaskSettings
from ablate.core.settings.training import TrainingSettings

__all__ = ["IMAGE_SIZE", "DdpmDipSettings"]


# pydantic takes fields from the last base first: method and task stand at the head of every listing.
class DdpmDipSettings(PriorSettings, TrainingSettings, DiffusionSettings, TaskSettings, MethodSettings):
    """All that decides the numbers of one trial of ``ddpm-dip``, apart from its seed."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        """Refuse combinations that cannot be computed."""
        if self.task == "generation" and self.uses_dip:
            raise ValueError(f"task generation needs images from noise, and method {self.method} has none; use ddpm")
        if self.corruption == "noise" and self.noise_sigma == 0:
            raise ValueError("corruption noise with noise_sigma 0 leaves nothing to restore")
        if self.corruption != "noise" and not self.uses_dip and not self.data_consistency:
            raise ValueError(
                f"under corruption {self.corruption} method {self.method} starts from pure noise and sees the data by "
                "data_consistency alone; set it to true"
            )
        if self.task == "generation" and self.curve_count > self.samples:
            raise ValueError(f"curve_images {self.curve_count} is more than samples {self.samples}")
        levels = len(self.mults)
        if self.attention in ("8", "16") and IMAGE_SIZE >> (levels - 1) > int(self.attention):
            raise ValueError(
                f"attention at {self.attention} pixels, but channel_mults {self.channel_mults} ends at "
                f"{IMAGE_SIZE >> (levels - 1)} pixels"
            )
        if self.dip_stop == "wmv" and self.dip_window > self.dip_steps:
            raise ValueError(f"dip_window {self.dip_window} is longer than dip_steps {self.dip_steps}")
        schedule = make_schedule(
            self.noise_schedule,
            self.diffusion_steps,
            power=self.schedule_power,
            zero_terminal_snr=self.zero_terminal_snr,
        )
        if schedule.alpha_bars[-1] == 0 and self.prediction == "epsilon":
            why = "zero_terminal_snr" if self.zero_terminal_snr else f"the last step of {schedule.name}"
            raise ValueError(f"prediction epsilon with {why} divides by alpha-bar = 0; use prediction v or x0")
        return self
