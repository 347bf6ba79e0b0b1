"""Stored trials as pandas tables: results by (arm, seed), learning curves, and one row per arm and metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import pandas as pd

from ablate.errors import AblateError
from ablate.report.data.block_results import cells_of, rows_over, rows_within
from ablate.report.data.mixed_results import version_lints
from ablate.report.statistics.blocks.averages import left_out
from ablate.report.statistics.blocks.findings import incomplete, over_blocks, shared_noise
from ablate.report.statistics.compare import compare_trials
from ablate.report.statistics.design_warnings import design_lints, method_lints
from ablate.report.statistics.model import Comparison, Lint
from ablate.report.statistics.trial_matrix import Trials, read_trials, settle_metrics
from ablate.storage.candidates import is_candidate
from ablate.storage.rows import TrialRow
from ablate.study.blocks import Blocks, check_kind
from ablate.study.spec import KEY_COLUMNS, Study
from ablate.study.verdict_method import Method


def latest_results(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Return one trial per (arm, seed): the latest result, or without a result the latest finished attempt.

    Measured and diverged are results; a later infrastructure failure of the same replicate never hides one. Trials
    that still run and candidates of searches are left out. Order: first appearance of (arm, seed) by trial number.
    """
    best: dict[tuple[str, int], TrialRow] = {}
    for row in sorted(rows, key=lambda row: row.number):
        if row.outcome is None or is_candidate(row):
            continue
        held = best.get((row.arm, row.seed))
        if held is None or row.outcome.is_result or not _is_result(held):
            best[(row.arm, row.seed)] = row
    return list(best.values())


def _is_result(row: TrialRow) -> bool:
    return row.outcome is not None and row.outcome.is_result


@dataclass(frozen=True)
class CheckedResults:
    """A study's results, read and checked once: all that verdicts, trends and contrasts are computed from."""

    study: Study
    rows: tuple[TrialRow, ...]
    """Every trial, in order of their numbers: no sum depends on how the storage was read."""
    counting: tuple[TrialRow, ...]
    """The trial that counts of each (arm, seed), see `latest_results`."""
    frame: pd.DataFrame
    """`counting` as a long table, see `trials_frame`."""
    matrix: Trials
    """The same as matrices [arms, seeds]: every metric of the study, its arms in order, the baseline first."""
    blocks: BlockedResults | None = None
    """Where `study` is a study with blocks taken over all of them: what each block gave."""

    @classmethod
    def of(cls, study: Study, rows: Iterable[TrialRow]) -> Self:
        """Read `rows`; raises AblateError where a value or a metric's name cannot be one.

        Of a study with blocks, these are the results over all of them.
        """
        if study.blocks is not None:
            return cls._over_blocks(study, tuple(rows), study.blocks)
        known = tuple(sorted(rows, key=lambda row: row.number))
        counting = tuple(latest_results(known))
        frame = _frame(study, counting)
        arms = [arm.name for arm in study.arms]
        matrix = read_trials(frame, settle_metrics(study.metrics), study.baseline.name, arms)
        return cls(study, known, counting, frame, matrix)

    @classmethod
    def _over_blocks(cls, study: Study, rows: Sequence[TrialRow], blocks: Blocks) -> Self:
        counting = latest_results(rows)
        # Each block is read first: what is wrong with a value is said where it is.
        each = {name: cls.of(study.within(name), rows_within(study, rows, name)) for name in blocks.names}
        whole = cls.of(study.over_blocks(), rows_over(study, counting))
        if blocks.kind == "random":
            noise = shared_noise([one.matrix for one in each.values()], settle_metrics(study.metrics))
            whole = replace(whole, matrix=replace(whole.matrix, shared=noise))
        missing = left_out(cells_of(study, counting), blocks.names)
        lints = (*version_lints(study, rows), *incomplete(missing))
        return replace(whole, blocks=BlockedResults(blocks, each, lints))


@dataclass(frozen=True)
class BlockedResults:
    """What is behind results over all blocks."""

    blocks: Blocks
    each: Mapping[str, CheckedResults]
    lints: tuple[Lint, ...]


def trials_frame(study: Study, rows: Iterable[TrialRow]) -> pd.DataFrame:
    """One row per (arm, seed): study, arm, seed, outcome, every metric, seconds, device, recipe_digest,
    images_seen.

    Metrics of the study come first, then others that a trial recorded; NaN where there is no value (a diverged trial
    has none). Arms are in study order, then arms that are stored but no longer in the study; seeds ascend.
    """
    return _frame(study, latest_results(rows))


def _frame(study: Study, counting: Sequence[TrialRow]) -> pd.DataFrame:
    for metric in study.metrics:
        if metric.name in KEY_COLUMNS:
            raise AblateError(f"a metric cannot be called {metric.name!r}: the table of results has such a column")
    declared = [metric.name for metric in study.metrics]
    recorded = sorted({name for row in counting for name in row.metrics} - {*declared, *KEY_COLUMNS, *_FIXED})
    place = {arm.name: number for number, arm in enumerate(study.arms)}

    def order(row: TrialRow) -> tuple[int, str, int]:
        return (place.get(row.arm, len(place)), row.arm if row.arm not in place else "", row.seed)

    records = [_record(study, row, [*declared, *recorded]) for row in sorted(counting, key=order)]
    columns = dict.fromkeys([*KEY_COLUMNS, *declared, *recorded, *_FIXED])
    frame = pd.DataFrame.from_records(records, columns=list(columns))
    numbers = dict.fromkeys([*declared, *recorded, "seconds", "images_seen"], "float64")
    return frame.astype({"seed": "int64", **numbers})


_FIXED = ("seconds", "device", "recipe_digest", "images_seen")


def _record(study: Study, row: TrialRow, metrics: Sequence[str]) -> dict[str, Any]:
    outcome = row.outcome.value if row.outcome is not None else ""
    # A diverged or failed trial may have recorded metrics before it ended: they are no measurement.
    values = row.metrics if outcome == "measured" else {}
    return {
        "study": study.name,
        "arm": row.arm,
        "seed": row.seed,
        "outcome": outcome,
        "seconds": row.seconds,
        "device": row.device,
        "recipe_digest": row.recipe_digest,
        "images_seen": row.attributes.get("images_seen"),
        # Last, so that a declared metric called "seconds" is the metric.
        **{name: values.get(name) for name in metrics},
    }


def curves_frame(study: Study, rows: Iterable[TrialRow]) -> pd.DataFrame:
    """One row per point of the primary metric's learning curve: arm, seed, images, value.

    Curves of the trials that `trials_frame` shows and that gave a result; a diverged trial's curve ends where it
    diverged.
    """
    place = {arm.name: number for number, arm in enumerate(study.arms)}
    trials = [row for row in latest_results(rows) if _is_result(row) and row.arm in place]
    trials.sort(key=lambda row: (place[row.arm], row.seed))
    points = [(row.arm, row.seed, images, value) for row in trials for images, value in row.curve]
    frame = pd.DataFrame.from_records(points, columns=["arm", "seed", "images", "value"])
    return frame.astype({"seed": "int64", "images": "int64", "value": "float64"})


def compare_study(
    study: Study, rows: Iterable[TrialRow], method: Method | None = None, *, look: int | None = None
) -> Comparison:
    """Compare a stored study at its declared looks and alpha; the study's own lints come first.

    `method` is how verdicts are taken (default: as the study declares; another one is said in a lint), `look` the
    declared look to stop at.

    Arms that have not run yet are there without numbers.
    """
    return compare_results(CheckedResults.of(study, rows), method, look=look)


def compare_results(results: CheckedResults, method: Method | None = None, *, look: int | None = None) -> Comparison:
    """Do what `compare_study` does, with results that have been read already."""
    study = results.study
    method = study.method if method is None else method
    if results.blocks is not None:
        check_kind(results.blocks.blocks.kind, method.test, 1)
    comparison = compare_trials(
        results.matrix, settle_metrics(study.metrics), method, alpha=study.alpha, look=look, looks=study.looks or None
    )
    changed = method_lints(method, study.method)
    known = results.blocks
    comparison = replace(
        comparison,
        lints=(
            *changed,
            *version_lints(study, results.rows),
            *design_lints(study),
            *(() if known is None else known.lints),
            *comparison.lints,
        ),
        declared=study.method if changed else None,
    )
    if known is None:
        return comparison
    within = {name: compare_results(one, method, look=look) for name, one in known.each.items()}
    return over_blocks(comparison, within, kind=known.blocks.kind, word=known.blocks.word)
