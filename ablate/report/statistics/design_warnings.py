"""What is doubtful about a design or its data, said before any number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ablate.recipe import digest_of
from ablate.report.statistics.contrast import transform
from ablate.report.statistics.granularity import proves_nothing
from ablate.report.statistics.model import Lint
from ablate.report.statistics.sequential.looks import LookPlan
from ablate.report.statistics.skewed_noise import is_one_sided
from ablate.report.statistics.trial_matrix import Trials
from ablate.study.spec import MetricSpec, Study
from ablate.study.verdict_method import Method, Test

UNEQUAL_IMAGES = 1.01
"""Ratio of images seen above which compute is called unequal."""
UNEQUAL_SECONDS = 1.25
"""The same for measured seconds, which differ between slots and machines anyway."""


def design_lints(study: Study) -> tuple[Lint, ...]:
    """Doubts about the study itself: arms that are one experiment, arms that change several factors, no margin."""
    return (*_same_recipes(study), *_several_factors(study), *_no_margin(study.metrics))


def data_lints(
    trials: Trials, metrics: Sequence[MetricSpec], plan: LookPlan, *, test: Test = "paired"
) -> tuple[Lint, ...]:
    """Doubts about results: no baseline, other seeds, identical results, unequal compute, seeds beyond the plan."""
    found = [
        *_baseline_missing(trials),
        *(_other_seeds(trials, plan) if test != "welch" else ()),
        *_identical_arms(trials, metrics),
        *_identical_seeds(trials, metrics),
        *_unequal_compute(trials),
        *(_skewed_noise(trials, metrics, plan) if test == "paired" else ()),
        *_off_plan(trials, plan),
        *_left_out(trials),
    ]
    return tuple(found)


def method_lints(used: Method, declared: Method) -> tuple[Lint, ...]:
    """Say that a comparison is made in another way than the study declared before its results were known."""
    changes = used.changes(declared)
    if not changes:
        return ()
    text = ", ".join(f"{word} is {here}, the study file says {before}" for word, (before, here) in changes.items())
    return (
        Lint(
            "method-changed",
            f"changed after the run: {text}; a test chosen after seeing the results is wrong more often",
        ),
    )


def pair_lints(trials: Trials) -> tuple[Lint, ...]:
    """Doubts about results that are compared with those of another study: other seeds, unequal compute."""
    return (*_other_seeds(trials), *_unequal_compute(trials))


def _same_recipes(study: Study) -> Iterator[Lint]:
    if not study.core:
        return  # Of imported results only some settings are known.
    groups: dict[str, list[str]] = defaultdict(list)
    for arm in study.arms:
        groups[digest_of(dict(arm.settings))].append(arm.name)
    for names in groups.values():
        if len(names) > 1:
            yield Lint(
                "same-recipe", f"{_listed(names)} resolve to the same recipe: they are the same experiment", names[1]
            )


def _several_factors(study: Study) -> Iterator[Lint]:
    baseline = study.baseline.settings
    for arm in study.arms[1:]:
        changed = [name for name, level in arm.settings.items() if level != baseline.get(name)]
        if len(changed) > 1:
            names = ", ".join(changed)
            text = f"{arm.name} changes {len(changed)} factors at once ({names}): the difference belongs to all of them"
            yield Lint("several-factors", text, arm.name)


def _no_margin(metrics: Sequence[MetricSpec]) -> Iterator[Lint]:
    for metric in metrics:
        if metric.margin is None and metric.primary:
            text = f'no margin for metric {metric.name}: only identical results can be "equivalent"'
            yield Lint("no-margin", text)


def _baseline_missing(trials: Trials) -> Iterator[Lint]:
    if not (trials.measured[0] | trials.diverged[0]).any():
        yield Lint("no-baseline", f"the baseline {trials.arms[0]!r} has no results", trials.arms[0])


def _other_seeds(trials: Trials, plan: LookPlan | None = None) -> Iterator[Lint]:
    """Arms whose finished seeds are not the baseline's; with several looks, up to the look that the arm is at."""
    results = trials.measured | trials.diverged
    seen = np.cumsum(results, axis=1)
    seeds = np.array(trials.seeds)
    for place in np.flatnonzero(~trials.baselines):
        arm, partner = trials.arms[place], trials.partner[place]
        most = plan.looks[plan.places[place]] if plan is not None and len(plan.looks) > 1 else len(seeds)
        own, theirs = (results[row] & (seen[row] <= most) for row in (place, partner))
        alone, lacking = seeds[own & ~theirs], seeds[theirs & ~own]
        if not own.any() or not theirs.any() or not (len(alone) or len(lacking)):
            continue
        parts = [f"lacks seed {_numbers(lacking)}"] if len(lacking) else []
        parts += [f"has seed {_numbers(alone)} that {trials.reference} lacks"] if len(alone) else []
        yield Lint("other-seeds", f"{arm} {' and '.join(parts)}: only shared seeds are compared", arm)


def _identical_arms(trials: Trials, metrics: Sequence[MetricSpec]) -> Iterator[Lint]:
    """Arms with the very same values in every seed, on every metric but measured times."""
    names = not_times(metrics)
    groups: dict[bytes, list[str]] = defaultdict(list)
    if not names:
        return
    for place, arm in enumerate(trials.arms):
        if trials.measured[place].any():
            groups[np.stack([trials.values[name][place] for name in names]).tobytes()].append(arm)
    for arms in groups.values():
        if len(arms) > 1:
            yield Lint(
                "identical-arms", f"{_listed(arms)} give identical results{_meaning(trials, names, arms)}", arms[1]
            )


def _meaning(trials: Trials, names: Sequence[str], arms: Sequence[str]) -> str:
    """What identical results of `arms` say: little, where every metric has few possible values."""
    one, other = (trials.arms.index(arm) for arm in arms[:2])
    shared = trials.measured[one] & trials.measured[other]
    count = np.array([float(shared.sum())])
    fine = any(not proves_nothing(trials.values[name], count)[0] for name in names)
    recipes = trials.recipes
    if fine or (recipes is not None and (recipes[one] == recipes[other])[shared].all() and (recipes[one] != "").any()):
        return ": they are the same experiment"
    return ", but only on coarse metrics, where different arms are often identical"


def not_times(metrics: Sequence[MetricSpec]) -> list[str]:
    """Return the names of the metrics that are no measured times: equal seeds give these equal values."""
    return [metric.name for metric in metrics if not _is_time(metric)]


def _is_time(metric: MetricSpec) -> bool:
    return metric.unit == "s" or metric.unit.startswith("s/")


def _identical_seeds(trials: Trials, metrics: Sequence[MetricSpec]) -> Iterator[Lint]:
    for metric in metrics:
        table = trials.values[metric.name]
        if metric.name in trials.censored or (metric.digits == 0 and not metric.primary):
            # Counts and places of a grid (steps, updates) are often alike, and say nothing about the seed.
            continue
        if not metric.primary and len(trials.arms) > 1 and len(np.unique(table[np.isfinite(table)])) == 1:
            # One number in the whole study is a reference (the bound of a linear denoiser), not a forgotten seed.
            continue
        arms = []
        for arm, values in zip(trials.arms, table, strict=True):
            there = values[np.isfinite(values)]
            if len(there) > 1 and (there == there[0]).all():
                arms.append(arm)
        if arms:
            text = f"{metric.name} of {_listed(arms)} is the same in every seed: is the seed used?"
            yield Lint("identical-seeds", text, arms[0])


def _unequal_compute(trials: Trials) -> Iterator[Lint]:
    if trials.compute is None:
        return
    name, cost = trials.compute
    limit = UNEQUAL_IMAGES if name == "images_seen" else UNEQUAL_SECONDS
    what = "training images" if name == "images_seen" else "time"
    for place in np.flatnonzero(~trials.baselines):
        arm, own, theirs = trials.arms[place], cost[place], cost[trials.partner[place]]
        shared = (theirs > 0) & (own > 0)
        if not shared.any():
            continue
        ratio = float(np.exp(np.mean(np.log(own[shared] / theirs[shared]))))
        if max(ratio, 1 / ratio) > limit:
            yield Lint("unequal-compute", f"{arm} takes {ratio:.2f} times the {what} of {trials.reference}", arm)


def _skewed_noise(trials: Trials, metrics: Sequence[MetricSpec], plan: LookPlan) -> Iterator[Lint]:
    """Arms that are much noisier than the baseline, with skewed noise: there the paired t errs far too often."""
    metric = next(metric for metric in metrics if metric.primary)
    values = transform(metric)(np.where(plan.used & trials.measured, trials.values[metric.name], np.nan))
    others = np.flatnonzero(~trials.baselines)
    rows, skewness = is_one_sided(values[others], values[trials.partner[others]])
    if rows:
        arms = [trials.arms[others[row]] for row in rows]
        text = (
            f"{_listed(arms)}: noise is more than twice that of {trials.reference} and skewed (about {skewness:+.1f}), "
            "so that the paired t may call arms different too often, in up to a quarter of studies; the test 'skewed' "
            "keeps its level, and on the log scale noise may be even"
        )
        yield Lint("skewed-noise", text, arms[0])


def _off_plan(trials: Trials, plan: LookPlan) -> Iterator[Lint]:
    """Arms with fewer or more seeds than the one declared look (several looks place every arm by themselves)."""
    if not plan.runs_wanted or len(plan.looks) > 1:
        return
    runs = (trials.measured | trials.diverged).sum(axis=1)
    for arm, number in zip(trials.arms, runs.tolist(), strict=True):
        if 0 < number < plan.runs_wanted:
            yield Lint("partial", f"{arm} has {number} of {plan.runs_wanted} seeds: its verdict may change", arm)
        if number > plan.runs_wanted:
            text = (
                f"{arm} has {number} seeds, {plan.runs_wanted} were declared: seeds added after a look raise the error "
                "rate"
            )
            yield Lint("extra-seeds", text, arm)


def _left_out(trials: Trials) -> Iterator[Lint]:
    if trials.left_out:
        yield Lint("left-out", f"results of {_listed(list(trials.left_out))} are stored but not compared")


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Return "a, b and c"; long lists end with a count."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _numbers(seeds: Sequence[int] | np.ndarray, most: int = 8) -> str:
    text = ", ".join(str(int(seed)) for seed in seeds[:most])
    return text if len(seeds) <= most else f"{text} and {len(seeds) - most} more"
