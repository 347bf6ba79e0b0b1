"""``wandb:FILE.csv``: the table of runs that Weights & Biases exports."""

from __future__ import annotations

from pathlib import Path

from ablate.errors import AblateError
from ablate.report.data.csv_reader import TableFile, number_of, read_table
from ablate.report.sources.runs import ForeignRun
from ablate.report.statistics.metric_spec import direction_of

_ABOUT = frozenset(
    {"ID", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep", "Group", "Commit", "GitHub", "Hostname"}
)
"""Columns about a run, not what it was given or gave."""
_OUTCOMES = {"finished": "measured", "failed": "failed", "crashed": "lost", "killed": "stopped"}
_NOT_FINITE = frozenset({"nan", "infinity", "-infinity", "inf", "-inf"})


def wandb_runs(path: Path, metrics: tuple[str, ...]) -> list[ForeignRun]:
    """Return the ended runs of an exported table; running ones are left out.

    `metrics` are the columns that are metrics; without them those whose name says which way is better. All other
    columns are parameters. A metric that is NaN or infinite makes its run diverged. Raises AblateError.
    """
    table = read_table(path)
    table.column("Name"), table.column("State")
    for name in metrics:
        table.column(name)
    told = (name for name in table.header if direction_of(name) is not None and _is_numeric(table, name))
    named = set(metrics) or set(told)
    found = (_run(dict(zip(table.header, cells, strict=True)), named) for _, cells in table.rows)
    return [run for run in found if run is not None]


def _is_numeric(table: TableFile, name: str) -> bool:
    at = table.header.index(name)
    cells = [cells[at] for _, cells in table.rows if cells[at]]
    return bool(cells) and all(number_of(cell) is not None or cell.casefold() in _NOT_FINITE for cell in cells)


def _run(cells: dict[str, str], metrics: set[str]) -> ForeignRun | None:
    state = cells["State"]
    if state == "running":
        return None
    if state not in _OUTCOMES:
        raise AblateError(
            f"run {cells['Name']!r} has an unknown state {state!r}", hint=f"known: {', '.join(_OUTCOMES)}"
        )
    found = {name: number for name in metrics if (number := number_of(cells[name])) is not None}
    broken = any(cells[name].casefold() in _NOT_FINITE for name in metrics)
    params = {
        name: text
        for name, text in cells.items()
        if text and name not in metrics and name not in _ABOUT and name != "Name" and not name.startswith("_")
    }
    return ForeignRun(
        name=cells["Name"],
        params=params,
        metrics={} if broken else found,
        outcome="diverged" if broken and state == "finished" else _OUTCOMES[state],
        seconds=number_of(cells.get("Runtime", "")),
    )
