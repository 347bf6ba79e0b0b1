"""Convolutions of three channels on a CPU, four neighbouring pixels at a time.

A vector unit holds sixteen numbers, and a pixel of three channels fills three of them. Four pixels of a row fill
twelve: a 3x3 convolution of C channels to D is also one with a 3x6 kernel, stride (1, 4) and 4D outputs, in which each
weight stands four times among zeros. Channels last, its output [N,4D,H,W/4] is the memory of [N,D,H,W], so nothing is
copied. The gradient with respect to the input is such a convolution too, with the kernel turned around, which is four
times as fast as asking for the gradient of the strided one. What it gains is in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

PIXELS = 4
_TAPS = PIXELS + 2
_COLUMNS = torch.tensor([k - p + PIXELS - 1 for p in range(PIXELS) for k in range(_TAPS)])
"""[pixel p of the output's four, tap k]: which column of a kernel with three columns of zeros on either side."""


class Kernel(NamedTuple):
    """A convolution [D,C,3,3] with padding 1, for four pixels at a time."""

    weight: Tensor
    """[4D,C,3,6], channels last."""
    bias: Tensor
    """[4D]."""
    turned: Tensor
    """[4C,D,3,6]: the kernel that takes a gradient back to the input; nothing flows back into it."""


def pays(x: Tensor) -> bool:
    """True where images `x` [N,C,H,W] of few channels are better convolved four pixels at a time."""
    return x.device.type == "cpu" and x.shape[3] % PIXELS == 0


def kernels(convolutions: Sequence[nn.Conv2d]) -> list[Kernel]:
    """The kernels of 3x3 convolutions of equal shape, all at once: a call for each would cost what is gained."""
    weights = torch.stack([convolution.weight for convolution in convolutions])
    biases = torch.stack([one.bias for one in convolutions if one.bias is not None]).repeat(1, PIXELS)
    turned = _wide(weights.detach().flip(3, 4).transpose(1, 2))
    return [Kernel(*parts) for parts in zip(_wide(weights), biases, turned, strict=True)]


def pair(x: Tensor, first: Kernel, second: Kernel) -> Tensor:
    """Convolution, ReLU, convolution: [N,C,H,W] -> [N,D,H,W], channels last. `W` is a multiple of four."""
    result: Tensor = _Pair.apply(x, *first, *second)
    return result


def _wide(weights: Tensor) -> Tensor:
    """[B,D,C,3,3] -> [B,4D,C,3,6] with output p*D + d for pixel p, channels innermost in memory."""
    count, outputs, inputs = weights.shape[:3]
    columns = F.pad(weights, (PIXELS - 1, PIXELS - 1)).index_select(4, _COLUMNS)
    apart = columns.view(count, outputs, inputs, 3, PIXELS, _TAPS).permute(0, 4, 1, 3, 5, 2)
    return apart.reshape(count, PIXELS * outputs, 3, _TAPS, inputs).permute(0, 1, 4, 2, 3)


class _Pair(torch.autograd.Function):
    """Both convolutions in one function: what surrounds a function in Python takes a tenth of a convolution's time."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        turned: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        turned2: Tensor,
    ) -> Tensor:
        hidden = _pixels(_strided(x, weight, bias).relu_())
        ctx.save_for_backward(x, weight, turned, hidden, weight2, turned2)
        return _pixels(_strided(hidden, weight2, bias2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, turned, hidden, weight2, turned2 = ctx.saved_tensors
        for_weight2, for_bias2 = _for_kernel(gradient, hidden, weight2)
        for_hidden = _pixels(_strided(gradient, turned2, None))
        for_hidden = torch.ops.aten.threshold_backward(for_hidden, hidden, 0)
        for_weight, for_bias = _for_kernel(for_hidden, x, weight)
        for_x = _pixels(_strided(for_hidden, turned, None)) if ctx.needs_input_grad[0] else None
        return for_x, for_weight, for_bias, None, for_weight2, for_bias2, None


def _for_kernel(gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients with respect to a kernel's weight and bias."""
    _, for_weight, for_bias = torch.ops.aten.convolution_backward(
        *(_quads(gradient), x, weight, [len(weight)]),
        *([1, PIXELS], [1, 1], [1, 1], False, [0, 0], 1),
        [False, True, True],
    )
    return for_weight, for_bias


def _strided(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x, weight, bias, stride=(1, PIXELS), padding=1)


def _pixels(quads: Tensor) -> Tensor:
    """[N,4D,H,W/4] -> [N,D,H,W], the same memory when that is channels last."""
    n, channels, height, width = quads.shape
    return quads.permute(0, 2, 3, 1).reshape(n, height, PIXELS * width, channels // PIXELS).permute(0, 3, 1, 2)


def _quads(pixels: Tensor) -> Tensor:
    """[N,D,H,W] -> [N,4D,H,W/4]."""
    n, channels, height, width = pixels.shape
    return pixels.permute(0, 2, 3, 1).reshape(n, height, width // PIXELS, PIXELS * channels).permute(0, 3, 1, 2)
