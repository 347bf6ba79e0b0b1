"""Kernel distance: its definition pair by pair, zero on average for equal distributions, a closed form."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ablate.core.scores.kid import kernel_distance, kernel_distance_subsets


def _normal(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_is_the_u_statistic() -> None:
    """Mean of the kernel over pairs of different images within each set, minus twice that across."""
    a, b = _normal(7, 3, 0), _normal(5, 3, 1, shift=1.0)

    def mean(pairs: list[tuple[Tensor, Tensor]]) -> float:
        return sum((float(x @ y) / 3 + 1) ** 3 for x, y in pairs) / len(pairs)

    within = [list(itertools.permutations(part, 2)) for part in (a, b)]
    expected = mean(within[0]) + mean(within[1]) - 2 * mean(list(itertools.product(a, b)))
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(b, a) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(a.float(), b.float()) == pytest.approx(expected, rel=1e-5)


def test_blocks_do_not_show() -> None:
    a, b = _normal(1500, 2, 2), _normal(1100, 2, 3)
    kernel = [(x @ y.T / 2 + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))]
    within = [float(part.sum() - part.trace()) / (len(part) * (len(part) - 1)) for part in kernel[:2]]
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * float(kernel[2].mean()), rel=1e-9)


@pytest.mark.acceptance("M3")
def test_is_zero_on_average_for_equal_distributions() -> None:
    """The mean of 200 repeats lies within 3 standard errors of 0, and about half of them are negative."""
    found = torch.tensor([kernel_distance(_normal(50, 8, 2 * i), _normal(50, 8, 2 * i + 1)) for i in range(200)])
    assert abs(float(found.mean())) < 3 * float(found.std()) / 200**0.5
    assert 40 < int((found < 0).sum()) < 160


def test_a_shift_in_one_dimension_has_a_closed_form() -> None:
    """(xy + 1)^3 = 1 + 3xy + 3x^2y^2 + x^3y^3, so MMD^2 = 3 dm1^2 + 3 dm2^2 + dm3^2 over the first three moments.

    For N(s, 1) against N(0, 1): dm1 = s, dm2 = s^2, dm3 = s^3 + 3 s.
    """
    s = 0.5
    expected = 3 * s**2 + 3 * s**4 + (s**3 + 3 * s) ** 2
    found = torch.tensor([kernel_distance(_normal(400, 1, i), _normal(400, 1, 999 + i, shift=s)) for i in range(60)])
    assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / 60**0.5


def test_subsets_are_addressed_and_unbiased() -> None:
    a, b = _normal(300, 4, 4), _normal(300, 4, 5, shift=1.0)

    def subsets(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return kernel_distance_subsets(a, b, subsets=50, size=100, generator=generator)

    assert torch.equal(subsets(0), subsets(0))
    assert not torch.equal(subsets(0), subsets(1))
    spread = float(subsets(0).std())
    assert float(subsets(0).mean()) == pytest.approx(kernel_distance(a, b), abs=5 * spread / 50**0.5)
    whole = kernel_distance_subsets(a, b, subsets=1, size=300, generator=torch.Generator())
    assert float(whole) == pytest.approx(kernel_distance(a, b), rel=1e-10)


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="two images"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="subsets of 9"):
        kernel_distance_subsets(torch.zeros(8, 3), torch.zeros(9, 3), subsets=1, size=9, generator=torch.Generator())
