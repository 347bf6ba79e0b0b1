"""Kernel distance (Binkowski et al. 2018): unbiased squared MMD with the cubic kernel (a.b / D + 1)^3.

Unbiased: zero on average for equal distributions whatever N, and therefore sometimes negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1024


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Return the full U-statistic of features `a` [N,D] and `b` [M,D], float64; at least two images each."""
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError("the unbiased kernel distance needs at least two images each")
    first, second = a.double(), b.double()
    within_a = (_kernel_sum(first, first) - _diagonal_sum(first)) / (n * (n - 1))
    within_b = (_kernel_sum(second, second) - _diagonal_sum(second)) / (m * (m - 1))
    return within_a + within_b - 2 * _kernel_sum(first, second) / (n * m)


def kernel_distance_subsets(a: Tensor, b: Tensor, *, subsets: int, size: int, generator: torch.Generator) -> Tensor:
    """Return the U-statistic of `subsets` random subsets of `size` images (drawn without replacement), float64 [S].

    Their mean is an unbiased estimate too; their standard deviation shows how far single subsets scatter, which is not
    the standard error of the mean, because subsets overlap.
    """
    if size > min(len(a), len(b)):
        raise ValueError(f"subsets of {size} images from {min(len(a), len(b))}")

    def drawn(features: Tensor) -> Tensor:
        chosen = torch.randperm(len(features), generator=generator)[:size]
        return features[chosen.to(features.device)]

    return torch.tensor([kernel_distance(drawn(a), drawn(b)) for _ in range(subsets)], dtype=torch.float64)


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    blocks = (a[first : first + _BLOCK] for first in range(0, len(a), _BLOCK))
    return sum(float((block @ b.T / a.shape[1] + 1).pow(3).sum()) for block in blocks)


def _diagonal_sum(a: Tensor) -> float:
    return float((a.square().sum(1) / a.shape[1] + 1).pow(3).sum())
