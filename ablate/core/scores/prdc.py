"""Precision, recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) of a set of features.

Around every image stands a ball that reaches to its k-th nearest neighbour within its own set, itself not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.core.scores.distances import nearest, squared_distance_blocks

NEIGHBOURS = 5


@dataclass(frozen=True)
class Prdc:
    """Shares, but for `density`, which may exceed 1."""

    precision: float
    """Share of generated images inside the ball of at least one real image."""
    recall: float
    """Share of real images inside the ball of at least one generated image."""
    density: float
    """Balls of real images that a generated image lies in, over k."""
    coverage: float
    """Share of real images whose ball holds at least one generated image."""


def prdc(real: Tensor, generated: Tensor, k: int = NEIGHBOURS) -> Prdc:
    """Compare features `real` [N,D] and `generated` [M,D]; more than `k` images each."""
    reach_real = nearest(real, real, k, same=True)[:, -1].square()
    reach_generated = nearest(generated, generated, k, same=True)[:, -1].square()
    balls = torch.zeros(len(generated), dtype=torch.int64, device=generated.device)
    recalled = covered = 0
    for rows, squared in squared_distance_blocks(real, generated):
        inside = squared < reach_real[rows, None]
        balls += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((squared < reach_generated).any(1).sum())
    return Prdc(
        precision=float((balls > 0).double().mean()),
        recall=recalled / len(real),
        density=float(balls.double().mean()) / k,
        coverage=covered / len(real),
    )


def expected_coverage(n: int, m: int, k: int = NEIGHBOURS) -> float:
    """Return the mean coverage of `n` real images by `m` others of the same distribution, in any number of dimensions.

    A ball stays empty when the k nearest of the n - 1 + m other images are all real:
    1 - product over i = 1..k of (n - i) / (n + m - i). The mean density is exactly 1 by the same exchangeability.
    """
    return 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
