"""The chain of t statistics: what no look changes, and courses of looks against drawn ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from ablate.report.statistics.sequential.t_process import EDGES, below, carried, crossing, first_masses


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 5), (9, 12), (38, 60), (100, 200)])
def test_without_an_effect_every_look_has_one_distribution(before: int, after: int) -> None:
    masses = first_masses()
    np.testing.assert_allclose(carried(masses, before, after), masses, rtol=0.01, atol=1e-15)
    assert masses.sum() == pytest.approx(1)


@pytest.mark.parametrize("chance", [1e-8, 1e-3, 0.05, 0.5])
def test_a_crossing_has_its_chance_beyond(chance: float) -> None:
    score = crossing(first_masses(), chance)
    assert 2 * stats.norm.sf(score) == pytest.approx(chance, rel=0.005)
    assert below(first_masses(), score).sum() == pytest.approx(1 - chance, abs=0.005 * chance + 1e-12)


@pytest.mark.parametrize(("looks", "score"), [((2, 3), 2.0), ((3, 6), 1.5), ((4, 5, 12), 1.8)])
def test_courses_of_looks_against_drawn_ones(looks: tuple[int, ...], score: float) -> None:
    """The share of 200 000 drawn series that stay below a score at every look: within four standard errors."""
    rows = np.random.default_rng(3).standard_normal((200_000, looks[-1]))
    inside = np.ones(len(rows), dtype=np.bool_)
    masses = first_masses()
    for at, n in enumerate(looks):
        masses = below(masses if at == 0 else carried(masses, looks[at - 1], n), score)
        t = rows[:, :n].mean(1) / rows[:, :n].std(1, ddof=1) * math.sqrt(n)
        inside &= -special.ndtri(special.stdtr(n - 1, -np.abs(t))) <= score
    share = inside.mean()
    assert masses.sum() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(rows)))


def test_the_last_edge_is_beyond_every_p_that_matters() -> None:
    assert 2 * stats.norm.sf(EDGES[-1]) < 1e-14
