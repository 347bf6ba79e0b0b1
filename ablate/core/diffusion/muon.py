"""Muon: momentum whose matrices are made orthogonal before they are applied, and Adam for everything else.

Keller Jordan et al. (2024), https://kellerjordan.github.io/posts/muon/: the weights of a convolution are a matrix
[outputs, inputs x height x width]; five Newton-Schulz steps turn its averaged gradient into a matrix whose singular
values are all near one, so every direction of it is learnt at one pace. In a few hundred updates it learns from half
the images what Adam does (measured: docs/decisions/0104-the-first-study-in-a-third.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ablate.core.programs.lanes import AdamMoments, Moments

MOMENTUM = 0.8
ADAM_BETAS = (MOMENTUM, 0.95)
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


def is_matrix(weight: Tensor) -> bool:
    """True for the weights of a convolution that Muon moves; Adam moves the others."""
    return weight.ndim == 4 and min(weight.shape[:2]) >= _SMALLEST_SIDE


def of_one_shape(weights: Mapping[int, Tensor]) -> list[list[int]]:
    """Return the keys of the weights whose matrices have one shape, shape by shape."""
    found: dict[tuple[int, int], list[int]] = {}
    for place, weight in weights.items():
        found.setdefault((weight.shape[0], weight[0].numel()), []).append(place)
    return list(found.values())


def direction(gradient: Tensor, average: Tensor) -> Tensor:
    """Return [N,R,C], R <= C: N averaged gradients [N,outputs,inputs,h,w], a step ahead (Nesterov), as matrices."""
    flat = gradient.lerp(average, MOMENTUM).flatten(2)
    return flat.mT if flat.shape[1] > flat.shape[2] else flat


def shaped_as(weight: Tensor, matrices: Tensor) -> Tensor:
    """Return what `direction` has become, [N,R,C], as N tensors shaped like `weight`."""
    tall = weight.shape[0] > weight[0].numel()
    return (matrices.mT if tall else matrices).reshape(len(matrices), *weight.shape)


def scale_of(weight: Tensor) -> float:
    """Return what an orthogonal matrix is multiplied by, besides lr, to have UPDATE_RMS."""
    return UPDATE_RMS * math.sqrt(max(weight.shape[0], weight[0].numel()))


class Muon:
    """The optimiser of a network: `step` uses the gradients that its parameters have; `param_groups` hold the lr."""

    def __init__(self, network: nn.Module, lr: float) -> None:
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for weight in network.parameters():
            (matrices if is_matrix(weight) else others).append(weight)
        self._matrices = matrices
        self._alike = of_one_shape(dict(enumerate(matrices)))
        self._averages = [torch.zeros_like(weight) for weight in matrices]
        self._place = {weight: place for place, weight in enumerate(matrices)}
        self._adam = torch.optim.Adam(others, lr=lr, betas=ADAM_BETAS, fused=True)
        self._others = AdamMoments(self._adam)
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
            found = orthogonalised(torch.cat([self._direction(place) for place in places]))
            for weight, update in zip((self._matrices[place] for place in places), found, strict=True):
                weight.sub_(shaped_as(weight, update[None])[0], alpha=lr * scale_of(weight))

    def _direction(self, place: int) -> Tensor:
        weight, average = self._matrices[place], self._averages[place]
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        average.lerp_(gradient, 1 - MOMENTUM)
        return direction(gradient[None], average[None])

    def moments(self, weight: nn.Parameter) -> Moments | None:
        """Return the averages that a lane goes on from. A matrix has no average of squares."""
        if (place := self._place.get(weight)) is None:
            return self._others.moments(weight)
        state = next(iter(self._adam.state.values()), {"step": 0})  # Adam has seen as many updates
        return self._averages[place], torch.zeros_like(weight), float(state["step"])

    def set_moments(self, weight: nn.Parameter, first: Tensor, second: Tensor, age: float) -> None:
        """Go on from what a lane has."""
        if (place := self._place.get(weight)) is None:
            self._others.set_moments(weight, first, second, age)
        else:
            self._averages[place] = torch.empty_like(weight).copy_(first)

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
