"""Distances between sets of features: the usual forms against ablate's, which are stable and go block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.kid import kernel_distance
from ablate.core.scores.prdc import prdc
from benchmarks.frame import Row, clock, in_turn

IMAGES, FEATURES, ROUNDS = 2000, 256, 3


def rows(deadline: float) -> Iterator[Row]:
    """Fréchet distance, kernel distance, and coverage with its companions."""
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(IMAGES, FEATURES, generator=draw, dtype=torch.float64)
    b = 1.1 * torch.randn(IMAGES, FEATURES, generator=draw, dtype=torch.float64) + 0.1
    pairs: list[tuple[str, str, Callable[[Tensor, Tensor], float], Callable[[Tensor, Tensor], float], str]] = [
        ("Fréchet distance", "scipy.linalg.sqrtm of C1 C2", _sqrtm_distance, frechet_distance, "1-3x"),
        ("kernel distance", "three whole kernel matrices", _whole_kernel, kernel_distance, "about 1x, less memory"),
        (
            "precision, recall, density, coverage",
            "whole distance matrices",
            _whole_coverage,
            lambda x, y: prdc(x, y).coverage,
            "about 1x, less memory",
        ),
    ]
    for name, usual, theirs, ours, predicted in pairs:
        found: dict[str, float] = {}
        took = in_turn(
            lambda theirs=theirs, found=found: _time(theirs, a, b, found, "theirs"),
            lambda ours=ours, found=found: _time(ours, a, b, found, "ours"),
            ROUNDS,
            deadline,
        )
        apart = abs(found["ours"] - found["theirs"]) / abs(found["theirs"])
        yield Row(
            name=f"{name}, {IMAGES} x {FEATURES}",
            unit="CPU ms",
            theirs=usual,
            theirs_took=1e3 * took[0],
            ours="ablate",
            ours_took=1e3 * took[1],
            agreement=f"{apart:.1e} apart (asked: 1e-8)",
            agrees=apart <= 1e-8,
            predicted=predicted,
            rounds=took[2],
        )


def _time(
    distance: Callable[[Tensor, Tensor], float], a: Tensor, b: Tensor, found: dict[str, float], side: str
) -> float:
    began = clock()
    found[side] = float(distance(a, b))
    return clock() - began


def _sqrtm_distance(a: Tensor, b: Tensor) -> float:
    x, y = a.numpy(), b.numpy()
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(first + second - 2 * root))


def _whole_kernel(a: Tensor, b: Tensor) -> float:
    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    n, m = len(a), len(b)
    aa, bb = kernel(a, a), kernel(b, b)
    within = (aa.sum() - aa.diagonal().sum()) / (n * (n - 1)) + (bb.sum() - bb.diagonal().sum()) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


def _whole_coverage(real: Tensor, generated: Tensor) -> float:
    """Precision, recall, density and coverage from whole matrices; the last is returned, as ablate's side does."""
    reach_real = torch.cdist(real, real).kthvalue(6, dim=1).values
    reach_generated = torch.cdist(generated, generated).kthvalue(6, dim=1).values
    between = torch.cdist(real, generated)
    inside = between < reach_real[:, None]
    float(inside.any(0).double().mean())
    float((between < reach_generated).any(1).double().mean())
    float(inside.double().sum() / 5 / len(generated))
    return float(inside.any(1).double().mean())
