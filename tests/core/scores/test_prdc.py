"""Precision, recall, density and coverage: definitions by loops, exact expectations, and what each one notices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ablate.core.scores.distances import BLOCK, nearest
from ablate.core.scores.prdc import expected_coverage, prdc


def _normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_follows_the_definitions() -> None:
    """Against plain loops over all pairs."""
    real, generated, k = _normal(40, 3, 0), _normal(25, 3, 1) + 0.5, 3

    def reach(points: Tensor) -> list[float]:
        return [float((points - p).norm(dim=1).sort().values[k]) for p in points]  # [0] is the point itself

    real_reach, generated_reach = reach(real), reach(generated)
    in_real = [[float((x - y).norm()) < r for y in generated] for x, r in zip(real, real_reach, strict=True)]
    in_generated = [[float((x - y).norm()) < r for x in real] for y, r in zip(generated, generated_reach, strict=True)]
    found = prdc(real, generated, k)
    assert found.precision == sum(any(column) for column in zip(*in_real, strict=True)) / 25
    assert found.recall == sum(any(column) for column in zip(*in_generated, strict=True)) / 40
    assert found.density == pytest.approx(sum(map(sum, in_real)) / (k * 25))
    assert found.coverage == sum(any(row) for row in in_real) / 40


@pytest.mark.acceptance("M3")
def test_expectations_for_equal_distributions() -> None:
    """Coverage 0.969 for 1000 against 1000 at k = 5; in 64 dimensions, where balls overlap a lot."""
    assert expected_coverage(1000, 1000) == pytest.approx(0.969, abs=5e-4)
    found = [prdc(_normal(1000, 64, 2 * i), _normal(1000, 64, 2 * i + 1)) for i in range(4)]
    assert sum(f.coverage for f in found) / 4 == pytest.approx(0.969, abs=0.02)
    # Precision and recall depend on the dimension: this is what perfect generators score here.
    assert all(0.65 < value < 0.8 for f in found for value in (f.precision, f.recall))


@pytest.mark.parametrize("d", [2, 64])
def test_density_is_one_on_average(d: int) -> None:
    """Exactly, but single values scatter the more, the more dimensions: some images are many others' neighbours."""
    found = torch.tensor([prdc(_normal(200, d, 2 * i), _normal(200, d, 2 * i + 1)).density for i in range(200)])
    assert abs(float(found.mean()) - 1) < 4 * float(found.std()) / 200**0.5
    assert float(found.mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("n", "m", "k"), [(30, 10, 1), (20, 60, 3)])
def test_coverage_expectation_holds_in_any_dimension(n: int, m: int, k: int) -> None:
    for d in (1, 10):
        found = torch.tensor([prdc(_normal(n, d, 2 * i), _normal(m, d, 2 * i + 1), k).coverage for i in range(300)])
        assert abs(float(found.mean()) - expected_coverage(n, m, k)) < 4 * float(found.std()) / 300**0.5


def test_a_dropped_mode_is_seen_by_recall_and_coverage_alone() -> None:
    """Two far clusters, one of them generated."""
    real, generated = _normal(400, 8, 3), _normal(200, 8, 4)
    real[:200] += 100
    found = prdc(real, generated)
    assert found.precision > 0.6
    assert found.recall < 0.5
    assert found.coverage < 0.5


def test_junk_is_seen_by_precision_and_density() -> None:
    real, generated = _normal(200, 8, 5), _normal(200, 8, 6)
    before = prdc(real, generated)
    generated[:100] += 100
    after = prdc(real, generated)
    assert after.precision == pytest.approx(before.precision / 2, abs=0.08)
    assert after.density == pytest.approx(before.density / 2, abs=0.1)


def test_blocks_do_not_show() -> None:
    """More rows than one block holds."""
    real, generated = _normal(BLOCK + 300, 4, 7), _normal(BLOCK + 50, 4, 8)
    distances = torch.cdist(generated, real).sort(1).values[:, :4]
    assert torch.allclose(nearest(generated, real, 4), distances)
    within = torch.cdist(real, real).fill_diagonal_(torch.inf).sort(1).values[:, :4]
    assert torch.allclose(nearest(real, real, 4, same=True), within)
    inside = torch.cdist(real, generated) < within[:, 3:]
    assert prdc(real, generated, 4).coverage == pytest.approx(float(inside.any(1).double().mean()))


def test_a_duplicate_is_a_neighbour_but_nobody_is_his_own() -> None:
    points = torch.tensor([[0.0], [0.0], [3.0]])
    assert nearest(points, points, 1, same=True).flatten().tolist() == [0, 0, 3]


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="5 neighbours asked of 4"):
        prdc(_normal(5, 2, 0), _normal(9, 2, 1))
