"""Tables whose rows are parts of a run (episodes, images, folds): recognised, asked about, averaged within the seed.

The unit of replication is the training seed. A thousand episodes of one trained model say how well that model does,
not what training again would give: taken for seeds, they make almost any difference sure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ablate.errors import AblateError
from ablate.report.data.csv_reader import TableFile, number_of
from ablate.report.statistics.metric_spec import is_part
from ablate.report.statistics.trial_matrix import DIVERGED, MEASURED


def part_columns(table: TableFile) -> tuple[str, ...]:
    """Return the columns that count parts of a run, by their names and because they differ within an arm."""
    arm = table.header.index("arm") if "arm" in table.header else None
    found = []
    for at, name in enumerate(table.header):
        values: dict[str, set[str]] = {}
        for _, cells in table.rows:
            values.setdefault(cells[arm] if arm is not None else "", set()).add(cells[at])
        if is_part(name) and any(len(own) > 1 for own in values.values()):
            found.append(name)
    return tuple(found)


def check_unit(table: TableFile) -> None:
    """Raise AblateError, as a question, for a table whose rows are parts of runs rather than runs."""
    parts = part_columns(table)
    if not parts or "arm" not in table.header:
        return
    part = parts[0]
    if "seed" not in table.header:
        raise AblateError(
            f"{table.path}: no column 'seed', and {part!r} counts parts of a run: were they all of one training?",
            hint=f"add a column 'seed' with the training seed, then --within {part}; with a single training seed "
            "nothing can be said about training again",
        )
    arm, seed, at = (table.header.index(name) for name in ("arm", "seed", part))
    runs = {(cells[arm], cells[seed]) for _, cells in table.rows}
    if len(runs) < len(table.rows):
        seeds = len({cells[seed] for _, cells in table.rows})
        raise AblateError(
            f"{table.path}: {len(table.rows)} rows of {len(runs)} runs ({seeds} training seed{'s' * (seeds != 1)}): is "
            f"each row one {part!r} of a run?",
            hint=f"--within {part} averages within each run first; seeds are what verdicts rest on",
        )
    if all(cells[seed] == cells[at] for _, cells in table.rows):
        raise AblateError(
            f"{table.path}: the columns 'seed' and {part!r} are the same: is each row a training of its own?",
            hint=f"if it is, leave out the column {part!r}; if not, put the training seed into 'seed'",
        )


def averaged(table: TableFile, part: str, metrics: Sequence[str]) -> TableFile:
    """Return `table` with one row per arm and seed: the mean of every column in `metrics` over the rows of `part`.

    A run is measured where all its rows are, diverged where one of them is. Of other columns only those stay that have
    one value in every run. Raises AblateError for a missing column, or for a value that is no number.
    """
    table.column(part)
    places = {name: table.column(name) for name in ("arm", "seed", *metrics)}
    outcome = table.header.index("outcome") if "outcome" in table.header else None
    runs: dict[tuple[str, str], list[tuple[int, tuple[str, ...]]]] = {}
    for line, cells in table.rows:
        runs.setdefault((cells[places["arm"]], cells[places["seed"]]), []).append((line, cells))
    kept = [
        at
        for at, name in enumerate(table.header)
        if name not in metrics and all(len({cells[at] for _, cells in rows}) == 1 for rows in runs.values())
    ]
    kept = [at for at in range(len(table.header)) if at in kept or at == outcome or table.header[at] in metrics]
    means = {name: places[name] for name in metrics}
    rows = []
    for own in runs.values():
        word = _outcome([cells[outcome] for _, cells in own]) if outcome is not None else MEASURED
        row = list(own[0][1])
        if outcome is not None:
            row[outcome] = word
        for name, at in means.items():
            row[at] = _mean(table, name, at, own) if word == MEASURED else ""
        rows.append((own[0][0], tuple(row[at] for at in kept)))
    return replace(table, header=tuple(table.header[at] for at in kept), rows=tuple(rows))


def _outcome(words: Sequence[str]) -> str:
    """What became of a run whose parts ended like this."""
    if all(word == MEASURED for word in words):
        return MEASURED
    return DIVERGED if DIVERGED in words else next(word for word in words if word != MEASURED)


def _mean(table: TableFile, name: str, at: int, rows: Sequence[tuple[int, tuple[str, ...]]]) -> str:
    numbers = []
    for line, cells in rows:
        number = number_of(cells[at])
        if number is None:
            raise AblateError(f"{table.path}:{line}: {name} is not a number: {cells[at]!r}")
        numbers.append(number)
    return repr(math.fsum(numbers) / len(numbers))
