"""Compare every arm with the baseline: from a long table of results to verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ablate.errors import AblateError
from ablate.report.statistics.arm_rows import Counts, Setting, censored_arms, metric_rows
from ablate.report.statistics.blocks.averages import left_out, over_fixed, over_random
from ablate.report.statistics.blocks.findings import incomplete, over_blocks, shared_noise
from ablate.report.statistics.blocks.tables import cells_of_matrices, column_of_frame, frame_of
from ablate.report.statistics.contrast import Contrast, contrast
from ablate.report.statistics.design_warnings import data_lints, not_times
from ablate.report.statistics.granularity import one_experiment
from ablate.report.statistics.metric_spec import Metrics, declared_metrics, found_metrics
from ablate.report.statistics.model import Bayes, Comparison, Lint, Row, Stability
from ablate.report.statistics.posterior import bayes_of, with_posterior
from ablate.report.statistics.sequential.futility import Outlook, outlook
from ablate.report.statistics.sequential.looks import LookPlan, plan_looks
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.stability import stability
from ablate.report.statistics.trial_matrix import Flags, Trials, read_trials, settle_metrics
from ablate.report.statistics.verdicts import is_diverged
from ablate.study.blocks import BlockKind, check_kind
from ablate.study.spec import BASELINE, MetricSpec
from ablate.study.verdict_method import FUTILITY, Boundaries, Correction, Method, Noise, Test


def compare(
    frame: pd.DataFrame,
    *,
    baseline: str = BASELINE,
    metrics: Metrics | None = None,
    alpha: float = 0.05,
    look: int | None = None,
    arms: Sequence[str] | None = None,
    looks: Sequence[int] | None = None,
    test: Test = "paired",
    noise: Noise = "own",
    correct: Correction = "holm",
    equivalence: Correction | None = None,
    boundaries: Boundaries = "spending",
    futility: float = FUTILITY,
    bayes: bool = False,
    test_share: float = 0.0,
    blocks: str | None = None,
    blocks_are: BlockKind = "fixed",
) -> Comparison:
    """Compare all arms of `frame` with `baseline` on every metric.

    `metrics` are `MetricSpec` or texts such as ``"psnr:max:0.1"`` and ``"seconds:min:5%:log"`` (see
    `metric_spec.read_metric`), or a mapping as for `ablate.run`, ``{"psnr": "max:0.1"}``; the first is primary unless
    one says so. Without them, every column of numbers whose name
    tells which way is better is compared, without margins, and a lint names the others.

    `frame` has one row per trial: `arm`, `seed`, one column per metric, and `outcome` (without it, every row is
    measured). Rows with infrastructure outcomes are ignored; `diverged` ones count. `alpha` is the level of the whole
    study; `looks` are the declared numbers of seeds per arm at which verdicts may be taken (alpha is split over
    them), `look` the one of them to stop at. `arms` gives the arms and their order (default: as they appear).

    `test`: "paired" t (default), "welch" for seeds that are not shared, "permutation" for exact sign flips (6 to 20
    shared seeds), "skewed" where arms have skewed noise that the baseline has not (5 shared seeds or more). `noise`:
    "own", or "pooled" for few seeds and many arms. `correct`: "holm", "bh", "none"; `equivalence`: the same for the
    word equivalent (default: as `correct`). With several looks, `boundaries` says how they share alpha ("spending", or
    "split" by the union bound), and an arm is stopped when its chance to be decided by the last look is below
    `futility` (0: never).

    With `bayes`, every row has the chances that the arm is better, equivalent and worse, given its differences alone
    and a flat prior. Verdicts do not change. `test_share` is for folds of a cross-validation in place of seeds: the
    share of the data that each tests on.

    `blocks` is the column that says which data set or task a row is of (default: one called ``dataset``, ``task`` or
    ``block`` in which an arm has several). Then the verdicts are over all blocks, and `Comparison.blocks` has those of
    every block, which share `alpha` equally. `blocks_are` "fixed" means these blocks, "random" others like them too:
    the test is then over blocks instead of seeds.

    Raises AblateError for a table that cannot be read. A baseline without results is not an error here: the rows are
    there without verdicts, and `Comparison.problem` says why.
    """
    # Refused before the table is read.
    method = Method(test, noise, correct, correct if equivalence is None else equivalence, boundaries, futility)
    reading = bayes_of(bayes=bayes, test_share=test_share)
    column = column_of_frame(frame, blocks)
    plain = frame if column is None else frame.drop(columns=column)
    named, left = found_metrics(plain) if metrics is None else (declared_metrics(metrics), ())
    settled = settle_metrics(named)
    if column is not None:
        taken = _Taken(baseline, settled, method, alpha, look, arms, looks, reading)
        return _over_blocks(frame, column, blocks_are, taken, left)
    trials = read_trials(frame, settled, baseline, arms)
    found = compare_trials(trials, settled, method, alpha=alpha, look=look, looks=looks, lints=left)
    return found if reading is None else with_posterior(found, reading)


@dataclass(frozen=True)
class _Taken:
    """How the comparisons of several blocks are all taken."""

    baseline: str
    metrics: tuple[MetricSpec, ...]
    method: Method
    alpha: float
    look: int | None
    arms: Sequence[str] | None
    looks: Sequence[int] | None
    reading: Bayes | None

    def of(self, trials: Trials, alpha: float, lints: tuple[Lint, ...] = ()) -> Comparison:
        found = compare_trials(
            trials, self.metrics, self.method, alpha=alpha, look=self.look, looks=self.looks, lints=lints
        )
        return found if self.reading is None else with_posterior(found, self.reading)


def _over_blocks(
    frame: pd.DataFrame, column: str, kind: BlockKind, taken: _Taken, lints: tuple[Lint, ...]
) -> Comparison:
    """Compare in every block, and over all of them."""
    check_kind(kind, taken.method.test, len(taken.looks or ()))
    if frame[column].isna().any():
        raise AblateError(f"a row has no {column} (row {int(np.argmax(frame[column].isna().to_numpy()))})")
    arms = list(dict.fromkeys(str(arm) for arm in frame["arm"])) if taken.arms is None else list(taken.arms)
    own = frame[column].astype(str)
    parts = {block: frame[own == block].drop(columns=column) for block in dict.fromkeys(own)}
    matrices = {block: read_trials(part, taken.metrics, taken.baseline, arms) for block, part in parts.items()}
    cells, names = cells_of_matrices(matrices), list(matrices)
    if kind == "fixed":
        averages = over_fixed(cells, names, taken.metrics)
    else:
        averages = over_random(cells, names, taken.metrics, baseline=taken.baseline)
    whole = read_trials(frame_of(averages, taken.metrics), taken.metrics, taken.baseline, arms)
    if kind == "random":
        whole = replace(whole, shared=shared_noise(list(matrices.values()), taken.metrics))
        taken = replace(taken, looks=None, look=None)
    more = (*lints, *incomplete(left_out(cells, names)))
    within = {name: taken.of(one, taken.alpha / len(names)) for name, one in matrices.items()}
    return over_blocks(taken.of(whole, taken.alpha, more), within, kind=kind, word=column)


def compare_trials(
    trials: Trials,
    metrics: Sequence[MetricSpec],
    method: Method,
    *,
    alpha: float,
    look: int | None = None,
    looks: Sequence[int] | None = None,
    lints: tuple[Lint, ...] = (),
) -> Comparison:
    """Compare every arm with the first one, on matrices that have been read already.

    `metrics` are settled (see `settle_metrics`); `lints` come before what is doubtful about the results.
    """
    plan = plan_looks(trials, alpha, looks, look, method.boundaries)
    baseline = trials.arms[0]
    problem = _problem(trials, _counts(trials, plan), baseline)
    lints = (*lints, *data_lints(trials, metrics, plan, test=method.test))
    return compared(trials, metrics, plan, method, name=baseline, alpha=alpha, lints=lints, problem=problem)


def compared(
    trials: Trials,
    metrics: Sequence[MetricSpec],
    plan: LookPlan,
    method: Method,
    *,
    name: str,
    alpha: float,
    lints: tuple[Lint, ...],
    problem: str | None,
) -> Comparison:
    """Compare every arm of `trials` with its partner; `name` is what the comparison calls what it compares with."""
    counts = _counts(trials, plan)
    alike = one_experiment(trials, plan.used, not_times(metrics))
    setting = Setting(trials, plan, counts, method, _comparable(trials, counts) & (problem is None), alike)
    rows: dict[tuple[str, str], Row] = {}
    tested = 0
    for metric in metrics:
        numbers = _numbers(setting, metric)
        tested = numbers.family if metric.primary else tested
        ahead = _outlook(setting, metric, numbers)
        for arm, row in metric_rows(setting, metric, numbers, ahead, exploratory=not metric.primary).items():
            rows[(arm, metric.name)] = row
    return Comparison(
        baseline=name,
        arms=trials.arms,
        metrics=tuple(metrics),
        rows={(arm, metric.name): rows[(arm, metric.name)] for arm in trials.arms for metric in metrics},
        alpha=_current_alpha(trials, plan),
        look=plan.runs_wanted or (int(counts.runs.max()) if len(counts.runs) else 0),
        tested=tested,
        lints=lints,
        study_alpha=alpha,
        looks=plan.looks,
        test=method.test,
        noise=method.noise,
        correct=method.correct,
        equivalence=method.equivalence,
        boundaries=method.boundaries,
        futility=method.futility,
        look_level=_look_level(trials, plan),
        stability=_stability(trials, counts),
        reference=trials.reference,
        problem=problem,
    )


def _counts(trials: Trials, plan: LookPlan) -> Counts:
    diverged = (trials.diverged & plan.used).sum(axis=1)
    everything = (trials.measured | trials.diverged).sum(axis=1)
    return Counts(plan.used.sum(axis=1), diverged, trials.pruned.sum(axis=1), everything)


def _comparable(trials: Trials, counts: Counts) -> Flags:
    """Arms whose partner has something to compare with."""
    diverged, runs = counts.diverged[trials.partner], counts.runs[trials.partner]
    return np.asarray(~trials.baselines & (runs > 0) & (2 * diverged < runs))


def _problem(trials: Trials, counts: Counts, baseline: str) -> str | None:
    """Why there is nothing to compare, in one sentence, or None."""
    if not (trials.measured | trials.diverged).any():
        return "nothing has been measured yet"
    runs, diverged = int(counts.runs[0]), int(counts.diverged[0])
    if runs == 0:
        return f"the baseline {baseline!r} has no results{_others(trials)}"
    if is_diverged(diverged, runs):
        return f"the baseline {baseline!r} diverged in {diverged} of {runs} seeds"
    if len(trials.arms) == 1:
        return f"there is no arm other than the baseline {baseline!r}"
    return None


def _others(trials: Trials) -> str:
    """Arms that have results, for a baseline whose name is not among them."""
    some = np.flatnonzero((trials.measured | trials.diverged).any(axis=1))
    there = [trials.arms[place] for place in some]
    more = f" and {len(there) - 5} more" if len(there) > 5 else ""
    return f"; arms with results: {', '.join(there[:5])}{more}"


def _numbers(setting: Setting, metric: MetricSpec) -> Contrast:
    trials, plan, counts = setting.trials, setting.plan, setting.counts
    values: Floats = np.where(plan.used & trials.measured, trials.values[metric.name], np.nan)
    comparable: Flags = (2 * counts.diverged < counts.runs) & setting.comparable & ~censored_arms(trials, metric.name)
    return contrast(
        values,
        trials.partner,
        metric,
        comparable,
        plan.reached,
        setting.method,
        levels=plan.levels,
        places=plan.places,
        shared=trials.shared.get(metric.name),
    )


def _outlook(setting: Setting, metric: MetricSpec, numbers: Contrast) -> Outlook:
    """Every arm's outlook when its look was taken, with no arm further than that: what came later is no reason."""
    plan, trials = setting.plan, setting.trials
    found = outlook(numbers, plan, setting.method)
    if len(plan.looks) < 2 or setting.method.futility == 0:
        return found
    for place in np.unique(plan.places[plan.reached & ~trials.baselines]):
        then = plan_looks(trials, plan.levels.alpha, plan.looks, plan.looks[place], plan.levels.boundaries)
        seen = outlook(_numbers(replace(setting, plan=then), metric), then, setting.method)
        found = found.taking(seen, plan.places == place)
    return found


def _current_alpha(trials: Trials, plan: LookPlan) -> float:
    """The level at the furthest look any arm has reached."""
    others = plan.alpha[plan.reached & ~trials.baselines]
    return float(others.max()) if len(others) else float(plan.alpha[0])


def _look_level(trials: Trials, plan: LookPlan) -> float:
    """The level of a single test at the furthest look that any arm has reached."""
    own = plan.levels.shared(plan.levels.alpha, plan.places)[plan.reached & ~trials.baselines]
    return float(own.max()) if len(own) else float(plan.levels.shared(plan.levels.alpha, plan.places[:1])[0])


def _stability(trials: Trials, counts: Counts) -> dict[str, Stability]:
    pairs = list(zip(counts.diverged.tolist(), counts.runs.tolist(), strict=True))
    found = {}
    for place, (arm, partner) in enumerate(zip(trials.arms, trials.partner.tolist(), strict=True)):
        found[arm] = stability(arm, *pairs[place], None if partner == place else pairs[partner])
    return found
