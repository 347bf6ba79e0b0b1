"""The joint distribution of the t statistics that one series of differences gives at several looks, by quadrature.

Write a look at n seeds as the point x = (d_1, ..., d_n) and the angle a between x and the plane of mean zero, so that
t = sqrt(n - 1) tan(a). Without an effect the direction of x says nothing about its length. The angle at n + 1 seeds
follows from the angle at n and one more draw,

    sqrt(n + 1) sin(a') = sqrt(n) sin(a) cos(b) + sin(b),    tan(b) = d_{n+1} / |x| = T_n / sqrt(n),

where T_n, a t variable with n degrees of freedom, does not depend on a. So the angles form a Markov chain whatever the
unknown variance is, and the chance of any course of looks is a chain of one-dimensional integrals.

Statistics are carried as normal scores z, which have one and the same distribution at every look. Only their size
matters to a two-sided test: the chain is folded at 0. Of scipy only `special` is used.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

_STEP = 0.05
_FARTHEST = 8.0
"""Scores beyond are as good as impossible: two-sided p below 1e-15."""
EDGES: Floats = np.arange(0.0, _FARTHEST + _STEP / 2, _STEP)
"""Edges of the bins of |z|."""
_MIDDLES: Floats = (EDGES[1:] + EDGES[:-1]) / 2
_BALANCINGS = 6
_LAST_EXACT = 40
"""Seeds from which on scores are taken for jointly normal: from there the width of a bin, step by step, costs more."""


def first_masses() -> Floats:
    """Return the chance of every bin of |z| at any one look without an effect."""
    return np.asarray(-2 * np.diff(special.ndtr(-EDGES)), dtype=np.float64)


def carried(masses: Floats, before: int, after: int) -> Floats:
    """Return `masses` [..., bins] of |z| at `before` seeds as they are distributed over the bins at `after` seeds.

    Needs 2 <= before <= after.
    """
    for n in range(before, min(after, _LAST_EXACT)):
        masses = masses @ _one_more(n)
    start = max(before, _LAST_EXACT)
    return masses @ _jump(start / after) if after > start else masses


def crossing(masses: Floats, chance: float) -> float:
    """Return the score above which `masses` [bins] hold `chance`; 0 when they hold less in all."""
    return float(np.interp(-np.log(max(chance, 1e-299)), -np.log(_tail(masses)), EDGES))


def below(masses: Floats, score: float) -> Floats:
    """Return what is left of `masses` [bins] when everything above `score` has stopped."""
    tail = _tail(masses)
    beyond = np.exp(np.interp(score, EDGES, np.log(tail)))
    return np.asarray(np.where(EDGES[1:] <= score, masses, np.maximum(tail[:-1] - beyond, 0.0)), dtype=np.float64)


def _tail(masses: Floats) -> Floats:
    """What lies above each edge; it falls by a steady factor inside a bin."""
    tail = np.concatenate([np.cumsum(masses[::-1])[::-1], [0.0]])
    return np.asarray(np.maximum(tail, 1e-300), dtype=np.float64)


@cache
def _one_more(n: int) -> Floats:
    """[bins, bins]: the chance of every bin of |z| at n + 1 seeds, given the middle of one at n seeds."""
    sine = np.sqrt(n) * np.sin(_angle(_MIDDLES, n))
    # sqrt(n) sin(a) cos(b) + sin(b) = size sin(b + turn)
    size, turn = np.sqrt(1 + sine**2)[:, None], np.arctan(sine)[:, None]
    reach = np.sqrt(n + 1) * np.sin(_angle(EDGES, n + 1))[None, :] / size
    above = _exceeding(reach, turn, n) + 1.0 - _exceeding(-reach, turn, n)
    inside = 1.0 - above
    inside[:, 0], inside[:, -1] = 0.0, 1.0
    return _balanced(np.maximum(np.diff(inside, axis=1), 0.0))


def _balanced(steps: Floats) -> Floats:
    """Return `steps` without what taking a bin for its middle costs: without an effect no look changes the masses."""
    masses = first_masses()
    for _ in range(_BALANCINGS):
        steps = steps * (masses / (masses @ steps))
        steps = steps / steps.sum(axis=1, keepdims=True)
    return steps


def _exceeding(reach: Floats, turn: Floats, n: int) -> Floats:
    """P(sin(b + turn) > reach): between arcsin(reach) and pi minus it, and again below -pi minus it."""
    arc = np.arcsin(np.clip(reach, -1.0, 1.0))
    middle = _draw_below(np.pi - arc - turn, n) - _draw_below(arc - turn, n)
    lowest = np.where(reach < 0, _draw_below(-np.pi - arc - turn, n), 0.0)
    found = np.where(reach >= 1, 0.0, np.where(reach <= -1, 1.0, np.maximum(middle, 0.0) + lowest))
    return np.asarray(found, dtype=np.float64)


def _draw_below(angle: Floats, n: int) -> Floats:
    """P(b < angle), b the angle of one more draw."""
    quarter = np.pi / 2 - 1e-12
    return np.asarray(special.stdtr(n, np.tan(np.clip(angle, -quarter, quarter)) * np.sqrt(n)), dtype=np.float64)


def _angle(score: Floats, n: int) -> Floats:
    """The angle whose t, with n - 1 degrees of freedom, has this normal score (0 or more)."""
    return np.asarray(np.arctan(-special.stdtrit(n - 1, special.ndtr(-score)) / np.sqrt(n - 1)), dtype=np.float64)


@cache
def _jump(share: float) -> Floats:
    """[bins, bins] between two looks whose normal scores have the correlation sqrt(share)."""
    middle, spread = np.sqrt(share) * _MIDDLES[:, None], np.sqrt(1 - share)
    inside = special.ndtr((EDGES - middle) / spread) - special.ndtr((-EDGES - middle) / spread)
    inside[:, 0], inside[:, -1] = 0.0, 1.0
    return _balanced(np.diff(inside, axis=1))
