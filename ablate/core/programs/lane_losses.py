"""Losses of many steps, read from the device without making it wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor

_GPU_STEPS = 16
"""Losses of this many steps are copied together, and read when the next such copy is on its way."""

Owner = TypeVar("Owner")
Entry = tuple[Owner, int, float]
"""(whose loss, the step it belongs to, its value)."""


class LossReader(Generic[Owner]):
    """Collects the losses [K] of every step and hands them out a little later, in order. On CPU: at once."""

    def __init__(self, device: torch.device) -> None:
        self._every = _GPU_STEPS if device.type == "cuda" else 1
        self._steps: list[Tensor] = []
        self._owners: list[dict[int, tuple[Owner, int]]] = []
        self._copies: deque[tuple[Tensor, torch.cuda.Event | None, list[dict[int, tuple[Owner, int]]]]] = deque()

    def add(self, losses: Tensor, owners: Mapping[int, tuple[Owner, int]]) -> list[Entry[Owner]]:
        """Note a step's losses, `owners` lane -> (whose, step), and return what can be read without waiting."""
        self._steps.append(losses.clone())
        self._owners.append(dict(owners))
        if len(self._steps) < self._every:
            return []
        self._send()
        return self._read(keep=1 if self._every > 1 else 0)

    def drain(self) -> list[Entry[Owner]]:
        """Return everything that has not been handed out; waits for the device."""
        if self._steps:
            self._send()
        return self._read(keep=0)

    def _send(self) -> None:
        stacked = torch.stack(self._steps)
        event = None
        if stacked.device.type == "cuda":
            host = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
            stacked = host.copy_(stacked, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._copies.append((stacked, event, self._owners))
        self._steps, self._owners = [], []

    def _read(self, keep: int) -> list[Entry[Owner]]:
        found: list[Entry[Owner]] = []
        while len(self._copies) > keep:
            values, event, owners = self._copies.popleft()
            if event is not None:
                event.synchronize()
            for row, who in zip(values.tolist(), owners, strict=True):
                found += [(owner, step, row[lane]) for lane, (owner, step) in who.items()]
        return found
