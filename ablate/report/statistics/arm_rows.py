"""Numbers of all arms become one `Row` per arm: plain Python values, notes in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.report.statistics.contrast import Contrast, interval_width, shown, transform
from ablate.report.statistics.model import Row, Verdict
from ablate.report.statistics.sequential.futility import Outlook
from ablate.report.statistics.sequential.looks import LookPlan
from ablate.report.statistics.significance import LEVEL, Floats, correlations, count_mean_sd, half_width
from ablate.report.statistics.trial_matrix import Flags, Trials
from ablate.report.statistics.verdicts import STOPPED, Evidence, Word, is_diverged, judge
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import FEWEST, Method


@dataclass(frozen=True)
class Counts:
    """How the seeds of each arm ended, at the arm's look; vectors [arms]."""

    runs: NDArray[np.int64]
    diverged: NDArray[np.int64]
    pruned: NDArray[np.int64]
    all_runs: NDArray[np.int64]
    """Runs beyond the look included."""


@dataclass(frozen=True)
class Setting:
    """Everything that is the same for all metrics of a comparison."""

    trials: Trials
    plan: LookPlan
    counts: Counts
    method: Method
    comparable: Flags
    """[arms]: False for baselines, and where the baseline has nothing to compare with."""
    alike: Flags
    """[arms]: True for an arm that is one experiment with the baseline, whatever a coarse metric says."""


def metric_rows(
    setting: Setting, metric: MetricSpec, numbers: Contrast, ahead: Outlook, *, exploratory: bool
) -> dict[str, Row]:
    """Return arm -> row for one metric."""
    columns = _columns(metric, numbers, setting, ahead)
    lists = {name: _plain(column) for name, column in columns.items()}
    rows = {}
    for place, arm in enumerate(setting.trials.arms):
        cells = {name: column[place] for name, column in lists.items()}
        stopped = bool(ahead.stopped[place])
        rows[arm] = _row(setting, metric, numbers, place, cells, exploratory=exploratory, stopped=stopped)
    return rows


def _plain(column: Floats) -> list[float | None]:
    """Floats with None where the array is not finite."""
    return [value if finite else None for value, finite in zip(column.tolist(), np.isfinite(column), strict=True)]


def _columns(metric: MetricSpec, numbers: Contrast, setting: Setting, ahead: Outlook) -> dict[str, Floats]:
    """Every numeric field of `Row`, as vectors [arms]."""
    scaled = transform(metric)(numbers.values)
    shared = np.isfinite(numbers.differences)
    shared_baseline = np.where(shared, numbers.reference, np.nan)
    baseline_mean = count_mean_sd(shared_baseline)[1]
    # Before a declared look there is a number, but no interval: an interval that excludes 0 reads like a verdict.
    width = np.where(setting.plan.reached, interval_width(numbers.tested, 0.05), np.nan)
    width = np.where(numbers.still, 0.0, width)  # What is left of it is the rounding of floats.
    diff, low, high = shown(metric, numbers.tested.mean, width)
    corrected = setting.method.test in ("paired", "welch")
    width = interval_width(numbers.tested, numbers.level if corrected else np.full(len(diff), np.nan))
    _, thin_low, thin_high = shown(metric, numbers.tested.mean, width)
    several = len(setting.plan.looks) > 1 and corrected
    repeated = setting.plan.levels.shared(1 - LEVEL, setting.plan.places)
    width = interval_width(numbers.tested, np.where(several & setting.plan.reached, repeated, np.nan))
    _, wide_low, wide_high = shown(metric, numbers.tested.mean, np.where(numbers.still, np.nan, width))
    seed_sd = count_mean_sd(scaled)[2]
    typical = np.sqrt((seed_sd**2 + seed_sd[setting.trials.partner] ** 2) / 2)
    relative = diff if metric.scale == "log" else _ratio(diff, np.abs(baseline_mean))
    pooled_mean = numbers.tested.mean
    return {
        "mean": numbers.mean,
        "sd": numbers.sd,
        "half_width": half_width(numbers.sd / np.sqrt(np.maximum(numbers.n, 1)), np.maximum(numbers.n - 1, 1)),
        "diff": diff,
        "ci_low": low,
        "ci_high": high,
        "holm_low": thin_low,
        "holm_high": thin_high,
        "repeated_low": wide_low,
        "repeated_high": wide_high,
        "improvement": pooled_mean,
        "sd_diff": numbers.own.sd,
        "effect": _ratio(pooled_mean, np.where(numbers.still, np.nan, numbers.own.sd)),
        "seed_sds": _ratio(pooled_mean, typical),
        "percent": 100 * relative,
        "se": np.where(numbers.still, 0.0, numbers.tested.se),
        "df": numbers.tested.df,
        "p": numbers.p,
        "p_plain": numbers.p_plain,
        "p_holm": numbers.p_corrected,
        "p_equivalence": numbers.p_equivalence,
        "p_equivalence_holm": numbers.p_equal,
        "margin": numbers.margin,
        "alpha": setting.plan.alpha,
        "chance": ahead.chance,
        "could_show": ahead.could_show if metric.scale == "identity" else np.expm1(ahead.could_show),
        "rho": correlations(np.where(shared, scaled, np.nan), scaled[setting.trials.partner]),
    }


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0))


def _row(
    setting: Setting,
    metric: MetricSpec,
    numbers: Contrast,
    place: int,
    cells: dict[str, float | None],
    *,
    exploratory: bool,
    stopped: bool,
) -> Row:
    counts, partner = setting.counts, int(setting.trials.partner[place])
    is_baseline = partner == place
    runs, diverged = int(counts.runs[place]), int(counts.diverged[place])
    hopeless = is_diverged(diverged, runs)
    if hopeless:
        cells = {**cells, "mean": None, "sd": None, "half_width": None}
    if exploratory:
        # Intervals at the corrected level belong to the family of tests on the primary metric.
        cells = {**cells, "p_holm": None, "p_equivalence_holm": None, "holm_low": None, "holm_high": None}
    censored = bool(censored_arms(setting.trials, metric.name)[place])
    if censored:
        cells = {**cells, "mean": None, "sd": None, "half_width": None}
    word = None
    if censored and not is_baseline and not hopeless:
        word = Word(Verdict.UNDECIDED, _censored_note(setting.trials, metric.name, place))
    elif not is_baseline and (bool(setting.comparable[place]) or hopeless):
        word = judge(_evidence(setting, metric, numbers, place, cells, exploratory=exploratory, stopped=stopped))
    if word is not None and word.verdict is Verdict.UNDECIDED and numbers.still[place]:
        # No seed noise was seen, so nothing says how wide an interval is; one without a width would look certain.
        cells = {**cells, **dict.fromkeys(_INTERVALS)}
    stopped = word is not None and word.note == STOPPED
    if word is not None and word.verdict is not Verdict.UNDECIDED:
        cells = {**cells, "chance": None, "could_show": None}
    paired = np.isfinite(numbers.differences[place]) & (not is_baseline)
    differences = shown(metric, numbers.differences[place][paired], np.zeros(int(paired.sum())))[0]
    seeds = np.array(setting.trials.seeds, dtype=np.int64)
    there = np.isfinite(numbers.values[place])
    wins = int((numbers.differences[place][paired] > 0).sum()) if paired.any() else None
    return Row(
        arm=setting.trials.arms[place],
        metric=metric.name,
        n=int(numbers.n[place]),
        runs=runs,
        diverged=diverged,
        pairs=int(numbers.n[place]) if is_baseline else int(numbers.pairs[place]),
        verdict=word.verdict if word else None,
        exploratory=exploratory,
        note=_note(setting, numbers, place, word, exploratory=exploratory, censored=censored),
        more_seeds=word.more_seeds if word else None,
        stopped=stopped,
        wins=None if setting.method.test == "welch" else wins,
        values=dict(zip(seeds[there].tolist(), numbers.values[place][there].tolist(), strict=True)),
        differences=dict(zip(seeds[paired].tolist(), differences.tolist(), strict=True)),
        **(dict.fromkeys(cells) | {key: cells[key] for key in _BASELINE_CELLS} if is_baseline else cells),
    )


_INTERVALS = ("ci_low", "ci_high", "holm_low", "holm_high", "repeated_low", "repeated_high")
_BASELINE_CELLS = ("mean", "sd", "half_width", "alpha")


def _evidence(
    setting: Setting,
    metric: MetricSpec,
    numbers: Contrast,
    place: int,
    cells: dict[str, float | None],
    *,
    exploratory: bool,
    stopped: bool,
) -> Evidence:
    counts, needed = setting.counts, numbers.needed[place]
    return Evidence(
        n=int(numbers.tested.n[place]),
        runs=int(counts.runs[place]),
        diverged=int(counts.diverged[place]),
        baseline_diverged=int(counts.diverged[setting.trials.partner[place]]),
        improvement=cells["improvement"],
        still=bool(numbers.still[place]),
        p=_plain(numbers.p_corrected)[place],
        p_equivalence=_plain(numbers.p_equal)[place],
        alpha=float(setting.plan.alpha[place]),
        needed=None if np.isnan(needed) else int(needed),
        margin_text=margin_text(metric),
        reached=bool(setting.plan.reached[place]),
        wanted=setting.plan.looks[0] if setting.plan.looks else 0,
        fewest=FEWEST.get(setting.method.test, 2),
        identical=bool(numbers.identical[place]),
        coarse=bool(numbers.coarse[place] and not setting.alike[place]),
        stopped=stopped,
    )


def margin_text(metric: MetricSpec) -> str:
    """The margin as a reader says it: ``0.1 dB``, ``2 %``; empty when none is declared."""
    if metric.margin is None:
        return ""
    if metric.scale == "log" or metric.relative:
        return f"{100 * metric.margin:g} %"
    return f"{metric.margin:g} {metric.unit}".rstrip()


def _note(
    setting: Setting, numbers: Contrast, place: int, word: Word | None, *, exploratory: bool, censored: bool
) -> str:
    """What a reader of the row has to know, most important first."""
    counts = setting.counts
    runs, diverged = int(counts.runs[place]), int(counts.diverged[place])
    missing = runs - diverged - int(numbers.n[place]) if not censored else 0
    waiting = int(counts.all_runs[place]) - runs
    parts = [word.note] if word and word.note else []
    if diverged and (word is None or word.verdict is not Verdict.DIVERGED):
        parts.append(f"{diverged} of {runs} seeds diverged" + ("" if is_diverged(diverged, runs) else _SURVIVORS))
    if missing:
        parts.append(f"no value in {missing} of {runs} seeds")
    if counts.pruned[place]:
        parts.append(f"{int(counts.pruned[place])} pruned")
    if waiting > 0:
        parts.append(f"{waiting} more measured, reserved for the next look")
    if not runs:
        parts.insert(0, "not measured yet")
    if exploratory and word is not None:
        parts.append("exploratory")
    return "; ".join(parts)


def censored_arms(trials: Trials, metric: str) -> Flags:
    """[arms]: True where some seed of the arm, or of what it is compared with, never got there.

    The others are survivors: their mean says too much. Times to a quality are compared by `reaching.race` instead.
    """
    own = trials.censored.get(metric)
    if own is None:
        return np.zeros(len(trials.arms), dtype=np.bool_)
    lacking = own.sum(axis=1) > 0
    return np.asarray(lacking | lacking[trials.partner])


def _censored_note(trials: Trials, metric: str, place: int) -> str:
    own = trials.censored[metric]
    parts = []
    for row, whose in ((place, ""), (int(trials.partner[place]), f" of {trials.reference}")):
        if own[row].any() and not (whose and row == place):
            parts.append(f"not reached in {int(own[row].sum())} of {int(trials.measured[row].sum())} seeds{whose}")
    return "; ".join(parts)


_SURVIVORS = ", numbers are those of the others"
