"""Long tables with a column that names the data set or task of each row."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ablate.errors import AblateError
from ablate.report.statistics.blocks.averages import Averages, Cell, Cells
from ablate.report.statistics.trial_matrix import DIVERGED, MEASURED, PRUNED, REACHED, Trials
from ablate.study.spec import MetricSpec

NAMES = frozenset(["block", "dataset", "task"])
"""Columns that are taken for blocks where nobody says; case, spaces and underscores do not matter."""
FEWEST = 2


def names_blocks(column: str) -> bool:
    """True for a column that, by its name or the last part of it, holds data sets or tasks."""
    last = re.split(r"[./]", column.casefold())[-1]
    return "".join(letter for letter in last if letter.isalnum()) in NAMES


def block_column(
    columns: Sequence[str], asked: str | None, values: Mapping[str, Iterable[tuple[Hashable, Hashable]]]
) -> str | None:
    """Return the column of blocks: the one that is `asked` for, or one so named in which an arm has several values.

    `values` are column -> (arm, value) of every row. Raises AblateError where `asked` is no such column.
    """
    if asked is not None:
        if asked not in columns:
            raise AblateError(f"the table has no column {asked!r}", hint=f"the columns are {', '.join(columns)}")
        if not _several(values[asked]):
            raise AblateError(
                f"no arm has two values of {asked!r}, so it cannot be what data set or task a row is of",
                hint="leave it out: a column with one value per arm is a factor of the arms",
            )
        return asked
    return next((name for name in columns if names_blocks(name) and _several(values[name])), None)


def _several(pairs: Iterable[tuple[Hashable, Hashable]]) -> bool:
    found: dict[Hashable, set[Hashable]] = {}
    for arm, value in pairs:
        found.setdefault(arm, set()).add(value)
    return any(len(own) >= FEWEST for own in found.values())


def column_of_frame(frame: pd.DataFrame, asked: str | None) -> str | None:
    """Return the column of blocks of a table of trials, None where it has none."""
    if not isinstance(frame, pd.DataFrame) or "arm" not in frame.columns:
        return None  # what is wrong with it is said where it is read
    columns = [str(name) for name in frame.columns]
    wanted = [name for name in columns if name == asked or names_blocks(name)]
    values = {name: list(zip(frame["arm"], frame[name], strict=True)) for name in wanted}
    return block_column(columns, asked, values)


def cells_of_matrices(matrices: Mapping[str, Trials]) -> Cells:
    """Return the results in matrices by (arm, block, seed); the cost of a trial is among its values."""
    found = {}
    for block, trials in matrices.items():
        for at, arm in enumerate(trials.arms):
            for place, seed in enumerate(trials.seeds):
                for outcome, matrix in (
                    (MEASURED, trials.measured),
                    (DIVERGED, trials.diverged),
                    (PRUNED, trials.pruned),
                ):
                    if matrix[at, place]:
                        values = _values(trials, at, place) if outcome == MEASURED else {}
                        found[arm, block, seed] = Cell(outcome, values)
    return found


def _values(trials: Trials, at: int, place: int) -> dict[str, float]:
    found = {name: float(matrix[at, place]) for name, matrix in trials.values.items()}
    found |= {f"{name}{REACHED}": float(not never[at, place]) for name, never in trials.censored.items()}
    if trials.compute is not None:
        found[trials.compute[0]] = float(trials.compute[1][at, place])
    return {name: value for name, value in found.items() if np.isfinite(value)}


def frame_of(averages: Averages, metrics: Sequence[MetricSpec]) -> pd.DataFrame:
    """Return averages as a table of trials."""
    names = dict.fromkeys([*(metric.name for metric in metrics), *(n for one in averages.values() for n in one.values)])
    records = [
        {"arm": arm, "seed": seed, "outcome": cell.outcome, **{name: cell.values.get(name) for name in names}}
        for (arm, seed), cell in sorted(averages.items())
    ]
    frame = pd.DataFrame.from_records(records, columns=["arm", "seed", "outcome", *names])
    return frame.astype({"seed": "int64", **dict.fromkeys(names, "float64")})
