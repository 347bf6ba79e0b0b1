"""The time-conditioned U-Net of DDPM (Ho, Jain and Abbeel 2020, appendix B), at any size.

With 128 channels, mults (1, 2, 2, 2), 2 blocks and attention at 16 pixels it is theirs: 35,746,307 parameters. Smaller
settings give the networks that train in CPU minutes. Layers are initialised as there: Xavier uniform, biases 0, and
0 for the last layer of every residual branch and of the network, so that an untrained network predicts 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-6
"""Of every group norm."""


def timestep_embedding(t: Tensor, size: int) -> Tensor:
    """Sinusoidal features of the step: [N] -> [N,size] float32; sines, then cosines, of rates 1 down to 1/10000."""
    half = size // 2
    rates = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * (-math.log(10_000.0) / (half - 1)))
    angles = t.float()[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _initialise(layer: nn.Conv2d | nn.Linear, *, zero: bool) -> None:
    nn.init.zeros_(layer.weight) if zero else nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def conv(inside: int, outside: int, size: int = 3, *, zero: bool = False) -> nn.Conv2d:
    """Return a convolution that keeps the size; with `zero` it answers 0 until it is trained."""
    layer = nn.Conv2d(inside, outside, size, padding=size // 2)
    _initialise(layer, zero=zero)
    return layer


def linear(inside: int, outside: int) -> nn.Linear:
    """Return a layer with the initial weights of all others."""
    layer = nn.Linear(inside, outside)
    _initialise(layer, zero=False)
    return layer


def groups_of(channels: int) -> int:
    """Return the groups of a network's norms: 32 as in the paper where that leaves two channels to a group, else 8."""
    groups = 32 if channels % 32 == 0 and channels >= 64 else 8
    if channels % groups:
        raise ValueError(f"{channels} channels cannot be normalised in {groups} groups")
    return groups


class ResidualBlock(nn.Module):
    """norm, swish, conv, add the time embedding, norm, swish, dropout, conv; 1x1 shortcut where channels change."""

    def __init__(self, inside: int, outside: int, embedding: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inside, eps=EPS)
        self.conv1 = conv(inside, outside)
        self.time = linear(embedding, outside)
        self.norm2 = nn.GroupNorm(groups, outside, eps=EPS)
        self.conv2 = conv(outside, outside, zero=True)
        self.dropout = dropout
        self.shortcut = conv(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x: Tensor, activated_time: Tensor) -> Tensor:
        """[N,inside,H,W], [N,embedding] -> [N,outside,H,W]."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(activated_time)[:, :, None, None]
        h = F.silu(self.norm2(h))
        if self.dropout:
            h = F.dropout(h, self.dropout, self.training)
        out: Tensor = self.shortcut(x) + self.conv2(h)
        return out


class SelfAttention(nn.Module):
    """Single-head self-attention over all positions, with a residual connection."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=EPS)
        self.query, self.key, self.value = (conv(channels, channels, 1) for _ in range(3))
        self.out = conv(channels, channels, 1, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] -> [N,C,H,W]."""
        n, c, height, width = x.shape
        h = self.norm(x)
        query, key, value = (layer(h).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, c, height, width)
        out: Tensor = x + self.out(mixed)
        return out


class Downsample(nn.Module):
    """Strided 3x3 convolution that halves the resolution, padded at the right and at the bottom."""

    def __init__(self, channels: int, outside: int | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, outside or channels, 3, stride=2)
        _initialise(self.conv, zero=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] -> [N,outside,H/2,W/2]."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Nearest-neighbour doubling, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] -> [N,C,2H,2W]."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class UNet(nn.Module):
    """Predicts noise, x_0 or v from (x_t, t).

    `attention` is the resolution (pixels) at which every block is followed by self-attention, 0 for none; with
    `middle_attention` there is also one at the bottom. `channels` must be a multiple of 8. A `guided` network takes
    twice the image's channels: x_t, then the image that guides it.
    """

    def __init__(
        self,
        *,
        channels: int,
        mults: Sequence[int],
        blocks: int,
        attention: int = 0,
        middle_attention: bool = True,
        dropout: float = 0.0,
        image_size: int = 32,
        image_channels: int = 3,
        guided: bool = False,
    ) -> None:
        super().__init__()
        groups = groups_of(channels)
        self.channels = channels
        embedding = 4 * channels
        self.time1 = linear(channels, embedding)
        self.time2 = linear(embedding, embedding)
        self.entry = conv(image_channels * (2 if guided else 1), channels)

        def stack(inside: int, outside: int, size: int) -> nn.ModuleList:
            layers: list[nn.Module] = [ResidualBlock(inside, outside, embedding, groups, dropout)]
            if size == attention:
                layers.append(SelfAttention(outside, groups))
            return nn.ModuleList(layers)

        widths = [channels * mult for mult in mults]
        skips = [channels]
        size, width = image_size, channels
        self.down = nn.ModuleList()
        for level, outside in enumerate(widths):
            for _ in range(blocks):
                self.down.append(stack(width, outside, size))
                width = outside
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(nn.ModuleList([Downsample(width)]))
                skips.append(width)
                size //= 2
        middle: list[nn.Module] = [ResidualBlock(width, width, embedding, groups, dropout)]
        if middle_attention:
            middle.append(SelfAttention(width, groups))
        self.middle = nn.ModuleList([*middle, ResidualBlock(width, width, embedding, groups, dropout)])
        self.up = nn.ModuleList()
        for level, outside in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(stack(width + skips.pop(), outside, size))
                width = outside
            if level:
                self.up.append(nn.ModuleList([Upsample(width)]))
                size *= 2
        self.norm = nn.GroupNorm(groups, width, eps=EPS)
        self.exit = conv(width, image_channels, zero=True)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """[N,C,H,W], t [N] (1..T) -> [N,C,H,W]."""
        features = timestep_embedding(t, self.channels).to(self.time1.weight.dtype)
        time = F.silu(self.time2(F.silu(self.time1(features))))
        h = self.entry(x)
        skips = [h]
        for layers in self.down:
            h = through(layers, h, time)
            skips.append(h)
        h = through(self.middle, h, time)
        for layers in self.up:
            if not isinstance(next(layers.children()), Upsample):
                h = torch.cat([h, skips.pop()], dim=1)
            h = through(layers, h, time)
        out: Tensor = self.exit(F.silu(self.norm(h)))
        return out


def through(layers: nn.Module, h: Tensor, time: Tensor) -> Tensor:
    """Apply `layers` one after the other; blocks see the time as well."""
    for layer in layers.children():
        h = layer(h, time) if isinstance(layer, ResidualBlock) else layer(h)
    return h
