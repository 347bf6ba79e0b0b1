"""The founding report's two networks, with their noise drawn from an addressed generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ablate.core.replay import conv_block

CHANNELS = 3


def _autoencoder() -> nn.Sequential:
    """Two 3x3 convolutions of 3 channels: 168 parameters. The report's "DIP", and the core of each of its blocks."""
    return nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, kernel_size=3, padding=1),
    )


def draw(network: nn.Module, generator: torch.Generator) -> None:
    """Initialise all convolutions as torch does by default (uniform within 1/sqrt(fan in)), from `generator`."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                bound = 1 / math.sqrt(module.weight[0].numel())
                for parameter in module.parameters():
                    parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))


class Autoencoder(nn.Module):
    """What the report calls DIP: one small network for all images, without code, bottleneck or early stop."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _autoencoder()
        self._layers = conv_block.layers_of([self.net])

    def forward(self, x: Tensor) -> Tensor:
        """[N,3,H,W] -> same. On a CPU without gradients: `loss` has them."""
        out: Tensor = conv_block.apply(self._layers, x) if conv_block.pays(x) else self.net(x)
        return out

    def loss(self, x: Tensor) -> Tensor:
        """Mean squared error of the reconstruction of `x` [N,3,H,W]."""
        if conv_block.pays(x):
            return conv_block.squared_error(self._layers, x, x)
        error: Tensor = (self(x) - x).square().mean()
        return error


class ReplayDenoiser(nn.Module):
    """What the report calls DDPM: blocks x + sigma_t n_b - net_b(x), each with fresh noise, in training and after."""

    def __init__(self, blocks: int, table: Sequence[float], *, identity: bool = False) -> None:
        super().__init__()
        self.blocks = blocks
        self.nets = nn.ModuleList() if identity else nn.ModuleList(_autoencoder() for _ in range(blocks))
        self._layers = conv_block.layers_of(self.nets)
        self.register_buffer("table", torch.tensor(table, dtype=torch.float32), persistent=False)
        self.table: Tensor

    def forward(self, x: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """[N,3,H,W] -> same. `t` is int64 [1] (one level for the batch, as in training) or [N].

        On a CPU without gradients: `loss` has them.
        """
        sigma = self.table[t]
        if self.nets and conv_block.pays(x):
            return conv_block.apply(self._layers, x, conv_block.drawn_key(generator), sigma.expand(len(x)))
        for block, fresh in enumerate(conv_block.noise(self.blocks, x, generator)):
            noisy = torch.addcmul(x, fresh, sigma[:, None, None, None])
            x = noisy - self.nets[block](x) if self.nets else noisy
        return x

    def loss(self, x: Tensor, target: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error against `target` [N,3,H,W] of what `forward` gives for one level `t` [1]."""
        if self.nets and conv_block.pays(x):
            key = conv_block.drawn_key(generator)
            return conv_block.squared_error(self._layers, x, target, key, self.table[t])
        error: Tensor = (self(x, t, generator) - target).square().mean()
        return error
