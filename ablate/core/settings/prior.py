"""The Deep Image Prior: network, duration, stop rule."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from ablate.core.settings.base import factor
from ablate.interface import CoreSettings

DIP_STEPS_PER_EPOCH = 10
"""One ``dip_epochs`` is this many optimiser iterations on every image."""
IMAGES_AT_ONCE = {"cpu": 16, "cuda": 256}
"""DIP networks per program: more does not help a CPU core (measured), and all may stop sooner in a small group."""


class PriorSettings(CoreSettings):
    """How every image's own network is fitted."""

    dip_steps: int = factor(
        100, "largest number of optimiser iterations of the DIP per image", unit="steps", ge=1, le=100_000
    )
    dip_epochs: int | None = factor(
        None, "DIP duration in epochs of 10 iterations per image; sets dip_steps", ge=1, le=10_000
    )
    dip_lr: float = factor(0.01, "Adam step size of the DIP", gt=0, le=1)
    dip_architecture: Literal["skip", "decoder"] = factor(
        "skip", "skip: encoder-decoder with skips; decoder: deep decoder"
    )
    dip_channels: int = factor(16, "channels of the DIP network", ge=4, le=512)
    dip_scales: int = factor(3, "how often the DIP network halves the resolution", ge=1, le=4)
    dip_stop: Literal["fixed", "wmv", "oracle"] = factor(
        "fixed",
        "when the DIP stops: after dip_steps, at the variance minimum (ES-WMV), or at the best PSNR (oracle)",
    )
    dip_ema: float = factor(0.9, "decay of the average over the DIP's outputs; 0 takes the last output", ge=0, lt=1)
    dip_window: int = factor(20, "number of outputs in the variance window of wmv", unit="steps", ge=2, le=1000)
    dip_patience: int = factor(60, "iterations without a new variance minimum before wmv stops", unit="steps", ge=1)
    dip_input_noise: float = factor(1 / 30, "standard deviation of the noise added to the DIP's input", ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _epochs_to_steps(cls, data: Any) -> Any:
        """Turn ``dip_epochs`` into ``dip_steps``, so that one duration has one digest however it was written."""
        if not isinstance(data, dict) or not isinstance(data.get("dip_epochs"), int):
            return data
        steps = DIP_STEPS_PER_EPOCH * data["dip_epochs"]
        if data.get("dip_steps", steps) != steps:
            raise ValueError(
                f"dip_epochs sets dip_steps to {steps}, but dip_steps is {data['dip_steps']}; state only one"
            )
        return {**data, "dip_steps": steps, "dip_epochs": None} if 0 < steps <= 100_000 else data
