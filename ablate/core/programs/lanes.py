"""Lanes: trainings of one shape side by side in one program.

Parameters are stacked, [K, ...], and lane k touches slice k only, so what one lane computes does not depend on what the
others hold: another neighbour, an empty lane or one that has gone non-finite changes no bit of it. The width K is
fixed; lanes without a training are empty and cost what a full one costs. Step sizes, Adam's age, data and noise are
inputs of the program, one per lane. On a GPU the whole step is one CUDA graph; every random number is drawn outside of
it, at the address it has for a training alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ablate.core.programs.cuda_graphs import graph_of

EPS = 1e-8

Moments = tuple[Tensor, Tensor, float]
"""Running averages of a weight's gradients and of their squares, shaped like it, and the updates they have seen."""


class MomentsOf(Protocol):
    """An optimiser whose averages a lane can take over, and give back."""

    def moments(self, weight: nn.Parameter) -> Moments | None:
        """Return the averages of one weight; None before the first update. What it does not keep is zero."""

    def set_moments(self, weight: nn.Parameter, first: Tensor, second: Tensor, age: float) -> None:
        """Go on from copies of these."""


class AdamMoments:
    """The averages of torch's Adam."""

    def __init__(self, adam: torch.optim.Adam) -> None:
        self.adam = adam

    def moments(self, weight: nn.Parameter) -> Moments | None:
        """Return its state for `weight`."""
        if not (state := self.adam.state.get(weight)):
            return None
        return state["exp_avg"], state["exp_avg_sq"], float(state["step"])

    def set_moments(self, weight: nn.Parameter, first: Tensor, second: Tensor, age: float) -> None:
        """Replace its state for `weight`."""
        step = torch.tensor(age, device=weight.device if self.adam.defaults["fused"] else "cpu")
        state = {"step": step, "exp_avg": _like(weight, first), "exp_avg_sq": _like(weight, second)}
        self.adam.state[weight] = state


class Lanes(ABC):
    """A program of `width` lanes: their parameters, one Adam (Kingma and Ba 2015) for all, and the step.

    Parameters lie one after the other in one flat tensor, each as [K, ...], so that Adam is a handful of kernels.
    """

    betas = (0.9, 0.999)

    def __init__(self, network: nn.Module, width: int, batch: int, device: torch.device) -> None:
        self.width, self.batch, self.device = width, batch, device
        shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        sizes = [width * shape.numel() for shape in shapes.values()]
        self.flat = torch.zeros(sum(sizes), device=device)
        self.first, self.second = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.parameters = {
            name: part.view(width, *shape).detach().requires_grad_()
            for (name, shape), part in zip(shapes.items(), torch.split(self.flat, sizes), strict=True)
        }
        lanes = [torch.arange(width).repeat_interleave(shape.numel()) for shape in shapes.values()]
        self._lane_of = torch.cat(lanes).to(device)
        self._sizes = sizes
        self.age = torch.zeros(width, dtype=torch.float64, device=device)
        """Updates each lane's Adam has done."""
        self.lr = torch.zeros(width, dtype=torch.float64, device=device)
        self.weight = torch.zeros(width, batch, device=device)
        """What every image counts in its lane's loss: 1/n for the n images of the batch, 0 for places left over."""
        self.losses = torch.zeros(width, device=device)
        """Of the last step."""
        self._graph: torch.cuda.CUDAGraph | None = None

    @abstractmethod
    def loss(self) -> Tensor:
        """Return the loss of every lane, [K], from the inputs and `parameters`."""

    def step(self) -> None:
        """Do one update of every lane with what its inputs hold."""
        if self.device.type != "cuda":
            self._compute()
            return
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._graph.replay()

    def _compute(self) -> None:
        losses = self.loss()
        gradients = torch.autograd.grad(losses.sum(), list(self.parameters.values()))
        with torch.no_grad():
            self._descend(self.limited(gradients))
            self.losses.copy_(losses)

    def limited(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return the gradients [K,...] as one flat tensor; a subclass may limit their norm."""
        return torch.cat([gradient.reshape(-1) for gradient in gradients])

    def each(self, per_lane: Tensor) -> Tensor:
        """Spread [K] over the flat parameters, as float32."""
        return per_lane.float().index_select(0, self._lane_of)

    def _descend(self, gradient: Tensor) -> None:
        """Move every lane's weights; a subclass may average them too."""
        self._move(gradient)

    def _move(self, gradient: Tensor) -> None:
        """Adam, algorithm 1, with the bias corrections of each lane's own age in float64."""
        first, scale = self._averaged(gradient)
        self.flat.addcdiv_(first, scale)

    def _averaged(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Take the gradient into Adam's averages; return numerator and denominator of what Adam adds to the weights."""
        self.age += 1
        correction1, correction2 = (1 - torch.pow(beta, self.age) for beta in self.betas)
        self.first.lerp_(gradient, 1 - self.betas[0])
        self.second.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
        scale = self.second.sqrt().div_(self.each(correction2.sqrt())).add_(EPS)
        return self.first * self.each(-self.lr / correction1), scale

    def _everything(self) -> list[Tensor]:
        return [self.flat, self.first, self.second, self.age]

    def _capture(self) -> None:
        """Record the step as a CUDA graph. What warming up changes is put back."""
        kept = [tensor.clone() for tensor in self._everything()]
        graph = graph_of(self._compute)
        for tensor, before in zip(self._everything(), kept, strict=True):
            tensor.copy_(before)
        self._graph = graph

    # ------------------------------------------------------------------ one lane

    @torch.no_grad()
    def put(self, lane: int, network: nn.Module, optimizer: MomentsOf) -> None:
        """Seat a training: its weights, and where its optimiser stands."""
        ages = set()
        for own, mine in self._slices(lane, network):
            first, second, age = optimizer.moments(own) or (torch.zeros_like(own), torch.zeros_like(own), 0.0)
            for there, here in zip((own, first, second), mine, strict=True):
                here.copy_(there)
            ages.add(age)
        (self.age[lane],) = ages  # all weights have seen the same updates

    @torch.no_grad()
    def take(self, lane: int, network: nn.Module, optimizer: MomentsOf) -> None:
        """Give a training's weights and optimiser what its lane holds; the lane goes on."""
        age = float(self.age[lane])
        for own, (weight, first, second) in self._slices(lane, network):
            own.copy_(weight)
            optimizer.set_moments(own, first, second, age)

    @torch.no_grad()
    def clear(self, lane: int) -> None:
        """Empty a lane: its parameters are 0 and its loss counts nothing."""
        for tensor in (self.flat, self.first, self.second):
            for part in self.stacked(tensor):
                part[lane] = 0.0
        self.age[lane], self.lr[lane] = 0.0, 0.0
        self.weight[lane] = 0.0

    def stacked(self, flat: Tensor) -> list[Tensor]:
        """Return views of a flat tensor, one [K,...] per parameter."""
        shaped = zip(self.parameters.values(), torch.split(flat, self._sizes), strict=True)
        return [part.view(parameter.shape) for parameter, part in shaped]

    def _slices(self, lane: int, network: nn.Module) -> list[tuple[nn.Parameter, tuple[Tensor, Tensor, Tensor]]]:
        """Pair every parameter of `network` with its lane's weight and its two averages."""
        weights, firsts, seconds = (self.stacked(tensor) for tensor in (self.flat, self.first, self.second))
        triples = zip(weights, firsts, seconds, strict=True)
        return [
            (own, (weight[lane], first[lane], second[lane]))
            for own, (weight, first, second) in zip(network.parameters(), triples, strict=True)
        ]

    def share(self, lane: int, count: int) -> None:
        """Let the first `count` images of a lane's batch make its loss, each as much as the others."""
        self.weight[lane, :count] = 1.0 / count
        self.weight[lane, count:] = 0.0


def _like(own: Tensor, values: Tensor) -> Tensor:
    """Copy `values` in the memory layout of `own`."""
    return torch.empty_like(own).copy_(values)
