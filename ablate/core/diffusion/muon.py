"""Muon: momentum whose matrices are made orthogonal before they are applied, and Adam for everything else.

Keller Jordan et al. (2024), https://kellerjordan.github.io/posts/muon/: the weights of a convolution are a matrix
[outputs, inputs x height x width]; five Newton-Schulz steps turn its averaged gradient into a matrix whose singular
values are all near one, so every direction of it is learnt at one pace. In a few hundred updates it learns from half
the images what Adam does (measured: docs/decisions/0104-the-first-study-in-a-third.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.8
ADAM_BETAS = (0.8, 0.95)
"""Shorter averages than usual: a training of some hundred updates changes its mind faster."""
UPDATE_RMS = 0.5
"""Root mean square of an orthogonal update, in units of lr: what Adam's has early in a training, so that one lr serves
both (Liu et al. 2025, arXiv 2502.16982, match the 0.2 of a long training)."""
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic of the iteration; it reaches the neighbourhood of one in five steps and stays there, between 0.7 and 1.2."""
_STEPS = 5
_SMALLEST_SIDE = 4
"""A matrix with fewer rows or columns, such as that of the first and the last layer, is left to Adam."""


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return [N,R,C] with the singular vectors of `matrices` and singular values between about 0.7 and 1.2, R <= C."""
    a, b, c = _COEFFICIENTS
    x: Tensor = matrices / (matrices.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _of_one_shape(weights: list[Tensor]) -> list[list[int]]:
    """Return the positions of the weights whose matrices have one shape, shape by shape."""
    found: dict[tuple[int, int], list[int]] = {}
    for place, weight in enumerate(weights):
        found.setdefault((weight.shape[0], weight[0].numel()), []).append(place)
    return list(found.values())


class Muon:
    """The optimiser of a network: `step` uses the gradients that its parameters have; `param_groups` hold the lr."""

    def __init__(self, network: nn.Module, lr: float) -> None:
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for weight in network.parameters():
            (matrices if weight.ndim == 4 and min(weight.shape[:2]) >= _SMALLEST_SIDE else others).append(weight)
        self._matrices = matrices
        self._alike = _of_one_shape(matrices)
        self._averages = [torch.zeros_like(weight) for weight in matrices]
        self._adam = torch.optim.Adam(others, lr=lr, betas=ADAM_BETAS, fused=True)
        self.param_groups = self._adam.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self._adam.zero_grad(set_to_none)
        for weight in self._matrices:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Do one update with Nesterov momentum. Matrices of one shape are made orthogonal together."""
        self._adam.step()
        lr = float(self.param_groups[0]["lr"])
        for places in self._alike:
            found = orthogonalised(torch.stack([self._direction(place) for place in places]))
            for place, update in zip(places, found, strict=True):
                weight = self._matrices[place]
                update = update.mT if weight.shape[0] > weight[0].numel() else update
                scale = UPDATE_RMS * max(update.shape) ** 0.5
                weight.sub_(update.reshape(weight.shape), alpha=lr * scale)

    def _direction(self, place: int) -> Tensor:
        """The averaged gradient, a step ahead, as a matrix that is no taller than wide."""
        weight, average = self._matrices[place], self._averages[place]
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        average.lerp_(gradient, 1 - MOMENTUM)
        flat = gradient.lerp(average, MOMENTUM).reshape(len(weight), -1)
        return flat.mT if flat.shape[0] > flat.shape[1] else flat

    def state_dict(self) -> dict[str, Any]:
        """All that following updates depend on."""
        return {"adam": self._adam.state_dict(), "averages": self._averages}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._adam.load_state_dict(state["adam"])
        self.param_groups = self._adam.param_groups
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.copy_(saved)


Optimizer = torch.optim.Adam | Muon


def optimizer_for(name: str, network: nn.Module, lr: float) -> Optimizer:
    """Return the optimiser called `name` in the settings, for all parameters of `network`."""
    return Muon(network, lr) if name == "muon" else torch.optim.Adam(network.parameters(), lr=lr)
