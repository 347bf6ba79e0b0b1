"""How many seeds a study with several looks takes, and what it finds: whole studies, drawn and run by its rules.

All studies are drawn at once as arrays [studies, arms, ...]. Only NumPy and `scipy.special` are used, which load in a
fifth of a second: `ablate plan` asks here. That the rules are those of `compare` is tested study by study.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.report.statistics.power import smallest_detectable
from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.report.statistics.sequential.futility import chance_decided, drawn_variance, next_level
from ablate.report.statistics.significance import Floats, equivalence_p, half_width, two_sided_p
from ablate.study.verdict_method import Correction, Method

_STUDIES = 250
_MOST_DIFFERENCES = 400_000
"""Arms times studies times seeds that a prediction draws at most."""
_SEED = 20261123

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Courses:
    """How studies went; arrays [studies, arms], the baseline left out."""

    seeds: Counts
    """Seeds that each arm got."""
    decided: Flags
    """Better or worse."""
    equivalent: Flags
    estimate: Floats
    """Mean difference when the arm was stopped or decided, or at the last look."""
    low: Floats
    """The 95 % t-interval around it."""
    high: Floats
    repeated_low: Floats
    """The interval that holds at every look at once."""
    repeated_high: Floats

    @property
    def trials(self) -> Counts:
        """[studies]: trials of all arms and of the baseline, which runs as long as any arm does."""
        return np.asarray(self.seeds.sum(axis=1) + self.seeds.max(axis=1), dtype=np.int64)


def run_studies(
    differences: Floats, looks: tuple[int, ...], alpha: float, method: Method, margin: float = float("nan")
) -> Courses:
    """Run studies with paired `differences` [studies, arms, seeds] to their end, as ``--until decided`` does.

    At every look the arms that are neither decided nor stopped get more seeds. `margin` is that of equivalence (NaN:
    none is declared). The test is the paired t, the noise each arm's own. Needs as many seeds as the last look.
    """
    levels, shape = LookLevels(looks, alpha, method.boundaries), differences.shape[:2]
    total, squares = np.cumsum(differences, axis=2), np.cumsum(differences**2, axis=2)
    places = np.zeros(shape, dtype=np.int64)
    going = np.ones(shape, dtype=np.bool_)
    counts = np.array(looks)
    for at in range(len(looks)):
        places = np.where(going, at, places)
        n = counts[places].astype(np.float64)
        mean = np.take_along_axis(total, counts[places][..., None] - 1, axis=2)[..., 0] / n
        square = np.take_along_axis(squares, counts[places][..., None] - 1, axis=2)[..., 0]
        variance = np.maximum(square - n * mean**2, 1e-300) / np.maximum(n - 1, 1)
        seen = _Seen(n, mean, variance, places)
        decided, equivalent = _words(seen, levels, method, margin)
        if at + 1 < len(looks):
            going &= ~decided & ~equivalent & ~_stopped(seen, levels, method, margin, decided, equivalent)
    se = np.sqrt(variance / n)
    width, wide = half_width(se, n - 1), half_width(se, n - 1, levels.shared(0.05, places))
    return Courses(
        counts[places], decided & ~equivalent, equivalent, mean, mean - width, mean + width, mean - wide, mean + wide
    )


@dataclass(frozen=True)
class _Seen:
    """What every arm shows at its look; arrays [studies, arms]."""

    n: Floats
    mean: Floats
    variance: Floats
    places: Counts


def _words(seen: _Seen, levels: LookLevels, method: Method, margin: float) -> tuple[Flags, Flags]:
    """Which arms differ, and which are equivalent."""
    se, df = np.sqrt(seen.variance / seen.n), seen.n - 1
    alpha = levels.alpha_at(seen.places)
    p = levels.overall(two_sided_p(seen.mean, se, df), seen.places)
    differ = _rejected(p / alpha, method.correct)
    if np.isnan(margin):
        return differ, np.zeros_like(differ)
    same = levels.overall(2 * equivalence_p(seen.mean, se, df, np.full_like(se, margin)), seen.places) / 2
    return differ, _rejected(same / alpha, method.equivalence)


def _rejected(ratio: Floats, correct: Correction) -> Flags:
    """Which of p / alpha [studies, arms] are rejected in their study."""
    arms = ratio.shape[1]
    if correct == "none":
        return np.asarray(ratio <= 1)
    order = np.argsort(ratio, axis=1, kind="stable")
    ranked, rank = np.take_along_axis(ratio, order, axis=1), np.arange(1, arms + 1)
    if correct == "holm":
        there = np.logical_and.accumulate((arms - rank + 1) * ranked <= 1, axis=1)
    else:
        there = np.logical_or.accumulate((arms / rank * ranked <= 1)[:, ::-1], axis=1)[:, ::-1]
    out = np.zeros(ratio.shape, dtype=np.bool_)
    np.put_along_axis(out, order, there, axis=1)
    return out


def _stopped(
    seen: _Seen, levels: LookLevels, method: Method, margin: float, decided: Flags, equivalent: Flags
) -> Flags:
    """Which arms the rest of the looks would hardly decide."""
    if method.futility == 0:
        return np.zeros_like(decided)
    arms, last = decided.shape[1], levels.looks[-1]
    several = method.noise == "own" and arms > 1
    variance = drawn_variance(seen.variance, seen.n - 1) if several else seen.variance
    differ = np.array([next_level(levels, levels.alpha, method.correct, arms, count) for count in range(arms + 1)])
    same = np.array(
        [next_level(levels, 2 * levels.alpha, method.equivalence, arms, count) / 2 for count in range(arms + 1)]
    )
    chance = chance_decided(
        seen.mean,
        np.sqrt(variance),
        np.minimum(seen.n, last - 1),  # An arm at the last look goes nowhere, whatever its chance.
        last,
        differ[decided.sum(axis=1)][:, None],
        same[equivalent.sum(axis=1)][:, None],
        margin,
    )
    return np.asarray((chance < method.futility) & (seen.places < len(levels.looks) - 1))


@dataclass(frozen=True)
class ExpectedSeeds:
    """What a study takes in the mean."""

    per_arm: float
    """Seeds per arm, the baseline left out."""
    trials: float
    """The baseline's included."""
    low: float
    """Trials that one study in ten stays below."""
    high: float
    """Trials that one study in ten goes beyond."""
    decided: float
    """Share of arms that are called better or worse."""


@dataclass(frozen=True)
class Prediction:
    """What a study with looks takes if no arm matters, and if one does."""

    nothing: ExpectedSeeds
    one: ExpectedSeeds
    """`decided` is the share of studies that find the one that matters."""
    difference: float
    """True difference of the one, in standard deviations of a paired difference: just what the last look shows with
    80 % power."""
    most: int
    """Trials if every arm goes on to the last look."""


def predict(
    arms: int, looks: tuple[int, ...], alpha: float, method: Method, margin: float = float("nan")
) -> Prediction | None:
    """Return what a study of `arms` arms beside the baseline takes; None without several looks of two seeds or more.

    Noise is taken for normal and alike in all arms, and arms for related only by the baseline they share. `margin` is
    in standard deviations of a paired difference (NaN: no arm can become equivalent).
    """
    if len(looks) < 2 or looks[0] < 2 or arms < 1:
        return None
    studies = max(20, min(_STUDIES, _MOST_DIFFERENCES // (arms * looks[-1])))
    rng = np.random.default_rng(_SEED)
    noise = rng.standard_normal((studies, arms + 1, looks[-1]))
    differences = (noise[:, 1:] - noise[:, :1]) / np.sqrt(2)
    levels = LookLevels(looks, alpha, method.boundaries)
    difference = smallest_detectable(1.0, looks[-1], 1, next_level(levels, alpha, method.correct, arms, 0))
    found = []
    for effect in (0.0, difference):
        differences[:, 0] += effect
        found.append(run_studies(differences, looks, alpha, method, margin))
    nothing, one = found
    return Prediction(
        _expected(nothing, float(nothing.decided.mean())),
        _expected(one, float(one.decided[:, 0].mean())),
        difference,
        (arms + 1) * looks[-1],
    )


def _expected(courses: Courses, decided: float) -> ExpectedSeeds:
    low, high = np.quantile(courses.trials, (0.1, 0.9))
    return ExpectedSeeds(float(courses.seeds.mean()), float(courses.trials.mean()), float(low), float(high), decided)
