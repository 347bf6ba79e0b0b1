"""The network that the settings name, with weights addressed by the seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ablate.core.diffusion.light_unet import LightUNet
from ablate.core.diffusion.unet import UNet
from ablate.core.shared.seeding import address


def build_unet(
    *,
    channels: int,
    mults: Sequence[int],
    blocks: int,
    attention: str,
    dropout: float,
    image_size: int,
    seed: int,
    image_channels: int = 3,
    guided: bool = False,
    kind: str = "standard",
) -> UNet | LightUNet:
    """Build the U-Net named by the settings, with weights addressed by `seed`; global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(address(seed, "weights"))
        if kind == "light":
            return LightUNet(
                channels=channels,
                mults=mults,
                blocks=blocks,
                middle_attention=attention != "none",
                dropout=dropout,
                image_channels=image_channels,
                guided=guided,
            )
        return UNet(
            channels=channels,
            mults=mults,
            blocks=blocks,
            attention=int(attention) if attention in ("8", "16") else 0,
            middle_attention=attention != "none",
            dropout=dropout,
            image_size=image_size,
            image_channels=image_channels,
            guided=guided,
        )
