"""Factors of the core ``replay``: names, ranges, units and the founding report's values as defaults. No torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ablate.interface import CoreSettings


def _factor(default: Any, description: str, *, unit: str = "", **bounds: Any) -> Any:
    extra: Any = {"unit": unit} if unit else None
    return Field(default, description=description, json_schema_extra=extra, **bounds)


class ReplaySettings(CoreSettings):
    """All that decides the numbers of one trial of ``replay``, apart from its seed."""

    method: Literal["ddpm", "dip", "dip+ddpm"] = _factor(
        "dip+ddpm", "residual denoiser alone, autoencoder alone, or denoiser trained on the frozen autoencoder's output"
    )
    network: Literal["trained", "identity"] = _factor(
        "trained", "identity: a denoiser whose blocks only add their noise, the control for every PSNR of this core"
    )
    noise_schedule: Literal["linear", "exponential", "cosine", "polynomial", "polynomial-real"] = _factor(
        "linear", "table of 1000 noise levels; polynomial is the report's table of that name, which is its cosine table"
    )
    lr: float = _factor(0.001, "Adam's step size for the denoiser", gt=0, le=1)
    dip_lr: float = _factor(0.001, "Adam's step size for the autoencoder", gt=0, le=1)
    batch_size: int = _factor(64, "images per update, of both networks", unit="images", ge=1, le=4096)
    epochs: int = _factor(10, "passes of the denoiser over the training images", unit="epochs", ge=1, le=1000)
    dip_epochs: int = _factor(10, "passes of the autoencoder over the training images", unit="epochs", ge=1, le=1000)
    num_blocks: int = _factor(10, "residual blocks of the denoiser", ge=1, le=100)
    data: Literal["skimage-patches", "cifar10"] = _factor("skimage-patches", "data set of 32x32 colour images")
    train_images: int = _factor(0, "size of a fixed subset of the training images; 0 takes all", unit="images", ge=0)
    test_images: int = _factor(8, "held-out images that are scored", unit="images", ge=1, le=10_000)
    eval_draws: int = _factor(20, "how often each image is scored, each time with fresh noise", ge=2, le=10_000)
    eval_steps: int = _factor(10, "applications of the denoiser when scoring", unit="steps", ge=1, le=1000)

    @model_validator(mode="after")
    def _identity_has_a_denoiser(self) -> Self:
        if self.network == "identity" and self.method == "dip":
            raise ValueError("network: identity replaces the denoiser, and method: dip has none")
        return self

    @property
    def trains_dip(self) -> bool:
        """True when the autoencoder is trained."""
        return self.method != "ddpm" and self.network == "trained"

    @property
    def trains_denoiser(self) -> bool:
        """True when the denoiser is trained."""
        return self.method != "dip" and self.network == "trained"
