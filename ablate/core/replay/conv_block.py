"""Blocks of two 3x3 convolutions of three channels as one function of torch, on a CPU: see `chain_kernels`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def pays(x: Tensor) -> bool:
    """True where images `x` can be put through blocks by `apply`: float32 [N,3,32,32] on a CPU."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and x.shape[1:] == (3, 32, 32)


def apply(nets: Iterable[nn.Module], x: Tensor, noise: Tensor | None = None, sigma: Tensor | None = None) -> Tensor:
    """Put `x` [N,3,32,32] through blocks net_b = convolution, ReLU, convolution, one after the other.

    A block is x + sigma n_b - net_b(x), with `noise` [B,N,32,32,3] and `sigma` [N]; or net_b(x) without noise. Torch's
    own operations give the same within rounding.
    """
    layers = [layer for net in nets for layer in net.children() if isinstance(layer, nn.Conv2d)]
    weight = torch.stack([layer.weight for layer in layers]).view(-1, 2, 3, 3, 9)
    bias = torch.stack([layer.bias for layer in layers if layer.bias is not None]).view(-1, 2, 3)
    noise = x.new_zeros(0, 1, 1, 1, 1) if noise is None else noise
    sigma = x.new_zeros(len(x)) if sigma is None else sigma
    differentiated = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    result: Tensor = _Chain.apply(x, weight, bias, noise, sigma, differentiated)
    return result


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, noise: Tensor, sigma: Tensor, differentiated: bool
    ) -> Tensor:
        from ablate.core.replay import conv_block_numba as kernels

        kept = x.new_empty(len(x) if differentiated else 1, len(weight), 2, kernels.CHANNELS, kernels.PLANE)
        out = torch.empty(x.shape)
        inputs = (x.detach(), noise, sigma, weight.detach(), bias.detach())
        kernels.forward(*(one.contiguous().numpy() for one in (*inputs, kept, out)))
        ctx.save_for_backward(weight, kept)
        ctx.residual = len(noise) > 0
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from ablate.core.replay import conv_block_numba as kernels

        weight, kept = ctx.saved_tensors
        sign = weight.new_tensor([1.0, -1.0 if ctx.residual else 1.0])  # a residual block subtracts what comes out
        # The gradient of a convolution goes back by the kernel turned around, inputs and outputs exchanged.
        turned = weight.flip(4).transpose(2, 3) * sign[:, None, None, None]
        for_weight, for_bias = torch.zeros_like(weight), weight.new_zeros(weight.shape[:3])
        for_x = torch.empty(gradient.shape) if ctx.needs_input_grad[0] else gradient.new_empty(0, 1, 1, 1)
        given, kernel = (one.contiguous().numpy() for one in (gradient, turned))
        results = (one.numpy() for one in (for_weight, for_bias, for_x))
        kernels.backward(given, kernel, kept.numpy(), ctx.residual, *results)
        for_weight *= sign[:, None, None, None]
        for_bias *= sign[:, None]
        return for_x if len(for_x) else None, for_weight, for_bias, None, None, None
