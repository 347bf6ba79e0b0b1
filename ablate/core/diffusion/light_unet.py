"""A U-Net that does most of its work at half the resolution: half the price of `UNet` with the same channels.

Going down, full resolution has one convolution and no block; coming back, one block. In between a strided convolution
halves the image, and one convolution with four times the channels doubles it again (pixel shuffle, Shi et al. 2016),
where `UNet` convolves the doubled image. Layers, embedding and initial weights are those of `UNet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.core.diffusion.unet import (
    EPS,
    Downsample,
    ResidualBlock,
    SelfAttention,
    conv,
    groups_of,
    linear,
    through,
    timestep_embedding,
)


class LightUNet(nn.Module):
    """Predicts noise, x_0 or v from (x_t, t).

    Every resolution below the first has `blocks` residual blocks on the way down, and each above the lowest has one on
    the way up. With `middle_attention`, self-attention follows the lowest blocks.
    """

    def __init__(
        self,
        *,
        channels: int,
        mults: Sequence[int],
        blocks: int,
        middle_attention: bool = False,
        dropout: float = 0.0,
        image_channels: int = 3,
        guided: bool = False,
    ) -> None:
        super().__init__()
        groups, embedding = groups_of(channels), 4 * channels
        self.channels = channels
        self.time1 = linear(channels, embedding)
        self.time2 = linear(embedding, embedding)
        self.entry = conv(image_channels * (2 if guided else 1), channels)
        steps = list(pairwise(channels * mult for mult in mults))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for above, width in steps:
            stack: list[nn.Module] = [Downsample(above, width)]
            stack += [ResidualBlock(width, width, embedding, groups, dropout) for _ in range(blocks)]
            self.down.append(nn.ModuleList(stack))
        self.middle = SelfAttention(steps[-1][1], groups) if middle_attention else nn.Identity()
        for above, width in reversed(steps):
            block = ResidualBlock(2 * above, above, embedding, groups, dropout)
            self.up.append(nn.ModuleList([conv(width, 4 * above), nn.PixelShuffle(2), block]))
        self.norm = nn.GroupNorm(groups, channels, eps=EPS)
        self.exit = conv(channels, image_channels, zero=True)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """[N,C,H,W], t [N] (1..T) -> [N,C,H,W]."""
        features = timestep_embedding(t, self.channels).to(self.time1.weight.dtype)
        time = F.silu(self.time2(F.silu(self.time1(features))))
        h = self.entry(x)
        skips = []
        for layers in self.down:
            skips.append(h)
            h = through(layers, h, time)
        h = self.middle(h)
        for widen, shuffle, block in (tuple(layers.children()) for layers in self.up):
            h = block(torch.cat([shuffle(widen(h)), skips.pop()], dim=1), time)
        out: Tensor = self.exit(F.silu(self.norm(h)))
        return out
