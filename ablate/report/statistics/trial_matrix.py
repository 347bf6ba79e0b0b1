"""A long table of anybody's results becomes checked matrices [arms, seeds]; whatever is wrong is said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.report.statistics.metric_spec import is_part
from ablate.report.statistics.significance import Floats
from ablate.study.spec import MetricSpec

MEASURED, DIVERGED, PRUNED = OutcomeKind.MEASURED.value, OutcomeKind.DIVERGED.value, OutcomeKind.PRUNED.value
INFRASTRUCTURE = frozenset(kind.value for kind in OutcomeKind if not kind.is_result)
OUTCOMES = tuple(kind.value for kind in OutcomeKind)

REACHED = "_reached"
"""Behind a metric's name: the column that is 0 where a trial never got to what the metric is the time of."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Trials:
    """Results by arm and seed. Matrices are [arms, seeds]; seeds ascend. Infrastructure failures are not in it."""

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    measured: Flags
    diverged: Flags
    pruned: Flags
    values: Mapping[str, Floats]
    """Metric -> values, NaN where not measured."""
    left_out: tuple[str, ...] = ()
    """Arms with results that were not asked for."""
    compute: tuple[str, Floats] | None = None
    """What a trial cost: the column's name and its values, where there is such a column."""
    partner: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """[arms]: the row each arm is compared with; a row that is its own partner is a baseline."""
    censored: Mapping[str, Flags] = field(default_factory=dict)
    """Metric -> [arms, seeds]: True where a trial says that it never got there (its column ``NAME_reached`` is 0)."""
    reference: str = "the baseline"
    """What arms are compared with, in words."""
    recipes: NDArray[np.object_] | None = None
    """[arms, seeds]: digest of each trial's recipe, empty where it is not known; None where no trial has one."""
    shared: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Metric -> what the variance of a mean difference has beyond the spread over columns, and degrees of freedom with
    it in, both [arms]: where columns are data sets, what seeds do in all of them alike."""

    @property
    def baselines(self) -> Flags:
        """[arms]: True for arms that others are compared with."""
        return np.asarray(self.partner == np.arange(len(self.arms)))

    def of(self, arms: Sequence[str]) -> Trials:
        """Return the part of `arms`, in their order: what `read_trials` gives for these arms of the same table.

        Seeds without a result in any of them are left out; an arm that is not here has no results. The first arm is
        the one the others are compared with.
        """
        chosen = tuple(dict.fromkeys(arms))
        place = {arm: at for at, arm in enumerate(self.arms)}
        rows = np.array([place.get(arm, -1) for arm in chosen], dtype=np.int64)
        there = rows >= 0
        results: Flags = self.measured | self.diverged | self.pruned
        seeds: Flags = np.asarray(results[rows[there]].any(axis=0))

        def flags(matrix: Flags) -> Flags:
            return np.asarray(matrix[rows][:, seeds] & there[:, None])

        def numbers(matrix: Floats) -> Floats:
            return np.where(there[:, None], matrix[rows][:, seeds], np.nan)

        others = {arm for arm, own in zip(self.arms, results, strict=True) if own.any()} - set(chosen)
        return replace(
            self,
            arms=chosen,
            seeds=tuple(seed for seed, kept in zip(self.seeds, seeds, strict=True) if kept),
            measured=flags(self.measured),
            diverged=flags(self.diverged),
            pruned=flags(self.pruned),
            values={name: numbers(matrix) for name, matrix in self.values.items()},
            left_out=tuple(sorted({*self.left_out, *others})),
            compute=None if self.compute is None else (self.compute[0], numbers(self.compute[1])),
            partner=np.zeros(len(chosen), dtype=np.int64),
            censored={name: flags(matrix) for name, matrix in self.censored.items()},
            recipes=None if self.recipes is None else np.where(there[:, None], self.recipes[rows][:, seeds], ""),
            shared={name: (variance[rows], df[rows]) for name, (variance, df) in self.shared.items()},
        )


def settle_metrics(metrics: Sequence[MetricSpec]) -> tuple[MetricSpec, ...]:
    """Check metric declarations; a single metric is the primary one. Raises AblateError."""
    if not metrics:
        raise AblateError("no metric to compare", hint="pass metrics=[MetricSpec(name, direction, primary=True)]")
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise AblateError(f"metric {name!r} is declared twice")
    for metric in metrics:
        _check_metric(metric)
    if len(metrics) == 1:
        return (replace(metrics[0], primary=True),)
    primary = [metric.name for metric in metrics if metric.primary]
    if len(primary) != 1:
        raise AblateError(f"exactly one metric must be primary, got {primary or 'none'}", hint=f"one of {names}")
    return tuple(metrics)


def _check_metric(metric: MetricSpec) -> None:
    if metric.direction not in ("max", "min"):
        raise AblateError(f"metric {metric.name!r}: direction is max or min, got {metric.direction!r}")
    if metric.scale not in ("identity", "log"):
        raise AblateError(f"metric {metric.name!r}: scale is identity or log, got {metric.scale!r}")
    if metric.margin is not None and not (np.isfinite(metric.margin) and metric.margin > 0):
        raise AblateError(f"metric {metric.name!r}: the margin must be above 0, got {metric.margin!r}")


def read_trials(
    frame: pd.DataFrame, metrics: Sequence[MetricSpec], baseline: str, arms: Sequence[str] | None
) -> Trials:
    """Check `frame` (columns arm, seed, one per metric, and outcome if there is one) and return its matrices.

    Without an `outcome` column every row counts as measured. Raises AblateError on anything that cannot be read one
    way only: missing columns, words where numbers belong, unknown outcomes, two results of one (arm, seed).
    """
    _check_columns(frame, metrics)
    table = pd.DataFrame({"arm": _arm_names(frame), "seed": _seeds(frame), "outcome": _outcomes(frame)})
    for metric in metrics:
        table[f"metric {metric.name}"] = _values(frame, metric, table)
    compute = next((name for name in ("images_seen", "seconds") if name in frame.columns), None)
    if compute is not None:
        table["compute"] = pd.to_numeric(frame[compute], errors="coerce").to_numpy(dtype=np.float64)
    reached = [metric.name for metric in metrics if f"{metric.name}{REACHED}" in frame.columns]
    for name in reached:
        table[f"reached {name}"] = pd.to_numeric(frame[f"{name}{REACHED}"], errors="coerce").to_numpy(dtype=np.float64)
    if "recipe_digest" in frame.columns:
        table["recipe"] = frame["recipe_digest"].fillna("").astype(str).to_numpy()
    order = _arm_order(list(dict.fromkeys(table["arm"])), baseline, arms)
    table = table[~table["outcome"].isin(INFRASTRUCTURE)]
    _refuse_duplicates(table, frame)
    left_out = tuple(sorted(set(table["arm"]) - set(order)))
    return _matrices(table[table["arm"].isin(order)], order, metrics, left_out, compute, reached)


def _check_columns(frame: pd.DataFrame, metrics: Sequence[MetricSpec]) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise AblateError(f"compare takes a pandas DataFrame with one row per trial, got {type(frame).__name__}")
    for name in ("arm", "seed", *(metric.name for metric in metrics)):
        if name not in frame.columns:
            columns = [str(column) for column in frame.columns]
            near = difflib.get_close_matches(name, columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the columns are {columns}"
            raise AblateError(f"the table has no column {name!r}", hint=hint)
        if isinstance(frame[name], pd.DataFrame):
            raise AblateError(f"the table has two columns {name!r}")


def _arm_names(frame: pd.DataFrame) -> list[str]:
    if frame["arm"].isna().any():
        raise AblateError(f"a row has no arm (row {int(np.argmax(frame['arm'].isna().to_numpy()))})")
    return [str(name) for name in frame["arm"]]


def _seeds(frame: pd.DataFrame) -> NDArray[np.int64]:
    numbers = pd.to_numeric(frame["seed"], errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers)))
    if len(wrong):
        raise AblateError(f"a seed must be a whole number, got {_said(frame['seed'], wrong[0])} (row {wrong[0]})")
    return numbers.astype(np.int64)


def _said(column: pd.Series, place: int) -> str:
    """The cell as Python writes it, without numpy's type around a number."""
    value = column.iloc[place]
    return repr(value.item() if isinstance(value, np.generic) else value)


def _outcomes(frame: pd.DataFrame) -> list[str]:
    if "outcome" not in frame.columns:
        return [MEASURED] * len(frame)
    words = [str(word) for word in frame["outcome"]]
    for place, word in enumerate(words):
        if word not in OUTCOMES:
            raise AblateError(f"unknown outcome {word!r} (row {place})", hint=f"known: {', '.join(OUTCOMES)}")
    return words


def _values(frame: pd.DataFrame, metric: MetricSpec, table: pd.DataFrame) -> Floats:
    """Values of measured rows, NaN elsewhere; refuses words, infinities and what the log scale cannot take."""
    column = frame[metric.name]
    numbers = np.asarray(pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan))
    measured = (table["outcome"] == MEASURED).to_numpy()
    empty = column.isna().to_numpy()

    def refuse(wrong: Flags, what: str, hint: str | None = None) -> None:
        places = np.flatnonzero(wrong & measured)
        if len(places):
            arm, seed = table["arm"].iloc[places[0]], table["seed"].iloc[places[0]]
            value = _said(column, places[0])
            raise AblateError(f"{metric.name} of arm {arm!r}, seed {seed} {what}: {value}", hint=hint)

    refuse(np.isnan(numbers) & ~empty, "is not a number")
    if "outcome" not in frame.columns:
        hint = "add a column 'outcome' that says why: measured, diverged, failed, ..."
        refuse(empty, "is missing", hint)
    refuse(np.isinf(numbers), "is infinite", "give such a trial the outcome 'diverged', or leave the value empty")
    if metric.scale == "log":
        refuse(numbers <= 0, "must be above 0 on the log scale", "declare the metric with scale 'identity'")
    return np.where(measured, numbers, np.nan)


def _refuse_duplicates(table: pd.DataFrame, frame: pd.DataFrame) -> None:
    twice = table[table.duplicated(["arm", "seed"])]
    if len(twice):
        arm, seed = twice["arm"].iloc[0], twice["seed"].iloc[0]
        part = next((str(name) for name in frame.columns if is_part(str(name))), None)
        hint = (
            "keep one row per (arm, seed): retries are not new seeds"
            if part is None
            else f"is each row one {part!r} of a run? Average within the run first: "
            "frame.groupby(['arm', 'seed'], as_index=False).mean(numeric_only=True)"
        )
        raise AblateError(f"two results of arm {arm!r}, seed {seed}", hint=hint)


def _arm_order(found: list[str], baseline: str, arms: Sequence[str] | None) -> tuple[str, ...]:
    """The baseline first, then the arms asked for, or all in order of appearance."""
    if isinstance(arms, str):
        raise AblateError(f"arms must be a list of names, got the text {arms!r}")
    wanted = found if arms is None else list(dict.fromkeys(arms))
    return (baseline, *(arm for arm in wanted if arm != baseline))


def _matrices(
    table: pd.DataFrame,
    arms: tuple[str, ...],
    metrics: Sequence[MetricSpec],
    left_out: tuple[str, ...],
    compute: str | None,
    reached: Sequence[str],
) -> Trials:
    seeds = tuple(sorted({int(seed) for seed in table["seed"]}))
    row = table["arm"].map({arm: place for place, arm in enumerate(arms)}).to_numpy(dtype=np.int64)
    column = table["seed"].map({seed: place for place, seed in enumerate(seeds)}).to_numpy(dtype=np.int64)

    def flags(outcome: str) -> Flags:
        out = np.zeros((len(arms), len(seeds)), dtype=np.bool_)
        out[row, column] = (table["outcome"] == outcome).to_numpy()
        return out

    def numbers(name: str) -> Floats:
        out = np.full((len(arms), len(seeds)), np.nan)
        out[row, column] = table[name].to_numpy(dtype=np.float64)
        return out

    values = {metric.name: numbers(f"metric {metric.name}") for metric in metrics}
    cost = None if compute is None else (compute, np.where(flags(MEASURED), numbers("compute"), np.nan))
    partner = np.zeros(len(arms), dtype=np.int64)
    censored = {name: numbers(f"reached {name}") == 0 for name in reached}
    trials = Trials(
        arms, seeds, flags(MEASURED), flags(DIVERGED), flags(PRUNED), values, left_out, cost, partner, censored
    )
    if "recipe" not in table.columns:
        return trials
    recipes = np.full((len(arms), len(seeds)), "", dtype=object)
    recipes[row, column] = table["recipe"].to_numpy(dtype=object)
    return replace(trials, recipes=recipes)
