"""Corrections for many comparisons, and how a study's alpha is split over its declared looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ablate.errors import AblateError
from ablate.study.verdict_method import Correction

if TYPE_CHECKING:
    from ablate.report.statistics.significance import Floats


@dataclass(frozen=True)
class Adjusted:
    """Corrected p values and the level each arm was decided at; vectors [arms], NaN where there is no test."""

    p: Floats
    """Rejected exactly when ``p <= alpha``."""
    level: Floats
    """The uncorrected p is at or below this exactly when the arm is rejected: an interval missing the truth with
    this probability excludes 0 exactly for the rejected arms."""
    tested: int


def split_alpha(alpha: float, looks: int) -> tuple[float, ...]:
    """Split `alpha` over `looks` so that the parts add up to it: later looks, with more seeds, get more.

    The parts are in the ratio 2 : 3 : 5 : 8 : 13 ..., each the sum of the two before. Three looks at 0.05 get
    0.01, 0.015 and 0.025. By the union bound a study wrongly rejects at any look with probability alpha at most.
    """
    weights = [2.0, 3.0]
    while len(weights) < looks:
        weights.append(weights[-1] + weights[-2])
    weights = weights[:looks]
    return tuple(alpha * weight / sum(weights) for weight in weights)


def check_looks(looks: Sequence[int]) -> tuple[int, ...]:
    """Return `looks` as a tuple; raises AblateError unless they are rising numbers of seeds, 1 at least."""
    rising = all(first < second for first, second in pairwise(looks))
    if not looks or looks[0] < 1 or not rising:
        raise AblateError(
            f"looks must be increasing numbers of seeds, got {list(looks)}", hint="for example [3, 5, 10]"
        )
    return tuple(int(look) for look in looks)


def adjust(p: Floats, alpha: Floats, method: Correction) -> Adjusted:
    """Correct the p values of all tested arms (those with a p that is not NaN).

    `alpha` [arms] is the level at each arm's look. Arms are ranked by p / alpha, which is by p when all are at one
    look. With different looks this keeps the family-wise error of Holm's procedure over all looks together: a wrong
    rejection needs a true null with p <= alpha_look / m0, and these add up to at most alpha.
    """
    tested = np.flatnonzero(np.isfinite(p))
    out, level = np.full(len(p), np.nan), np.full(len(p), np.nan)
    if len(tested) == 0:
        return Adjusted(out, level, 0)
    order = tested[np.argsort(p[tested] / alpha[tested], kind="stable")]
    ratio = p[order] / alpha[order]
    corrected, factor = {"holm": _holm, "bh": _benjamini_hochberg, "none": _none}[method](ratio)
    out[order] = np.minimum(1.0, corrected * alpha[order])
    level[order] = alpha[order] * factor
    return Adjusted(out, level, len(tested))


def _holm(ratio: Floats) -> tuple[Floats, Floats]:
    """Holm (1979) on sorted p / alpha: multipliers m, m - 1, ... 1, made monotone. Level 1 / (m - min(j, j*) + 1)."""
    m = len(ratio)
    rank = np.arange(1, m + 1)
    corrected = np.maximum.accumulate((m - rank + 1) * ratio)
    kept = np.flatnonzero(corrected > 1)
    first_kept = kept[0] + 1 if len(kept) else m
    return corrected, 1.0 / (m - np.minimum(rank, first_kept) + 1)


def _benjamini_hochberg(ratio: Floats) -> tuple[Floats, Floats]:
    """Benjamini and Hochberg (1995), false discovery rate; level max(1, rejected) / m."""
    m = len(ratio)
    rank = np.arange(1, m + 1)
    corrected = np.minimum.accumulate((m / rank * ratio)[::-1])[::-1]
    rejected = int(np.sum(corrected <= 1))
    return corrected, np.full(m, max(1, rejected) / m)


def _none(ratio: Floats) -> tuple[Floats, Floats]:
    """No correction."""
    return ratio, np.ones(len(ratio))
