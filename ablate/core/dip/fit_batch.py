"""Several Deep Image Prior fits as one program: their networks side by side, everything else each fit's own.

A fit keeps its weights, its Adam, its streams, its stop rule and its state; only the passes through the networks are
shared. Row i of the program computes what row i of a bank computes, so a companion, also one that has gone non-finite,
changes no bit of a fit. What may change bits is how many rows there are: see `least_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from ablate.core.dip.fit import Fitting
from ablate.core.dip.skipnet import Bank


class DipProgram:
    """Does one step of fits whose networks have one shape."""

    def __init__(self, least: int = 0) -> None:
        """Rows that no fit needs are added, empty, up to `least`."""
        self.least = least
        self._banks: dict[int, Bank] = {}

    def descend(self, fits: Sequence[Fitting]) -> list[tuple[Tensor, Tensor]]:
        """One step of every fit; for each what `Fitting.descend` returns.

        The losses are summed: every network descends its own loss as if alone.
        """
        counts = [fit.bank.count for fit in fits]
        empty = max(self.least - sum(counts), 0)
        if len(fits) == 1 and not empty:
            return [fits[0].descend()]
        outputs = torch.split(self._outputs(fits, sum(counts), empty), [*counts, empty])
        losses = [fit.losses(output) for fit, output in zip(fits, outputs, strict=False)]
        for fit in fits:
            fit.adam.zero_grad()
        torch.autograd.backward(torch.cat(losses).sum())
        for fit in fits:
            fit.adam.step()
        return [(output.detach(), loss.detach()) for output, loss in zip(outputs, losses, strict=False)]

    def _outputs(self, fits: Sequence[Fitting], rows: int, empty: int) -> Tensor:
        """Images [rows + empty,3,H,W] of all networks."""
        code = _with_empty([fit.codes() for fit in fits], empty)
        weights = {name: _with_empty([fit.weights[name] for fit in fits], empty) for name in fits[0].weights}
        outputs: Tensor = functional_call(self._bank(fits[0], rows + empty), weights, code.flatten(0, 1).unsqueeze(0))
        return outputs

    def _bank(self, like: Fitting, rows: int) -> Bank:
        """A bank of so many rows whose own weights are never used."""
        if rows not in self._banks:
            with torch.device("meta"):
                self._banks[rows] = like.new_bank(rows)
        return self._banks[rows]


def _with_empty(parts: Sequence[Tensor], empty: int) -> Tensor:
    """Stack [n_i, ...] and `empty` rows of zeros."""
    zeros = [parts[0].new_zeros(empty, *parts[0].shape[1:])] if empty else []
    return torch.cat([*parts, *zeros])
