"""The level of every declared look: how much of a study's alpha is spent by when, and what p means over all looks.

Of scipy only `special` is used, which loads in a fifth of a second: `ablate plan` asks here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ablate.report.statistics.corrections import split_alpha
from ablate.report.statistics.sequential import t_process
from ablate.study.verdict_method import Boundaries

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

HASTE = -4.0
"""The parameter of Hwang, Shih and DeCani's family: early looks get little, much as with O'Brien and Fleming."""
_LEVELS: Floats = np.logspace(-10, 0, 121)
"""Levels at which boundaries are computed; between them they are interpolated."""


@dataclass(frozen=True)
class LookLevels:
    """At which level a test decides at each look. `places` count looks from 0; arrays have the shape of `places`."""

    looks: tuple[int, ...]
    """Seeds per arm; with none or one, everything is tested once, at `alpha`."""
    alpha: float
    """Level of the whole study."""
    boundaries: Boundaries = "spending"

    @property
    def spends(self) -> bool:
        """True where looks share alpha by a spending function, and p values are told over all looks."""
        return len(self.looks) > 1 and self.boundaries == "spending"

    def alpha_at(self, places: Places) -> Floats:
        """Return the level that corrected p values are held against."""
        if len(self.looks) < 2 or self.spends:
            return np.full(places.shape, self.alpha)
        return np.array(split_alpha(self.alpha, len(self.looks)))[places]

    def overall(self, p: Floats, places: Places) -> Floats:
        """Return two-sided `p` at these looks as p over all looks up to the last one; as they are without spending.

        The result is at most L exactly when a study at level L would reject there. Without an effect, the chance
        that it is ever at most L, at any of the looks, is L: so it can be corrected for many arms like any p.
        """
        if not self.spends:
            return p
        return self._read(p, places, self._table, np.tile(_LEVELS, (len(self.looks), 1)))

    def nominal(self, level: Floats, places: Places) -> Floats:
        """Return the level of a single test at these looks whose p over all looks is `level`: undoes `overall`."""
        if not self.spends:
            return level
        return self._read(level, places, np.tile(_LEVELS, (len(self.looks), 1)), self._table)

    @property
    def _table(self) -> Floats:
        return spending_table(self.looks)

    def _read(self, values: Floats, places: Places, knots: Floats, results: Floats) -> Floats:
        """Interpolate each value from the knots of its look, [looks, levels], to the results; NaN stays NaN."""
        out = np.full(values.shape, np.nan)
        for place in np.unique(places):
            own = (places == place) & np.isfinite(values)
            out[own] = _interpolated(values[own], knots[place], results[place])
        return out

    def shared(self, level: float, places: Places) -> Floats:
        """Return what each look may err when all looks together may err with probability `level`."""
        if len(self.looks) < 2:
            return np.full(places.shape, level)
        if self.spends:
            return self.nominal(np.full(places.shape, level), places)
        return np.array(split_alpha(level, len(self.looks)))[places]


def _interpolated(values: Floats, knots: Floats, results: Floats) -> Floats:
    """Interpolate on log scales; below the first knot in proportion, above the last one 1. Without a test: 1, or 0."""
    if knots[-1] == 0 or results[-1] == 0:
        return np.full(len(values), 1.0 if knots[-1] == 0 else 0.0)
    inner = np.exp(np.interp(np.log(np.maximum(values, knots[0])), np.log(knots), np.log(results)))
    small = values / knots[0] * results[0]
    return np.asarray(np.where(values > knots[-1], 1.0, np.where(values < knots[0], small, inner)), dtype=np.float64)


def spent(share: Floats | float) -> Floats:
    """Return what part of alpha may be spent when `share` of the last look's seeds is there (0 to 1).

    (1 - e^(4 t)) / (1 - e^4): gamma = -4 in the family of Hwang, Shih and DeCani (1990).
    """
    return np.asarray(np.expm1(-HASTE * np.asarray(share)) / np.expm1(-HASTE), dtype=np.float64)


@cache
def spending_table(looks: tuple[int, ...]) -> Floats:
    """Return the two-sided nominal level at each look for each study level, [looks, levels].

    At each look, the chance to decide there for the first time without an effect is what the spending function adds
    since the look before (Lan and DeMets 1983), under the exact joint distribution of the t statistics. Whether an arm
    is stopped for another reason does not enter: the levels hold for those who go on all the same. A look at one seed
    has no test. The levels of a look rise with the study's level.
    """
    parts = np.diff(np.concatenate([[0.0], np.where(np.array(looks) < 2, 0.0, spent(np.array(looks) / looks[-1]))]))
    table = np.zeros((len(looks), len(_LEVELS)))
    masses = np.tile(t_process.first_masses(), (len(_LEVELS), 1))
    before = None
    for at, look in enumerate(looks):
        if look < 2:
            continue
        masses = masses if before is None else t_process.carried(masses, before, look)
        before = look
        for column, level in enumerate(_LEVELS):
            score = t_process.crossing(masses[column], level * parts[at])
            masses[column] = t_process.below(masses[column], score)
            table[at, column] = 2 * special.ndtr(-score)
    return np.maximum.accumulate(table, axis=1)


def last_level(looks: Sequence[int], level: float, boundaries: Boundaries) -> float:
    """Return the level of a single test at the last look, when all looks together may err with `level`."""
    levels = LookLevels(tuple(looks), level, boundaries)
    return float(levels.shared(level, np.array([len(looks) - 1]))[0])
