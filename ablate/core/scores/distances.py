"""Euclidean distances between many images or feature vectors, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 1024


def squared_distance_blocks(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows of `a`, squared distances float64 [rows, M]) of `a` [N,D] to `b` [M,D].

    Integers stay exact in float64, so distances between uint8 images are, and a copy is at distance 0. Both may be any
    dtype; they are converted block by block, so that bytes stay bytes in memory.
    """
    squares = torch.cat([part.double().square().sum(1) for part in _blocks(b)])
    for first in range(0, len(a), BLOCK):
        rows = slice(first, min(first + BLOCK, len(a)))
        block = a[rows].double()
        inner = torch.cat([block @ part.double().T for part in _blocks(b)], 1)
        yield rows, (block.square().sum(1, keepdim=True) + squares - 2 * inner).clamp_(min=0)


def _blocks(rows: Tensor) -> Iterator[Tensor]:
    return (rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK))


def nearest(a: Tensor, b: Tensor, k: int, *, same: bool = False) -> Tensor:
    """Return the distances of every row of `a` to its `k` nearest rows of `b`, float64 [N,k], ascending.

    `same` says that `a` is `b`: nobody is a neighbour of itself (a duplicate is).
    """
    available = len(b) - same
    if not 1 <= k <= available:
        raise ValueError(f"{k} neighbours asked of {available}")
    found = []
    for rows, squared in squared_distance_blocks(a, b):
        if same:
            index = torch.arange(rows.start, rows.stop, device=squared.device)
            squared[index - rows.start, index] = torch.inf
        found.append(squared.topk(k, largest=False).values.sqrt())
    return torch.cat(found)
