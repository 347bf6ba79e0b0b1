"""How different the images of one set are from each other: a set of near-copies scores low however good each is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ablate.core.scores.distances import squared_distance_blocks


def mean_pairwise_distance(features: Tensor) -> float:
    """Return the mean Euclidean distance over all pairs of different rows of `features` [N,D], N at least 2."""
    count = len(features)
    if count < 2:
        raise ValueError("a pair needs two images")
    total = 0.0
    for rows, squared in squared_distance_blocks(features, features):
        # A row's distance to itself is rounding, not zero.
        index = torch.arange(rows.start, rows.stop, device=squared.device)
        squared[index - rows.start, index] = 0.0
        total += float(squared.sqrt().sum())
    return total / (count * (count - 1))


def effective_rank(features: Tensor) -> float:
    """Return exp of the entropy of the normalised eigenvalues of the covariance (Roy and Vetterli 2007), 1 to D.

    The number of directions in which the set really varies: D for D equal variances, 1 for images along one line. A
    set that does not vary at all has no directions: 0.
    """
    values = features.double()
    spread = torch.linalg.svdvals(values - values.mean(0)).square()
    if float(spread.sum()) == 0.0:
        return 0.0
    shares = spread / spread.sum()
    return float(torch.special.entr(shares).sum().exp())


def gaussian_pairwise_distance(dimensions: int) -> float:
    """Return the mean distance of two independent samples of N(0, I) in `dimensions`: 2 G((D + 1)/2) / G(D/2)."""
    return 2 * math.exp(math.lgamma((dimensions + 1) / 2) - math.lgamma(dimensions / 2))
