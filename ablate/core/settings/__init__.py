"""Factors of the built-in core ``ddpm-dip``: names, ranges, units and defaults. Imports no torch.

Each group of factors has a module; rules for more than one group are in this one.

Imports: core.shared and core.schedules.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from ablate.core.schedules import make_schedule
from ablate.core.settings.diffusion import DiffusionSettings
from ablate.core.settings.method import MethodSettings
from ablate.core.settings.prior import PriorSettings
from ablate.core.settings.task import TaskSettings
from ablate.core.settings.training import TrainingSettings

__all__ = ["DdpmDipSettings"]


# pydantic takes fields from the last base first: method and task stand at the head of every listing.
class DdpmDipSettings(PriorSettings, TrainingSettings, DiffusionSettings, TaskSettings, MethodSettings):
    """All that decides the numbers of one trial of ``ddpm-dip``, apart from its seed."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        """Refuse combinations that cannot be computed."""
        if self.task == "generation" and (self.is_guided or self.method in ("dip", "nl-means", "tv")):
            raise ValueError(
                f"task generation needs a method that generates from noise, and {self.method} does not; use ddpm"
            )
        if self.corruption != "noise" and self.method in ("gaussian", "nl-means", "tv"):
            raise ValueError(f"method {self.method} removes only noise, not corruption {self.corruption}")
        self._check_truncation()
        if self.corruption == "noise" and self.noise_sigma == 0:
            raise ValueError("with corruption noise and noise_sigma 0 there is nothing to restore")
        if self.corruption != "noise" and not self.uses_dip and not self.data_consistency:
            raise ValueError(
                f"with corruption {self.corruption}, method {self.method} starts from pure noise and sees the data "
                f"only through data_consistency; set it to true"
            )
        if self.task == "generation" and self.curve_count > self.samples:
            raise ValueError(f"curve_images {self.curve_count} is more than samples {self.samples}")
        self._check_sizes()
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

    def _check_sizes(self) -> None:
        """Refuse networks that cannot be laid over images of this size."""
        _, side, _ = self.image_shape
        levels = len(self.mults)
        if self.uses_ddpm and side % (1 << (levels - 1)):
            raise ValueError(
                f"channel_mults {self.channel_mults} halves the image {levels - 1} times, and {side} pixels cannot be"
            )
        sizes = [side >> level for level in range(levels)]
        if self.attention in ("8", "16") and int(self.attention) not in sizes:
            raise ValueError(
                f"attention at {self.attention} pixels is not possible: with channel_mults {self.channel_mults} "
                f"the U-Net has {', '.join(map(str, sizes))} pixels; use middle, its smallest"
            )
        if self.unet == "light" and (levels == 1 or self.attention in ("8", "16")):
            what = f"channel_mults {self.channel_mults}" if levels == 1 else f"attention at {self.attention} pixels"
            raise ValueError(
                f"unet light with {what} is not possible: its blocks are below the first resolution, and its attention "
                "is in the middle; use channel_mults 1-2 or more, and attention none or middle"
            )
        if (self.uses_dip or self.smooths_training) and (side % (1 << self.dip_scales) or side < 2 << self.dip_scales):
            possible = [scales for scales in range(1, 5) if not side % (1 << scales) and side >= 2 << scales]
            way = f"use dip_scales {max(possible)}" if possible else "a DIP needs sizes that can be halved"
            raise ValueError(f"dip_scales {self.dip_scales} halves the image too often for {side} pixels; {way}")
        factor = {"super-resolution-2x": 2, "super-resolution-4x": 4}.get(self.corruption, 1)
        if side % factor:
            raise ValueError(
                f"corruption {self.corruption} takes means over {factor} pixels, which do not divide {side}"
            )

    def _check_truncation(self) -> None:
        """Refuse to restore from more noise than a truncated denoiser has met."""
        if self.method != "truncated" or self.task != "restoration":
            return
        if self.corruption != "noise":
            raise ValueError(f"method truncated starts from the noisy image, not from corruption {self.corruption}")
        if self.start_fraction is None and self.start_sigma < self.noise_sigma:
            raise ValueError(
                f"method truncated is trained up to start_sigma {self.start_sigma:g}, below noise_sigma "
                f"{self.noise_sigma:g}; set start_sigma to {self.noise_sigma:g} or more"
            )

    @property
    def uses_dip(self) -> bool:
        """True when a Deep Image Prior is fitted to every observed image."""
        if self.task != "restoration":
            return False
        return self.method in ("dip", "dip+ddpm") or (self.is_guided and self.dip_target_source == "dip")

    @property
    def smooths_training(self) -> bool:
        """True when a Deep Image Prior is fitted to the training images."""
        if self.method == "dip_target":  # also for the blur, which is to have the same error
            return True
        starts = self.method == "dip+ddpm" or (self.method == "truncated" and self.truncated_start == "dip")
        return self.task == "generation" and starts
