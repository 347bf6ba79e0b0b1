"""Two studies, or one before and after a change of the code: the same arms, seed by seed, each with itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from ablate.errors import AblateError
from ablate.json_values import json_label
from ablate.recipe import digest_of
from ablate.report.data.frames import trials_frame
from ablate.report.data.mixed_results import VERSIONS
from ablate.report.statistics.compare import compared
from ablate.report.statistics.design_warnings import method_lints, pair_lints
from ablate.report.statistics.model import Comparison, Lint, Row
from ablate.report.statistics.sequential.looks import plan_looks
from ablate.report.statistics.trial_matrix import Trials, read_trials
from ablate.storage.rows import TrialRow, core_versions, versions_text
from ablate.study.spec import Arm, MetricSpec, Study
from ablate.study.verdict_method import Method

Match = Literal["recipe", "levels", "name"]
_BEFORE = "\x00before "
"""In front of the arms of the first study: no arm of a study begins like this."""
_NAMED = 5


@dataclass(frozen=True)
class Pair:
    """An arm of both studies."""

    before: str
    after: str
    by: Match
    """What makes it the same arm: all settings, the levels it states, or only its name."""
    changed: tuple[str, ...] = ()
    """Settings that are not the same in both, as ``lr: 0.1 before, 0.2 after``."""


@dataclass(frozen=True)
class Across:
    """The second study against the first."""

    before: str
    after: str
    comparison: Comparison
    """One row per matched arm and metric, named as in the second study; ``diff`` is second minus first."""
    first: Mapping[tuple[str, str], Row]
    """(arm as in the second study, metric) -> the first study's own row: its mean and spread."""
    pairs: tuple[Pair, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def compare_studies(
    before: tuple[Study, Iterable[TrialRow]],
    after: tuple[Study, Iterable[TrialRow]],
    *,
    labels: tuple[str, str] | None = None,
    method: Method | None = None,
) -> Across:
    """Compare every arm that two studies have with itself, over the seeds that both measured.

    Arms are the same when all settings are, or else the levels they state, or else their names; what still differs is
    stated in a lint. Metrics, margins, alpha and (without a `method`) the test are those of the second study. All
    results are used at alpha, with no looks: the second study is one more look at the first. `labels` name the two
    where their own names do not.

    Raises AblateError when the studies share no arm, or when the first lacks the second's primary metric.
    """
    before, after = (before[0], tuple(before[1])), (after[0], tuple(after[1]))
    old, new = before[0], after[0]
    names = labels or (old.name, new.name)
    pairs, only_before, only_after = match_arms(old, new)
    if not pairs:
        raise AblateError(
            f"{names[0]} and {names[1]} have no arm in common",
            hint=f"{names[0]}: {_listed([arm.name for arm in old.arms])}; "
            f"{names[1]}: {_listed([arm.name for arm in new.arms])}",
        )
    metrics = _shared_metrics(old, new, names)
    trials = _trials(trials_frame(*before), trials_frame(*after), pairs, metrics, names[0])
    method = new.method if method is None else method
    plan = plan_looks(trials, new.alpha, None, None)
    lints = (
        *method_lints(method, new.method),
        *_mismatches(pairs, only_before, only_after, names),
        *_version_lints(before, after, names),
        *_metric_lints(old, new, metrics),
        *pair_lints(trials),
    )
    whole = compared(
        trials,
        metrics,
        plan,
        method,
        name=names[0],
        alpha=new.alpha,
        lints=lints,
        problem=_problem(trials, names),
    )
    whole = replace(whole, declared=new.method if method != new.method else None)
    return _split(whole, pairs, names, only_before, only_after)


def match_arms(before: Study, after: Study) -> tuple[tuple[Pair, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the pairs in the second study's order, then the arms that only the first or the second has."""
    left = list(before.arms)
    found: dict[str, Pair] = {}
    for by in ("recipe", "levels", "name"):
        for arm in after.arms:
            if arm.name in found:
                continue
            twin = next((other for other in left if _key(before, other, by) == _key(after, arm, by)), None)
            if twin is not None:
                left.remove(twin)
                found[arm.name] = Pair(twin.name, arm.name, by, tuple(_changed(before, twin, after, arm)))
    pairs = tuple(found[arm.name] for arm in after.arms if arm.name in found)
    return pairs, tuple(arm.name for arm in left), tuple(arm.name for arm in after.arms if arm.name not in found)


def _key(study: Study, arm: Arm, by: str) -> object:
    if by == "recipe":
        return digest_of({"core": study.core, "settings": dict(arm.settings)})
    return arm.name if by == "name" else (arm is study.baseline, sorted(map(repr, arm.levels.items())))


def _changed(before: Study, old: Arm, after: Study, new: Arm) -> Iterator[str]:
    if before.core != after.core:
        yield f"core: {before.core} before, {after.core} after"
    for name in dict.fromkeys([*old.settings, *new.settings]):
        values = [arm.settings.get(name, "not there") for arm in (old, new)]
        if values[0] != values[1]:
            shown = [json_label(value) if isinstance(value, tuple | Mapping) else value for value in values]
            yield f"{name}: {shown[0]} before, {shown[1]} after"


def _shared_metrics(old: Study, new: Study, names: tuple[str, str]) -> tuple[MetricSpec, ...]:
    known = {metric.name: metric for metric in old.metrics}
    primary = new.primary
    if primary.name not in known:
        raise AblateError(
            f"{names[0]} does not measure {primary.name}, the primary metric of {names[1]}",
            hint=f"{names[0]} measures {_listed(list(known))}",
        )
    if known[primary.name].direction != primary.direction:
        raise AblateError(
            f"the better direction of {primary.name} is {primary.direction} in {names[1]} but not in {names[0]}"
        )
    return tuple(
        metric for metric in new.metrics if metric.name in known and known[metric.name].direction == metric.direction
    )


def _trials(
    before: pd.DataFrame, after: pd.DataFrame, pairs: Sequence[Pair], metrics: Sequence[MetricSpec], name: str
) -> Trials:
    """Both studies as one table, every arm of the second with its own partner."""
    first = before.assign(arm=_BEFORE + before["arm"].astype(str))
    arms = [*(_BEFORE + pair.before for pair in pairs), *(pair.after for pair in pairs)]
    trials = read_trials(pd.concat([first, after], ignore_index=True), metrics, arms[0], arms)
    partner = np.tile(np.arange(len(pairs)), 2)
    return replace(trials, partner=partner, reference=name, left_out=())


def _problem(trials: Trials, names: tuple[str, str]) -> str | None:
    results = trials.measured | trials.diverged
    for name, own in zip(names, (trials.baselines, ~trials.baselines), strict=True):
        if not results[own].any():
            return f"{name} has no results in the arms that both studies have"
    if not (results & results[trials.partner])[~trials.baselines].any():
        return f"{names[0]} and {names[1]} share no seed in any arm"
    return None


def _mismatches(
    pairs: Sequence[Pair], only_before: Sequence[str], only_after: Sequence[str], names: tuple[str, str]
) -> Iterator[Lint]:
    for pair in pairs:
        if pair.by != "recipe":
            text = (
                f"{pair.after} has settings that differ from {names[0]} ({_listed(pair.changed)}): matched by {pair.by}"
            )
            yield Lint("other-recipe", text, pair.after)
        elif pair.before != pair.after:
            yield Lint("other-name", f"{pair.after} is called {pair.before} in {names[0]}: same settings", pair.after)
    for name, arms in zip(names, (only_before, only_after), strict=True):
        if arms:
            yield Lint("unmatched", f"only {name} has {_listed(arms)}: not compared")


def _version_lints(
    before: tuple[Study, Iterable[TrialRow]], after: tuple[Study, Iterable[TrialRow]], names: tuple[str, str]
) -> Iterator[Lint]:
    """Say which version of the core each study's results are of, where it is not the same one."""
    first, second = core_versions(before[1]), core_versions(after[1])
    if {*first, *second} != {*first} & {*second}:
        sides = (
            f"{name}: {versions_text(found) or 'not known'}" for name, found in zip(names, (first, second), strict=True)
        )
        yield Lint(VERSIONS, f"the results are of different versions of the core; {'; '.join(sides)}")


def _metric_lints(old: Study, new: Study, metrics: Sequence[MetricSpec]) -> Iterator[Lint]:
    theirs = {metric.name: metric for metric in old.metrics}
    for metric in metrics:
        if theirs[metric.name].margin != metric.margin:
            text = f"{metric.name} had another margin: {theirs[metric.name].margin} before, {metric.margin} now"
            yield Lint("other-margin", text)


def _split(
    whole: Comparison,
    pairs: Sequence[Pair],
    names: tuple[str, str],
    only_before: tuple[str, ...],
    only_after: tuple[str, ...],
) -> Across:
    arms = tuple(pair.after for pair in pairs)
    second = replace(
        whole,
        arms=arms,
        rows={(arm, metric.name): whole.rows[(arm, metric.name)] for arm in arms for metric in whole.metrics},
        stability={arm: whole.stability[arm] for arm in arms},
    )
    first = {
        (pair.after, metric.name): replace(whole.rows[(_BEFORE + pair.before, metric.name)], arm=pair.before)
        for pair in pairs
        for metric in whole.metrics
    }
    return Across(*names, second, first, tuple(pairs), only_before, only_after)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
