"""A network's forward pass as a compiled program that all trainings of its shape share within a worker.

Weights are inputs, so that another trial's network is no other program: torch would trace a network per module and
give up after eight of them. Trials keep their networks, whose parameters have their plain names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

_MOST_PROGRAMS = 6
"""torch gives up on a function after eight programs; all are forgotten before that."""

_programs: dict[str, Program] = {}

Forward = Callable[[Tensor, Tensor], Tensor]
"""(what the network is shown [N,C,H,W], t int64 [N]) -> its output [N,C,H,W]."""


class Program:
    """The compiled forward pass, and with it the backward pass, of networks shaped like one."""

    def __init__(self, network: nn.Module) -> None:
        shape = copy.deepcopy(network).to("meta").train()
        sizes = {name: weight.dim() for name, weight in shape.named_parameters()}

        def forward(weights: dict[str, Tensor], shown: Tensor, t: Tensor) -> Tensor:
            # A single lane gives [1,...]: its views would not be leaves, which torch does not trace without a warning.
            own = {name: weight[0] if weight.dim() > sizes[name] else weight for name, weight in weights.items()}
            output: Tensor = functional_call(shape, own, (shown, t))
            return output

        self._forward = torch.compile(forward, dynamic=False, fullgraph=True)

    def __call__(self, weights: Mapping[str, Tensor], shown: Tensor, t: Tensor) -> Tensor:
        """Apply the network with `weights` by name, those of a single lane as [1,...].

        Every size of batch would be a program of its own: use one.
        """
        output: Tensor = self._forward(dict(weights), shown, t)
        return output

    def of(self, network: nn.Module) -> Forward:
        """Return the forward pass of one network."""
        return lambda shown, t: self(dict(network.named_parameters()), shown, t)


def program_of(key: str, network: nn.Module) -> Program:
    """Return the program of all networks with the `key` (see `ablate.interface.Stage.program`), compiled or not yet."""
    if key not in _programs:
        if len(_programs) >= _MOST_PROGRAMS:
            forget_programs()
        _programs[key] = Program(network)
    return _programs[key]


def forget_programs() -> None:
    """Let go of every program of this process; what is on disk stays."""
    _programs.clear()
    torch.compiler.reset()
