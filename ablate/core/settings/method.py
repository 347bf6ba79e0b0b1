"""How the output is produced: the method, where its reverse process starts, and how DIP and DDPM are combined."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from ablate.core.settings.base import factor
from ablate.interface import CoreSettings

Method = Literal[
    "ddpm", "dip", "dip+ddpm", "dip_start", "dip_target", "truncated", "dip_warm", "gaussian", "nl-means", "tv"
]
UNTRAINED = ("dip", "gaussian", "nl-means", "tv")
"""Methods without a denoiser."""


class MethodSettings(CoreSettings):
    """Method, start and combination."""

    method: Method = factor(
        "dip+ddpm",
        "ddpm; dip; dip+ddpm (or dip_start): DDPM from the re-noised DIP output; dip_target: denoiser that gets the "
        "DIP output of its target; truncated: only steps below the start are trained; dip_warm: training starts from "
        "a U-Net fitted as a DIP; gaussian: best linear model; nl-means and tv: without learning",
    )
    start_sigma: float = factor(
        15.0,
        "pixel noise at the start step t0 of dip+ddpm; for truncated, the highest noise that is trained",
        unit="/255",
        gt=0,
        le=100_000,
    )
    start_fraction: float | None = factor(
        None, "t0 as a fraction of T, instead of start_sigma; 1 starts from almost pure noise", gt=0, le=1
    )
    data_consistency: bool = factor(
        False, "pull every estimate of x0 towards the measured data (proximal step of DiffPIR)"
    )
    dip_target_form: Literal["condition", "literal"] = factor(
        "condition",
        "dip_target: give the denoiser the smoothed image as a second input, or build x_t from it (as in the founding "
        "report)",
    )
    dip_target_source: Literal["dip", "blur"] = factor(
        "dip", "dip_target: smooth with the DIP, or (control) with a Gaussian blur of equal mean squared error"
    )
    truncated_start: Literal["dip", "blur", "gaussian", "noise"] = factor(
        "gaussian",
        "truncated: generation starts from diffused DIP outputs or blurs of training images, samples of the Gaussian "
        "model, or (control) pure noise",
    )
    blur_sigma: float = factor(1.0, "truncated_start blur: standard deviation of the blur", unit="pixels", gt=0, le=7)
    warm_source: Literal["dip", "denoising"] = factor(
        "dip",
        "dip_warm: warm up by fitting images from fixed noise, as a DIP does, or (control) by denoising them",
    )
    warm_steps: int = factor(200, "dip_warm: number of warm-up updates", unit="steps", ge=1, le=100_000)
    warm_images: int = factor(8, "dip_warm: training images used for the warm-up", unit="images", ge=1, le=1024)
    budget: Literal["updates", "compute"] = factor(
        "updates",
        "what is equal for all methods: updates of the denoiser, or compute (DIP fits and warm-up are subtracted from "
        "the updates)",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, data: Any) -> Any:
        """``dip_start`` is ``dip+ddpm`` under another name: one recipe."""
        return {**data, "method": "dip+ddpm"} if isinstance(data, dict) and data.get("method") == "dip_start" else data

    @property
    def is_guided(self) -> bool:
        """True when the denoiser is shown a smoothed image beside x_t."""
        return self.method == "dip_target" and self.dip_target_form == "condition"

    @property
    def uses_ddpm(self) -> bool:
        """True when the method trains a denoiser."""
        return self.method not in UNTRAINED
