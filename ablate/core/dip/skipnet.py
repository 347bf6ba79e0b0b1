"""The generators of the Deep Image Prior, as a bank: N independent networks of one architecture in one program.

Every layer works on [1, N*C, H, W] with N groups. A batch of one and N groups of channels make batch normalisation
use each image's own statistics and each convolution its own weights, so network i computes what it would compute
alone. Parameters are stacked, [N, ...], which makes Adam on the bank N independent Adams.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Architecture = Literal["skip", "decoder"]


class Conv(nn.Module):
    """N convolutions side by side, reflection padding so that only the stride changes the size."""

    def __init__(self, count: int, channels_in: int, channels: int, size: int, *, stride: int = 1, bias: bool = True):
        super().__init__()
        self.count, self.size, self.stride = count, size, stride
        self.weight = nn.Parameter(torch.empty(count, channels, channels_in, size, size))
        self.bias = nn.Parameter(torch.empty(count, channels)) if bias else None

    def draw(self, member: int, generator: torch.Generator) -> None:
        """Initialise one network's weights uniformly within 1/sqrt(fan in)."""
        bound = 1 / math.sqrt(self.weight[0, 0].numel())
        for parameter in self.parameters():
            parameter[member] = torch.empty(parameter.shape[1:]).uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """[1, N*channels_in, H, W] -> [1, N*channels, H/stride, W/stride]."""
        if self.size > 1:
            radius = self.size // 2
            x = F.pad(x, (radius,) * 4, mode="reflect") if x.device.type == "cpu" else mirrored(x, radius)
        bias = None if self.bias is None else self.bias.flatten()
        return F.conv2d(x, self.weight.flatten(0, 1), bias, stride=self.stride, groups=self.count)


def mirrored(x: Tensor, radius: int) -> Tensor:
    """Pad [1,C,H,W] by `radius` pixels on every side, mirrored about the outermost ones, as torch's padding does.

    For GPUs: the gradients of slices add up in one order. Those of torch's own padding do not there, and torch refuses
    it under deterministic algorithms.
    """
    for dim in (2, 3):
        last = x.shape[dim] - 1
        before = [x.narrow(dim, place, 1) for place in range(radius, 0, -1)]
        after = [x.narrow(dim, last - place, 1) for place in range(1, radius + 1)]
        x = torch.cat([*before, x, *after], dim)
    return x


class Norm(nn.Module):
    """N batch normalisations side by side, each over the pixels of its own image."""

    def __init__(self, count: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(count, channels))
        self.bias = nn.Parameter(torch.zeros(count, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[1, N*channels, H, W] -> same."""
        return F.batch_norm(x, None, None, self.weight.flatten(), self.bias.flatten(), training=True)


class Leaky(nn.Module):
    """Leaky ReLU with slope 0.2."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> same."""
        return F.leaky_relu(x, 0.2)


class Up(nn.Module):
    """Bilinear enlargement by 2."""

    def forward(self, x: Tensor) -> Tensor:
        """[1, C, H, W] -> [1, C, 2H, 2W]."""
        return F.interpolate(x, scale_factor=2, mode="bilinear") if x.device.type == "cpu" else doubled(x)


def doubled(x: Tensor) -> Tensor:
    """Enlarge [1,C,H,W] bilinearly by 2, as torch does, in two matrix products.

    For GPUs: under deterministic algorithms torch takes indexing there, whose gradient sorts all indices.
    """
    rows, columns = (_doubling(side, x.dtype, x.device) for side in x.shape[2:])
    larger: Tensor = rows @ x @ columns.T
    return larger


@cache
def _doubling(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[2 side, side]: what every pixel of a line gives to those of a line twice as long."""
    return F.interpolate(torch.eye(side, dtype=dtype)[None], scale_factor=2, mode="linear")[0].T.to(device)


class SkipScale(nn.Module):
    """One scale of the hourglass: a narrow way across, and a way down, through all smaller scales, and up again."""

    def __init__(self, count: int, channels_in: int, channels: int, skip: int, inner: nn.Module | None):
        super().__init__()
        self.count = count
        self.across = nn.Sequential(Conv(count, channels_in, skip, 1), Norm(count, skip), Leaky())
        self.down = nn.Sequential(
            Conv(count, channels_in, channels, 3, stride=2),
            Norm(count, channels),
            Leaky(),
            Conv(count, channels, channels, 3),
            Norm(count, channels),
            Leaky(),
        )
        self.inner = inner or nn.Identity()
        self.up = Up()
        self.join = nn.Sequential(
            Norm(count, skip + channels),
            Conv(count, skip + channels, channels, 3),
            Norm(count, channels),
            Leaky(),
            Conv(count, channels, channels, 1),
            Norm(count, channels),
            Leaky(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[1, N*channels_in, H, W] -> [1, N*channels, H, W]; H and W even."""
        joined: Tensor = self.join(_beside(self.across(x), self.up(self.inner(self.down(x))), self.count))
        return joined


def _beside(a: Tensor, b: Tensor, count: int) -> Tensor:
    """Concatenate channels network by network: [1,N*A,H,W] and [1,N*B,H,W] -> [1,N*(A+B),H,W]."""
    by_network = [part.view(count, -1, *part.shape[2:]) for part in (a, b)]
    return torch.cat(by_network, dim=1).flatten(0, 1).unsqueeze(0)


class Bank(nn.Module):
    """N freshly drawn generators that map their own code z to their own image in [0,1]."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        count: int,
        channels: int,
        scales: int,
        skip: int = 4,
        code_channels: int = 32,
        image_channels: int = 3,
    ):
        super().__init__()
        self.count, self.image_channels = count, image_channels
        self.code_channels = code_channels if architecture == "skip" else channels
        self.code_shrink = 1 if architecture == "skip" else 2**scales
        """How many times smaller than the image the code is."""
        layers = (
            [_hourglass(count, code_channels, channels, scales, skip), Conv(count, channels, image_channels, 1)]
            if architecture == "skip"
            else [*_decoder(count, channels, scales), Conv(count, channels, image_channels, 1, bias=False)]
        )
        self.layers = nn.Sequential(*layers, nn.Sigmoid())

    def draw(self, generators: Sequence[torch.Generator]) -> None:
        """Initialise network i from ``generators[i]``; normalisations start as they are."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, Conv):
                    for member, generator in enumerate(generators):
                        module.draw(member, generator)

    def forward(self, code: Tensor) -> Tensor:
        """[1, N*code_channels, H/shrink, W/shrink] -> images [N,3,H,W] in [0,1]."""
        images: Tensor = self.layers(code)
        return images.view(self.count, self.image_channels, *images.shape[2:])

    def size_of_one(self) -> int:
        """Number of parameters of each network."""
        return sum(parameter[0].numel() for parameter in self.parameters())


def _hourglass(count: int, code_channels: int, channels: int, scales: int, skip: int) -> nn.Module:
    """The skip network of Ulyanov, Vedaldi, Lempitsky (2018), built from the smallest scale outwards."""
    inner: nn.Module | None = None
    for scale in reversed(range(scales)):
        inner = SkipScale(count, channels if scale else code_channels, channels, skip, inner)
    assert inner is not None
    return inner


def _decoder(count: int, channels: int, scales: int) -> Iterator[nn.Module]:
    """The deep decoder of Heckel and Hand (2019): 1x1 convolutions and enlargements, fewer parameters than pixels."""
    for scale in range(scales + 1):
        yield Conv(count, channels, channels, 1, bias=False)
        if scale < scales:
            yield Up()
        yield nn.ReLU()
        yield Norm(count, channels)
