"""Every arm's difference to the baseline on one metric: estimate, p, equivalence and intervals, all arms at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablate.errors import AblateError
from ablate.report.statistics.corrections import adjust
from ablate.report.statistics.granularity import proves_nothing
from ablate.report.statistics.pooled_noise import pool
from ablate.report.statistics.power import seeds_needed
from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.report.statistics.significance import (
    NO_NOISE,
    Floats,
    Summary,
    count_mean_sd,
    equivalence_p,
    half_width,
    no_noise,
    paired_summary,
    sign_flip_p,
    sizes,
    two_sided_p,
    welch_summary,
)
from ablate.report.statistics.skewed_noise import skewed_equivalence_p, skewed_p
from ablate.report.statistics.trial_matrix import Flags
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import FEWEST, LARGEST_FLIP, Correction, Method


@dataclass(frozen=True)
class Contrast:
    """One metric of all arms. Vectors are [arms], matrices [arms, seeds], NaN where undefined."""

    values: Floats
    """The metric's values that are used, in its unit."""
    n: Floats
    mean: Floats
    sd: Floats
    differences: Floats
    """Improvements per shared seed on the test's scale; positive is better."""
    pairs: Floats
    tested: Summary
    """Improvement as the test sees it (two samples, pooled noise)."""
    own: Summary
    """Improvement by the plain paired t."""
    margin: Floats
    still: Flags
    """True where there is no seed noise at all."""
    identical: Flags
    """True where every shared seed has the same value twice."""
    coarse: Flags
    """True where being identical in all these seeds says little: the metric has few possible values."""
    p: Floats
    p_plain: Floats
    p_equivalence: Floats
    p_corrected: Floats
    """Over all looks and arms."""
    p_equal: Floats
    """`p_equivalence` over all looks and arms."""
    level: Floats
    """Level of a single test at which each arm was decided (see `corrections.Adjusted`)."""
    family: int
    """Arms with a test."""
    needed: Floats
    """Seeds in all that would probably decide, NaN above 50."""
    reference: Floats
    """[arms, seeds]: values of what each arm is compared with, in the metric's unit."""


def transform(metric: MetricSpec) -> Callable[[Floats], Floats]:
    """The scale of the test: f = identity or natural logarithm."""
    return np.log if metric.scale == "log" else np.asarray


def contrast(
    values: Floats,
    partner: NDArray[np.int64],
    metric: MetricSpec,
    comparable: Flags,
    reached: Flags,
    method: Method,
    *,
    levels: LookLevels,
    places: NDArray[np.int64],
    shared: tuple[Floats, Floats] | None = None,
) -> Contrast:
    """Compare every row of `values` [arms, seeds] with its `partner` row (row 0, in a study with one baseline).

    Only `comparable` arms get a difference, and only those of them that `reached` a declared look a test. `places`
    [arms] are the looks they are at, `levels` what each look may decide at. Secondary metrics are not corrected for
    the number of arms. `shared` is variance that the spread over columns does not show (see `Trials.shared`).
    """
    alpha = levels.alpha_at(places)
    correct: tuple[Correction, Correction] = (
        (method.correct, method.equivalence) if metric.primary else ("none", "none")
    )
    scale, sign = transform(metric), 1.0 if metric.direction == "max" else -1.0
    scaled = scale(values)
    reference = scaled[partner]
    compared = np.where(comparable[:, None], scaled, np.nan)
    differences = sign * (compared - reference)
    own = paired_summary(differences)
    if method.test == "welch":
        two = welch_summary(compared, reference)
        tested = Summary(two.n, sign * two.mean, two.sd, two.se, two.df)
    else:
        tested = own
    size = _rounded(scaled, metric)
    size = np.maximum(size, size[partner])
    still = no_noise(tested.sd, size)
    testable = comparable & reached
    usable = testable & (tested.n >= 2) & ~still
    if method.noise == "pooled":
        tested = pool(tested, usable)
    if shared is not None:
        tested = widened(tested, *shared)
    margin = margins(metric, values[partner], differences)
    p, p_equivalence = _test(differences, tested, margin, usable, method)
    adjusted = adjust(levels.overall(p, places), alpha, correct[0])
    # Two one-sided tests share no error: each may spend what both sides of a two-sided test do together.
    equal = adjust(levels.overall(2 * p_equivalence, places) / 2, alpha, correct[1])
    per_test = levels.nominal(alpha / max(1, adjusted.tested), places)
    needed = np.full(len(alpha), np.nan)
    needed[usable] = seeds_needed(
        tested.mean[usable], tested.sd[usable], tested.n[usable], margin[usable], per_test[usable]
    )
    n, mean, sd = count_mean_sd(values)
    plain = np.full(len(alpha), np.nan)
    paired = testable & (own.n >= 2) & ~no_noise(own.sd, size)
    if method.test != "welch":
        plain[paired] = two_sided_p(own.mean[paired], own.se[paired], own.df[paired])
    return Contrast(
        values=values,
        n=n,
        mean=mean,
        sd=sd,
        differences=differences,
        pairs=np.isfinite(differences).sum(axis=1).astype(np.float64),
        tested=tested,
        own=own,
        margin=margin,
        still=still & testable,
        identical=still & testable & (np.abs(tested.mean) <= NO_NOISE * size),
        coarse=proves_nothing(values, own.n),
        p=p,
        p_plain=plain,
        p_equivalence=p_equivalence,
        p_corrected=adjusted.p,
        p_equal=equal.p,
        level=levels.nominal(adjusted.level, places),
        family=adjusted.tested,
        needed=needed,
        reference=values[partner],
    )


def widened(summary: Summary, variance: Floats, df: Floats) -> Summary:
    """The summary with `variance` beyond what the spread over columns shows, and the degrees of freedom for both."""
    more = variance > 0
    se = np.where(more, np.sqrt(summary.se**2 + variance), summary.se)
    return replace(summary, se=se, df=np.where(more, np.minimum(df, summary.df), summary.df))


def _rounded(scaled: Floats, metric: MetricSpec) -> Floats:
    """[arms]: how large the numbers are that rounding is a part of; logarithms carry that of what they are taken of."""
    return np.maximum(1.0, sizes(scaled)) if metric.scale == "log" else sizes(scaled)


def margins(metric: MetricSpec, reference: Floats, differences: Floats) -> Floats:
    """Return the margin on the test's scale, [arms]: as declared, of the mean over shared seeds, or ln(1 + m).

    `reference` [arms, seeds] is in the metric's unit; NaN where no margin is declared.
    """
    arms = len(reference)
    if metric.margin is None:
        return np.full(arms, np.nan)
    if metric.scale == "log":
        return np.full(arms, np.log1p(metric.margin))
    if not metric.relative:
        return np.full(arms, float(metric.margin))
    shared = np.isfinite(differences)
    # Without shared seeds (two samples) the baseline's own mean is the reference.
    shared[~shared.any(axis=1)] = True
    _, mean, _ = count_mean_sd(np.where(shared, reference, np.nan))
    return np.asarray(metric.margin * np.abs(mean))


def _test(
    differences: Floats, summary: Summary, margin: Floats, usable: Flags, method: Method
) -> tuple[Floats, Floats]:
    """p of no difference and p of equivalence, NaN outside `usable`."""
    p, p_equivalence = np.full(len(usable), np.nan), np.full(len(usable), np.nan)
    if method.test == "permutation":
        for arm in np.flatnonzero(usable):
            row = differences[arm][np.isfinite(differences[arm])]
            if len(row) > LARGEST_FLIP:
                raise AblateError(
                    f"the exact sign-flip test takes at most {LARGEST_FLIP} shared seeds, got {len(row)}",
                    hint="use test='paired'",
                )
            p[arm] = sign_flip_p(row)
            if np.isfinite(margin[arm]):
                sides = (row + margin[arm], margin[arm] - row)
                p_equivalence[arm] = max(sign_flip_p(side, one_sided=True) for side in sides)
        return p, p_equivalence
    if method.test == "skewed":
        usable = usable & (summary.n >= FEWEST["skewed"])
        if not usable.any():
            return p, p_equivalence
        rows, own = differences[usable], summary.of(usable)
        p[usable] = skewed_p(rows, own)
        p_equivalence[usable] = skewed_equivalence_p(rows, own, margin[usable])
        return p, p_equivalence
    mean, se, df = summary.mean[usable], summary.se[usable], summary.df[usable]
    p[usable] = two_sided_p(mean, se, df)
    p_equivalence[usable] = equivalence_p(mean, se, df, margin[usable])
    return p, p_equivalence


def shown(metric: MetricSpec, improvement: Floats, width: Floats) -> tuple[Floats, Floats, Floats]:
    """Return difference, low and high as a reader wants them: arm minus baseline, a fraction on the log scale."""
    sign = 1.0 if metric.direction == "max" else -1.0
    middle = sign * improvement
    low, high = middle - width, middle + width
    if metric.scale == "log":
        return np.expm1(middle), np.expm1(low), np.expm1(high)
    return middle, low, high


def interval_width(summary: Summary, level: Floats | float) -> Floats:
    """Half-width of the t-interval of the improvement; NaN below two seeds."""
    return half_width(summary.se, summary.df, level)
