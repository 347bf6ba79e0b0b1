"""The denoiser: its network, its training, its arithmetic."""

from __future__ import annotations

from typing import Literal

from ablate.core.settings.base import factor
from ablate.interface import CoreSettings

ChannelMults = Literal["1", "1-2", "1-1-2", "1-2-2", "1-2-3", "1-2-4", "1-2-2-2", "1-2-2-4", "1-2-3-4"]
Attention = Literal["none", "middle", "8", "16"]


class TrainingSettings(CoreSettings):
    """Optimiser, U-Net and numerics."""

    optimizer: Literal["adam", "muon"] = factor(
        "adam", "how the denoiser's weights follow their gradients; muon learns more from each update, at a higher lr"
    )
    lr: float = factor(2e-3, "step size of the denoiser", gt=0, le=1)
    batch_size: int = factor(16, "training images per update", unit="images", ge=1, le=8192)
    epochs: int = factor(1, "passes over the training images", ge=1, le=100_000)
    warmup_steps: int = factor(100, "updates over which lr rises linearly from 0", unit="steps", ge=0)
    lr_decay: Literal["constant", "cosine"] = factor("constant", "lr after warm-up; cosine falls to 0")
    ema_decay: float = factor(0.995, "decay of the weight average, after the ramp (1+n)/(10+n)", ge=0, lt=1)
    grad_clip: float = factor(1.0, "largest gradient norm; 0 disables clipping", ge=0)

    unet: Literal["standard", "light"] = factor(
        "standard", "the U-Net of Ho et al., or a light one, whose blocks work at half the resolution: half the price"
    )
    channels: int = factor(16, "channels of the U-Net at full resolution", ge=8, le=512, multiple_of=8)
    channel_mults: ChannelMults = factor("1-2", "channels per resolution, as multiples of `channels`")
    blocks: int = factor(1, "residual blocks per resolution", ge=1, le=8)
    attention: Attention = factor(
        "none", "self-attention: none, in the middle only, or also at this resolution (pixels)"
    )
    dropout: float = factor(0.0, "dropout probability in the residual blocks", ge=0, lt=1)

    precision: Literal["fp32", "tf32", "bf16"] = factor("fp32", "precision of the denoiser's training and sampling")
    deterministic: bool = factor(True, "use only deterministic algorithms")

    @property
    def mults(self) -> tuple[int, ...]:
        """`channel_mults` as numbers."""
        return tuple(int(part) for part in self.channel_mults.split("-"))
