"""Exponential moving average of weights, with a ramp for short trainings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def ema_decay_at(update: int, decay: float) -> float:
    """Decay used after `update` (1-based): min(decay, (1 + n) / (10 + n)).

    With a fixed decay of 0.9999, 82 % of the average after 2,000 updates would be the untrained network.
    """
    return min(decay, (1 + update) / (10 + update))


class Ema:
    """A second set of weights that follows the network's."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = list(module.parameters())
        self.weights: list[Tensor] = [weight.detach().clone() for weight in self._live]

    @torch.no_grad()
    def update(self, update: int) -> None:
        """Move the average towards the weights after the `update`-th optimiser step (1-based)."""
        torch._foreach_lerp_(self.weights, [w.detach() for w in self._live], 1.0 - ema_decay_at(update, self.decay))

    @torch.no_grad()
    def load(self, weights: Sequence[Tensor]) -> None:
        """Replace the average by saved weights."""
        for mine, saved in zip(self.weights, weights, strict=True):
            mine.copy_(saved)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Run the block with the averaged weights in the network; the trained ones come back afterwards."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for live, mine in zip(self._live, self.weights, strict=True):
            kept = live.detach().clone()
            live.copy_(mine)
            mine.copy_(kept)

    @torch.no_grad()
    def use(self) -> None:
        """Leave the averaged weights in the network for good."""
        for live, mine in zip(self._live, self.weights, strict=True):
            live.copy_(mine)
