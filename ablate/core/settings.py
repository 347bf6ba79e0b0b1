"""Factors of the built-in core ``ddpm-dip``: names, ranges, units and defaults. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from ablate.core.schedules import make_schedule
from ablate.interface import CoreSettings

IMAGE_SIZE = 32
"""Height and width of every data set of this core, in pixels."""
DIP_STEPS_PER_EPOCH = 10
"""One ``dip_epochs`` is this many optimiser iterations on every image."""

Method = Literal["ddpm", "dip", "dip+ddpm"]
NoiseSchedule = Literal[
    "linear",
    "quad",
    "cosine",
    "sigmoid",
    "simple-linear",
    "cosine-tau",
    "polynomial",
    "exponential",
    "exponential-beta",
    "ve-geometric",
]
ChannelMults = Literal["1", "1-2", "1-1-2", "1-2-2", "1-2-3", "1-2-4", "1-2-2-2", "1-2-2-4", "1-2-3-4"]
Attention = Literal["none", "middle", "8", "16"]


def factor(default: Any, description: str, *, unit: str = "", **bounds: Any) -> Any:
    """Return a pydantic field with a description, bounds and a unit."""
    extra: JsonDict | None = {"unit": unit} if unit else None
    return Field(default, description=description, json_schema_extra=extra, **bounds)


class DdpmDipSettings(CoreSettings):
    """All that decides the numbers of one trial of ``ddpm-dip``, apart from its seed."""

    method: Method = factor("dip+ddpm", "DDPM alone, Deep Image Prior alone, or DDPM started from the DIP's output")
    task: Literal["restoration"] = factor("restoration", "what the models are compared on: denoising held-out images")

    data: Literal["skimage-patches", "cifar10"] = factor("skimage-patches", "data set of 32x32 colour images")
    split: Literal["block", "image"] = factor(
        "block", "held out: the right-hand block of every photograph, or whole photographs (skimage-patches)"
    )
    cap_per_image: int = factor(3000, "at most this many training patches per photograph", unit="images", ge=1)
    train_images: int = factor(0, "size of a seeded subset of the training images; 0 takes all", unit="images", ge=0)
    horizontal_flip: bool = factor(True, "flip training images left-right with probability 1/2")
    noise_sigma: float = factor(25.0, "noise on the images to restore, on the 0..255 scale", unit="/255", gt=0, le=255)
    eval_images: int = factor(32, "held-out images that every trial restores", unit="images", ge=1, le=10_000)

    noise_schedule: NoiseSchedule = factor("linear", "how alpha-bar falls from 1 to about 0 over the diffusion steps")
    schedule_power: float = factor(2.0, "p of polynomial, tau of cosine-tau; others ignore it", gt=0, le=10)
    zero_terminal_snr: bool = factor(False, "rescale the schedule to alpha-bar = 0 at the last step (Lin et al. 2023)")
    diffusion_steps: int = factor(1000, "T, length of the forward process", unit="steps", ge=2, le=10_000)
    prediction: Literal["epsilon", "x0", "v"] = factor("epsilon", "what the network predicts")
    loss_weight: Literal["simple", "min-snr"] = factor("simple", "weight of each step's loss; min-snr has gamma = 5")

    lr: float = factor(2e-3, "Adam step size of the denoiser", gt=0, le=1)
    batch_size: int = factor(16, "training images per update", unit="images", ge=1, le=8192)
    epochs: int = factor(1, "passes over the training images", ge=1, le=100_000)
    warmup_steps: int = factor(100, "updates over which lr rises linearly from 0", unit="steps", ge=0)
    lr_decay: Literal["constant", "cosine"] = factor("constant", "course of lr after warm-up; cosine falls to 0")
    ema_decay: float = factor(0.995, "decay of the weight average, after a ramp (1+n)/(10+n)", ge=0, lt=1)
    grad_clip: float = factor(1.0, "largest gradient norm; 0 switches clipping off", ge=0)

    channels: int = factor(16, "channels of the U-Net at full resolution", ge=8, le=512, multiple_of=8)
    channel_mults: ChannelMults = factor("1-2", "channels per resolution, as multiples of `channels`")
    blocks: int = factor(1, "residual blocks per resolution", ge=1, le=8)
    attention: Attention = factor(
        "none", "self-attention: none, in the middle only, or also at this resolution (pixels)"
    )
    dropout: float = factor(0.0, "dropout probability in the residual blocks", ge=0, lt=1)

    sampler: Literal["ddim", "ancestral"] = factor("ddim", "how the reverse process is run")
    sample_steps: int = factor(5, "network evaluations per restored image, at most", unit="steps", ge=1, le=10_000)
    eta: float = factor(0.0, "DDIM's noise: 0 is deterministic, 1 is ancestral with small variance", ge=0, le=1)
    variance: Literal["large", "small"] = factor(
        "large", "ancestral noise: beta_t (large) or its posterior value (small)"
    )
    start_sigma: float = factor(
        15.0,
        "pixel noise to which the DIP output is re-noised before the reverse process",
        unit="/255",
        gt=0,
        le=100_000,
    )
    start_fraction: float | None = factor(
        None, "start step as a fraction of T, instead of start_sigma; 1 starts from nearly pure noise", gt=0, le=1
    )
    data_consistency: bool = factor(False, "pull every x0 estimate towards the noisy image (proximal step of DiffPIR)")
    generated_images: int = factor(8, "images generated from pure noise for the report", unit="images", ge=0, le=256)
    generation_steps: int = factor(
        20, "network evaluations per generated image, at most", unit="steps", ge=1, le=10_000
    )

    dip_steps: int = factor(100, "optimiser iterations of the DIP per image, at most", unit="steps", ge=1, le=100_000)
    dip_epochs: int | None = factor(
        None, "DIP duration in epochs of 10 iterations per image; sets dip_steps", ge=1, le=10_000
    )
    dip_lr: float = factor(0.01, "Adam step size of the DIP", gt=0, le=1)
    dip_architecture: Literal["skip", "decoder"] = factor(
        "skip", "skip: encoder-decoder with skips; decoder: deep decoder"
    )
    dip_channels: int = factor(16, "channels of the DIP network", ge=4, le=512)
    dip_scales: int = factor(3, "halvings of the resolution inside the DIP network", ge=1, le=4)
    dip_stop: Literal["fixed", "wmv", "oracle"] = factor(
        "fixed", "stop after dip_steps, at the variance minimum (ES-WMV), or at the best PSNR (uses the clean image)"
    )
    dip_ema: float = factor(0.9, "decay of the average over the DIP's outputs; 0 takes the last output", ge=0, lt=1)
    dip_window: int = factor(20, "outputs in the variance window of wmv", unit="steps", ge=2, le=1000)
    dip_patience: int = factor(60, "iterations without a new variance minimum before wmv stops", unit="steps", ge=1)
    dip_input_noise: float = factor(1 / 30, "standard deviation of the noise added to the DIP's input", ge=0, le=1)

    precision: Literal["fp32", "tf32", "bf16"] = factor("fp32", "arithmetic of the denoiser's training and sampling")
    deterministic: bool = factor(True, "deterministic algorithms only")

    @model_validator(mode="before")
    @classmethod
    def _epochs_to_steps(cls, data: Any) -> Any:
        """Turn ``dip_epochs`` into ``dip_steps``, so that one duration has one digest however it was written."""
        if not isinstance(data, dict) or not isinstance(data.get("dip_epochs"), int):
            return data
        steps = DIP_STEPS_PER_EPOCH * data["dip_epochs"]
        if data.get("dip_steps", steps) != steps:
            raise ValueError(f"dip_epochs sets dip_steps to {steps}, but dip_steps is {data['dip_steps']}; state one")
        return {**data, "dip_steps": steps, "dip_epochs": None} if 0 < steps <= 100_000 else data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        """Refuse combinations that cannot be computed."""
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise ValueError(
                "prediction epsilon with zero_terminal_snr divides by alpha-bar = 0; use prediction v or x0"
            )
        levels = len(self.channel_mults.split("-"))
        if self.attention in ("8", "16") and IMAGE_SIZE >> (levels - 1) > int(self.attention):
            raise ValueError(
                f"attention at {self.attention} pixels, but channel_mults {self.channel_mults} ends at "
                f"{IMAGE_SIZE >> (levels - 1)} pixels"
            )
        if self.dip_stop == "wmv" and self.dip_window > self.dip_steps:
            raise ValueError(f"dip_window {self.dip_window} is longer than dip_steps {self.dip_steps}")
        make_schedule(
            self.noise_schedule,
            self.diffusion_steps,
            power=self.schedule_power,
            zero_terminal_snr=self.zero_terminal_snr,
        )
        return self

    @property
    def mults(self) -> tuple[int, ...]:
        """`channel_mults` as numbers."""
        return tuple(int(part) for part in self.channel_mults.split("-"))

    @property
    def uses_dip(self) -> bool:
        """True when the method fits a Deep Image Prior."""
        return self.method != "ddpm"

    @property
    def uses_ddpm(self) -> bool:
        """True when the method trains a denoiser."""
        return self.method != "dip"
