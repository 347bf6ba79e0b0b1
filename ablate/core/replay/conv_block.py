"""Blocks of two 3x3 convolutions of three channels as functions of torch, on a CPU: see `conv_block_numba`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def pays(x: Tensor) -> bool:
    """True where images `x` can be put through blocks by `apply`: float32 [N,3,32,32] on a CPU."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and x.shape[1:] == (3, 32, 32)


def layers_of(nets: Iterable[nn.Module]) -> tuple[nn.Conv2d, ...]:
    """The convolutions of blocks, as `apply` and `squared_error` take them: to be looked up once, not per update."""
    return tuple(layer for net in nets for layer in net.children() if isinstance(layer, nn.Conv2d))


def noise(blocks: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers for `blocks` blocks on images `x` [N,3,H,W]: float32 [B,N,3,H,W] from `generator`.

    Where `pays` holds, one number is drawn and these follow from it, as they do in `apply` and `squared_error`.
    """
    count, channels, height, width = x.shape
    if not pays(x):  # drawn channels last in one call: twice as fast to fill
        shape = (blocks, count, height, width, channels)
        return torch.randn(shape, generator=generator, device=x.device).permute(0, 1, 4, 2, 3)
    from ablate.core.replay import conv_block_numba as kernels

    made = torch.empty(blocks, *x.shape)
    kernels.normals(drawn_key(generator), made.numpy())
    return made


def drawn_key(generator: torch.Generator) -> Any:
    """Draw what names the noise of one batch: 63 bits, as numpy's uint64."""
    return torch.randint(2**63 - 1, (1,), generator=generator).numpy().view("uint64")[0]


def apply(layers: Sequence[nn.Conv2d], x: Tensor, key: Any = None, sigma: Tensor | None = None) -> Tensor:
    """Put `x` [N,3,32,32] through blocks net_b = convolution, ReLU, convolution, one after the other; no gradients.

    A block is x + sigma n_b - net_b(x), with the noise of `key` (`drawn_key`) and `sigma` [N]; or net_b(x) without.
    Torch's own operations give the same within rounding.
    """
    from ablate.core.replay import conv_block_numba as kernels

    weight, bias = (one.detach().contiguous().numpy() for one in _parameters(layers))
    sigma = x.new_zeros(len(x)) if sigma is None else sigma
    out = torch.empty(x.shape)
    images, levels = (one.detach().contiguous().numpy() for one in (x, sigma))
    kernels.forward(images, _or_zero(key), levels, key is not None, weight, bias, out.numpy())
    return out


def squared_error(
    layers: Sequence[nn.Conv2d], x: Tensor, target: Tensor, key: Any = None, sigma: Tensor | None = None
) -> Tensor:
    """Mean squared error of `apply` against `target` [N,3,32,32]; `sigma` [1] is one level for all images.

    Its gradients reach the networks, not `x`, and are computed with it: an image goes back while it is in the cache.
    """
    weight, bias = _parameters(layers)
    level = x.new_zeros(1) if sigma is None else sigma
    result: Tensor = _SquaredError.apply(weight, bias, x.detach(), target, key, level)
    return result


def _parameters(layers: Sequence[nn.Conv2d]) -> tuple[Tensor, Tensor]:
    """Weights [B,2,3,3,9] and biases [B,2,3]."""
    weight = torch.stack([layer.weight for layer in layers]).view(-1, 2, 3, 3, 9)
    return weight, torch.stack([layer.bias for layer in layers if layer.bias is not None]).view(-1, 2, 3)


def _or_zero(key: Any) -> Any:
    from numpy import uint64

    return uint64(0) if key is None else key


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, x: Tensor, target: Tensor, key: Any, sigma: Tensor) -> Tensor:
        from ablate.core.replay import conv_block_numba as kernels
        from ablate.core.replay.vectors import LANES

        # A residual block subtracts what comes out of its second convolution.
        sign = weight.new_tensor([1.0, -1.0 if key is not None else 1.0])
        # The gradient of a convolution goes back by the kernel turned around, inputs and outputs exchanged.
        turned = weight.flip(4).transpose(2, 3) * sign[:, None, None, None]
        for_weight, for_bias = (weight.new_zeros(*one.shape, LANES) for one in (weight, bias))
        images, wanted, kernel, offset, back = (one.contiguous().numpy() for one in (x, target, weight, bias, turned))
        total = kernels.squares(
            images,
            wanted,
            _or_zero(key),
            sigma.numpy()[0],
            key is not None,
            kernel,
            offset,
            back,
            for_weight.numpy(),
            for_bias.numpy(),
        )
        scale = 2.0 / x.numel()
        ctx.save_for_backward(
            for_weight.sum(-1) * (scale * sign[:, None, None, None]), for_bias.sum(-1) * (scale * sign[:, None])
        )
        return x.new_tensor(total / x.numel())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        for_weight, for_bias = ctx.saved_tensors
        return gradient * for_weight, gradient * for_bias, None, None, None, None
