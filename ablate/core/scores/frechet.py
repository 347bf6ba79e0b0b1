"""Fréchet (2-Wasserstein) distance of two sets of features, each taken as a Gaussian.

    FD = |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2),  covariances with N - 1, float64.

With centred features A = (X - m1) / sqrt(N - 1), and B likewise, C1 = A'A and C2 = B'B, and the last trace is the sum
of singular values of A B'. So no square root of a matrix is taken: exact also with fewer images than features, where
forms that decompose C1 C2 lose digits, and a QR decomposition first keeps the product small.

The estimate is biased upwards by an amount that depends on N: compare only values of equal N, and print the floor.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the distance of features `a` [N,D] and `b` [M,D]; at least two images each, converted to float64."""
    factor_a, factor_b = _factor(a), _factor(b)
    shift = a.double().mean(0) - b.double().mean(0)
    overlap = torch.linalg.svdvals(factor_a @ factor_b.T).sum()
    distance = shift.square().sum() + factor_a.square().sum() + factor_b.square().sum() - 2 * overlap
    # Identical sets end at +-1e-15 times the trace.
    return max(float(distance), 0.0)


def _factor(features: Tensor) -> Tensor:
    """Return R [min(N,D),D] with R'R the covariance of `features`."""
    if len(features) < 2:
        raise ValueError("a covariance needs at least two images")
    values = features.double()
    centred = (values - values.mean(0)) / (len(values) - 1) ** 0.5
    factor: Tensor = torch.linalg.qr(centred, mode="r").R if len(centred) > centred.shape[1] else centred
    return factor


def diagonal_frechet_distance(mean_a: Tensor, var_a: Tensor, mean_b: Tensor, var_b: Tensor) -> float:
    """Return the exact distance of two Gaussians with independent components, all arguments [D].

    sum of (m1 - m2)^2 + (sd1 - sd2)^2.
    """
    means = (mean_a.double() - mean_b.double()).square()
    spreads = (var_a.double().sqrt() - var_b.double().sqrt()).square()
    return float((means + spreads).sum())


def white_floor(features: int, n: int, m: int | None = None) -> float:
    """Return what two independent samples (sizes `n` and `m`, by default both `n`) of one N(0, I) score on average.

    D (D + 5) / 4 (1/N + 1/M), to first order: D (D + 5) / (2 N) for equal sizes, half of it against exact statistics.
    """
    return features * (features + 5) / 4 * (1 / n + 1 / (m or n))


def gaussian_floor(eigenvalues: Tensor, n: int, m: int | None = None) -> float:
    """Return the same for one Gaussian whose covariance has `eigenvalues` [D] (zero ones count nothing).

    The means contribute sum(l_i); the covariances, by the second-order expansion of the trace about C, the sum over
    i, j of E[dC_ij^2] / (2 (l_i + l_j)) with E[dC_ij^2] = l_i l_j (1 + [i = j]) (1/N + 1/M). Equal to `white_floor`
    for ones. Real features are not Gaussian: an orientation, not a bound.
    """
    values = eigenvalues.double()
    values = values[values > 0]
    pairs = torch.outer(values, values) / (values[:, None] + values[None, :])
    return float(values.sum() + pairs.sum() / 2 + values.sum() / 4) * (1 / n + 1 / (m or n))
