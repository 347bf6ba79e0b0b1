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

import torch
from torch import Tensor, nn

from ablate.core.programs.cuda_graphs import graph_of

BETAS, EPS = (0.9, 0.999), 1e-8


class Lanes(ABC):
    """A program of `width` lanes: their parameters, one Adam (Kingma and Ba 2015) for all, and the step.

    Parameters lie one after the other in one flat tensor, each as [K, ...], so that Adam is a handful of kernels.
    """

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
        """Adam, algorithm 1, with the bias corrections of each lane's own age in float64."""
        self.age += 1
        correction1, correction2 = (1 - torch.pow(beta, self.age) for beta in BETAS)
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        scale = self.second.sqrt().div_(self.each(correction2.sqrt())).add_(EPS)
        self.flat.addcdiv_(self.first * self.each(-self.lr / correction1), scale)

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
    def put(self, lane: int, network: nn.Module, adam: torch.optim.Adam) -> None:
        """Seat a training: its weights, and where its Adam stands."""
        for own, mine in self._slices(lane, network):
            state = adam.state.get(own) or {"exp_avg": torch.zeros_like(own), "exp_avg_sq": torch.zeros_like(own)}
            for there, here in zip((own, state["exp_avg"], state["exp_avg_sq"]), mine, strict=True):
                here.copy_(there)
            self.age[lane] = float(state.get("step", 0.0))

    @torch.no_grad()
    def take(self, lane: int, network: nn.Module, adam: torch.optim.Adam) -> None:
        """Give a training's weights and Adam what its lane holds; the lane goes on."""
        age = float(self.age[lane])
        for own, (weight, first, second) in self._slices(lane, network):
            own.copy_(weight)
            step = torch.tensor(age, device=own.device if adam.defaults["fused"] else "cpu")
            adam.state[own] = {"step": step, "exp_avg": _like(own, first), "exp_avg_sq": _like(own, second)}

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
        """Pair every parameter of `network` with its lane's weight and Adam's two averages."""
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
