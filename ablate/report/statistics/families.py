"""Contrasts of several arms at once: main effects and interactions, the steps of a path, neighbouring levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.report.statistics.arm_rows import margin_text
from ablate.report.statistics.contrast import shown, transform
from ablate.report.statistics.corrections import adjust
from ablate.report.statistics.granularity import proves_nothing
from ablate.report.statistics.model import Verdict
from ablate.report.statistics.power import seeds_needed
from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.report.statistics.significance import (
    Floats,
    count_mean_sd,
    equivalence_p,
    half_width,
    no_noise,
    paired_summary,
    sizes,
    two_sided_p,
)
from ablate.report.statistics.trial_matrix import Flags, Trials, read_trials
from ablate.report.statistics.verdicts import Evidence, Word, is_diverged, judge
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Method

Kind = Literal["main", "interaction", "together", "step", "neighbours"]


@dataclass(frozen=True)
class FamilyPlan:
    """A contrast to be tested: the sum of weight times arm, per seed. Weights add up to 0."""

    kind: Kind
    name: str
    weights: Mapping[str, float]
    factors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """One contrast as found. `diff` and its interval are in the metric's unit, as a fraction on the log scale."""

    kind: Kind
    name: str
    factors: tuple[str, ...]
    weights: Mapping[str, float]
    """Arm -> its weight in the contrast."""
    n: int
    """Seeds measured in every arm of the contrast."""
    diff: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    """Over all looks, by Holm over the family's tested contrasts."""
    p_equivalence: float | None = None
    p_equivalence_holm: float | None = None
    """`p_equivalence` over all looks, corrected over the family's tested contrasts where the study corrects it."""
    verdict: Verdict | None = None
    """Of an interaction: better where the changes together do better than their separate effects add up to,
    equivalent where they add up within the margin."""
    note: str = ""
    more_seeds: int | None = None
    values: Mapping[int, float] = field(default_factory=dict)
    """Seed -> the contrast, in the unit of `diff`."""


@dataclass(frozen=True)
class Family:
    """Contrasts that are corrected for together."""

    kind: str
    """The design they belong to: factorial, grid, leave-one-out, path; or vary for neighbouring levels."""
    metric: str
    factors: tuple[str, ...]
    cells: Mapping[str, Mapping[str, object]]
    """Arm -> its level of each factor: the table behind a heatmap."""
    effects: tuple[Effect, ...]
    tested: int
    alpha: float


@dataclass(frozen=True)
class _Tested:
    """Vectors [contrasts]; matrices [contrasts, seeds]."""

    differences: Floats
    improvement: Floats
    width: Floats
    p: Floats
    p_corrected: Floats
    p_equivalence: Floats
    p_equal: Floats
    still: Flags
    coarse: Flags
    needed: Floats
    n: Floats
    tested: int


def family(
    frame: pd.DataFrame,
    metric: MetricSpec,
    plans: Sequence[FamilyPlan],
    *,
    kind: str,
    baseline: str,
    cells: Mapping[str, Mapping[str, object]],
    alpha: float = 0.05,
    looks: Sequence[int] = (),
    method: Method | None = None,
) -> Family:
    """Test every contrast of `plans` on the seeds that all its arms share: per seed, then as a paired t.

    `frame` is a long table as in `compare`. The p values are corrected by Holm within the family, which is one of its
    own beside the comparisons with the baseline. With declared `looks`, the seeds up to the last look that all arms of
    a contrast have filled are used, at that look's level. Of `method`, boundaries and the correction of equivalence
    count.
    """
    arms = _arms(plans, baseline)
    trials = read_trials(frame, [metric], baseline, arms)
    return family_of(
        trials, metric, plans, kind=kind, baseline=baseline, cells=cells, alpha=alpha, looks=looks, method=method
    )


def family_of(
    trials: Trials,
    metric: MetricSpec,
    plans: Sequence[FamilyPlan],
    *,
    kind: str,
    baseline: str,
    cells: Mapping[str, Mapping[str, object]],
    alpha: float = 0.05,
    looks: Sequence[int] = (),
    method: Method | None = None,
) -> Family:
    """Do what `family` does, on matrices that have been read already; they may hold more arms than the contrasts."""
    method = Method() if method is None else method
    levels = LookLevels(tuple(looks), alpha, method.boundaries)
    trials = trials.of(_arms(plans, baseline))
    weights = np.array([[plan.weights.get(arm, 0.0) for arm in trials.arms] for plan in plans])
    at = _at_looks(trials, weights, levels)
    tested = _tested(trials, metric, weights, at, method)
    effects = tuple(_effect(plan, place, trials, metric, tested, at) for place, plan in enumerate(plans))
    factors = tuple(dict.fromkeys(name for plan in plans for name in plan.factors))
    return Family(kind, metric.name, factors, cells, effects, tested.tested, float(at.alpha.max()))


def _arms(plans: Sequence[FamilyPlan], baseline: str) -> list[str]:
    return list(dict.fromkeys([baseline, *(arm for plan in plans for arm in plan.weights)]))


@dataclass(frozen=True)
class _AtLooks:
    """Where every contrast stands; vectors [contrasts]."""

    used: Flags
    """[contrasts, seeds]"""
    places: NDArray[np.int64]
    reached: Flags
    """Whether a verdict may be given."""
    levels: LookLevels

    @property
    def alpha(self) -> Floats:
        return self.levels.alpha_at(self.places)


def _at_looks(trials: Trials, weights: Floats, levels: LookLevels) -> _AtLooks:
    results = trials.measured | trials.diverged
    complete = np.array([results[row != 0].all(axis=0) for row in weights]).reshape(len(weights), len(trials.seeds))
    runs, looks = complete.sum(axis=1), np.array(levels.looks)
    if len(looks) < 2:
        return _AtLooks(complete, np.zeros(len(weights), dtype=np.int64), runs >= (looks[:1].sum()), levels)
    found = np.searchsorted(looks, runs, side="right") - 1
    places = np.maximum(found, 0)
    return _AtLooks(complete & (np.cumsum(complete, axis=1) <= looks[places][:, None]), places, found >= 0, levels)


def _tested(trials: Trials, metric: MetricSpec, weights: Floats, at: _AtLooks, method: Method) -> _Tested:
    sign = 1.0 if metric.direction == "max" else -1.0
    values = trials.values[metric.name]
    scaled = transform(metric)(values)
    gone = _diverged(trials)
    differences, size = np.full((len(weights), len(trials.seeds)), np.nan), np.zeros(len(weights))
    for place, row in enumerate(weights):
        taking = row != 0
        size[place] = sizes(scaled[taking]).max(initial=1.0 if metric.scale == "log" else 0.0)
        if not gone[taking].any():
            differences[place] = sign * (row[taking] @ scaled[taking])
    differences = np.where(at.used, differences, np.nan)
    summary = paired_summary(differences)
    still = no_noise(summary.sd, size)
    usable = at.reached & (summary.n >= 2) & ~still
    margin = _margin(metric, values, len(weights))
    p, p_equivalence = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    p[usable] = two_sided_p(summary.mean[usable], summary.se[usable], summary.df[usable])
    p_equivalence[usable] = equivalence_p(summary.mean[usable], summary.se[usable], summary.df[usable], margin[usable])
    adjusted = adjust(at.levels.overall(p, at.places), at.alpha, "holm")
    equal = adjust(at.levels.overall(2 * p_equivalence, at.places) / 2, at.alpha, method.equivalence)
    needed = np.full(len(weights), np.nan)
    each = at.levels.nominal(at.alpha / max(1, adjusted.tested), at.places)
    needed[usable] = seeds_needed(
        summary.mean[usable], summary.sd[usable], summary.n[usable], margin[usable], each[usable]
    )
    width = np.where(still, 0.0, np.where(at.reached, half_width(summary.se, summary.df), np.nan))
    return _Tested(
        differences=differences,
        improvement=summary.mean,
        width=width,
        p=p,
        p_corrected=adjusted.p,
        p_equivalence=p_equivalence,
        p_equal=equal.p,
        still=still & at.reached,
        coarse=proves_nothing(values, summary.n),
        needed=needed,
        n=summary.n,
        tested=adjusted.tested,
    )


def _diverged(trials: Trials) -> Flags:
    """[arms]: half or more of the runs diverged."""
    runs, diverged = (trials.measured | trials.diverged).sum(axis=1), trials.diverged.sum(axis=1)
    return np.asarray((runs > 0) & (2 * diverged >= runs))


def _margin(metric: MetricSpec, values: Floats, count: int) -> Floats:
    """The metric's margin on the test's scale, the same for every contrast."""
    if metric.margin is None:
        return np.full(count, np.nan)
    if metric.scale == "log":
        return np.full(count, np.log1p(metric.margin))
    size = abs(float(count_mean_sd(values[:1])[1][0])) if metric.relative else 1.0
    return np.full(count, metric.margin * size)


def _effect(
    plan: FamilyPlan,
    place: int,
    trials: Trials,
    metric: MetricSpec,
    tested: _Tested,
    at: _AtLooks,
) -> Effect:
    row = tested.differences[place]
    there = np.isfinite(row)
    diff, low, high = shown(metric, tested.improvement[place : place + 1], tested.width[place : place + 1])
    per_seed = shown(metric, row[there], np.zeros(int(there.sum())))[0]
    word = _word(plan, place, trials, metric, tested, at)
    seeds = np.array(trials.seeds, dtype=np.int64)[there]
    return Effect(
        kind=plan.kind,
        name=plan.name,
        factors=plan.factors,
        weights=dict(plan.weights),
        n=int(tested.n[place]),
        diff=_plain(diff[0]),
        ci_low=_plain(low[0]),
        ci_high=_plain(high[0]),
        p=_plain(tested.p[place]),
        p_corrected=_plain(tested.p_corrected[place]),
        p_equivalence=_plain(tested.p_equivalence[place]),
        p_equivalence_holm=_plain(tested.p_equal[place]),
        verdict=word.verdict if word else None,
        note=word.note if word else _why_not(plan, trials),
        more_seeds=word.more_seeds if word else None,
        values=dict(zip(seeds.tolist(), per_seed.tolist(), strict=True)),
    )


def _word(
    plan: FamilyPlan,
    place: int,
    trials: Trials,
    metric: MetricSpec,
    tested: _Tested,
    at: _AtLooks,
) -> Word | None:
    """The verdict, None where an arm of the contrast has nothing to average or no result at all."""
    if _why_not(plan, trials):
        return None
    n, needed = int(tested.n[place]), tested.needed[place]
    lost = int(trials.diverged[[trials.arms.index(arm) for arm in plan.weights]].any(axis=0).sum())
    return judge(
        Evidence(
            n=n,
            runs=n,
            diverged=0,
            baseline_diverged=lost,
            improvement=_plain(tested.improvement[place]),
            still=bool(tested.still[place]),
            p=_plain(tested.p_corrected[place]),
            p_equivalence=_plain(tested.p_equal[place]),
            alpha=float(at.alpha[place]),
            needed=None if np.isnan(needed) else int(needed),
            margin_text=margin_text(metric),
            reached=bool(at.reached[place]),
            wanted=at.levels.looks[0] if at.levels.looks else 0,
            identical=bool(tested.still[place] and tested.improvement[place] == 0),
            coarse=bool(tested.coarse[place]),
        )
    )


def _why_not(plan: FamilyPlan, trials: Trials) -> str:
    for arm in plan.weights:
        place = trials.arms.index(arm)
        diverged, measured = int(trials.diverged[place].sum()), int(trials.measured[place].sum())
        if not diverged + measured:
            return f"{arm} has no result"
        if is_diverged(diverged, diverged + measured):
            return f"{arm} diverged in {diverged} of {diverged + measured} seeds"
    return ""


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
