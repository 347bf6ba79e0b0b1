"""Results that ablate did not produce, as a study: so that every page of a report can be written from them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.errors import AblateError
from ablate.json_values import JsonValue, Scalar
from ablate.outcome import OutcomeKind
from ablate.paths import is_study_name
from ablate.report.data.csv_reader import CsvLine, TableFile, number_of, read_lines, read_table
from ablate.report.data.within_seed import averaged, check_unit
from ablate.report.statistics.blocks.tables import block_column
from ablate.report.statistics.metric_spec import KEYS, declared_metrics, direction_of, is_part
from ablate.report.statistics.trial_matrix import settle_metrics
from ablate.storage.rows import TrialRow
from ablate.study.blocks import BEHIND, Blocks, check_kind, in_block, split_name
from ablate.study.spec import BASELINE, Arm, MetricSpec, Study

_MOST_LEVELS = 60
"""Columns that are taken for factors have at most this many different values."""


def read_results(
    path: Path,
    *,
    baseline: str | None = None,
    metrics: Sequence[str] = (),
    name: str | None = None,
    alpha: float = 0.05,
    within: str | None = None,
) -> tuple[Study, tuple[TrialRow, ...]]:
    """Read a CSV file as a study; see `results_of`."""
    return results_of(read_table(path), baseline=baseline, metrics=metrics, name=name, alpha=alpha, within=within)


def results_of(
    table: TableFile,
    *,
    baseline: str | None = None,
    metrics: Sequence[str] = (),
    name: str | None = None,
    alpha: float = 0.05,
    within: str | None = None,
    curves: Mapping[tuple[str, int], Mapping[str, Sequence[tuple[int, float]]]] | None = None,
    blocks: str | None = None,
    blocks_are: str = "fixed",
) -> tuple[Study, tuple[TrialRow, ...]]:
    """Return a table (columns arm, seed, one per metric, outcome where not all was measured) as a study.

    `metrics` are words such as ``psnr:max:0.1``; without them every column whose name says which way is better is one.
    `baseline` is the arm to compare with, by default the one called ``baseline``. Any other column with one value per
    arm is taken for a factor of the arms. The study has no core and no declared number of seeds: nothing can be run.
    `curves` are learning curves, (arm, seed) -> metric -> points; those of the primary metric are kept.

    Where rows are parts of a run, `within` is the column that counts them (``episode``): metrics are averaged within
    each arm and seed first.

    `blocks` is the column that says which data set or task a row is of (default: one called ``dataset``, ``task`` or
    ``block`` in which an arm has several); they are ``fixed`` or ``random``.

    Raises AblateError or TableError (with every problem's line) for what cannot be read one way only, and, as a
    question, for a table that looks as if its rows were parts of runs.
    """
    path = table.path
    column = _block_column(table, blocks)
    known = () if column is None else tuple(dict.fromkeys(cells[table.column(column)] for _, cells in table.rows))
    table = table if column is None else _named_by_block(table, column)
    if within is None:
        check_unit(table)
    table.column("arm"), table.column("seed")
    found = _metrics(table, metrics, column)
    if within is not None:
        table = averaged(table, within, [metric.name for metric in found])
    lines = read_lines(table, found)
    read = _Arms(table, lines, baseline, found)
    arms = read.plain() if column is None else read.in_blocks(column, known)
    study = Study(
        name=_name(path, name),
        question="",
        core="",
        arms=arms,
        factors=tuple(arms[0].settings),
        metrics=found,
        looks=(),
        alpha=alpha,
        blocks=None if column is None else _blocks(column, known, blocks_are),
        text=_described(table, arms[0].name, found),
        file=str(path),
    )
    primary = study.primary.name
    points = {key: tuple(some.get(primary, ())) for key, some in (curves or {}).items()}
    return study, tuple(
        _row(at, line, table, found, points.get((line.arm, line.seed), ())) for at, line in enumerate(lines)
    )


def _name(path: Path, name: str | None) -> str:
    wanted = path.stem if name is None else name
    if not is_study_name(wanted):
        raise AblateError(
            f"{wanted!r} cannot be a study's name", hint="give it a name of letters and digits: --name results"
        )
    return wanted


def _block_column(table: TableFile, asked: str | None) -> str | None:
    if "arm" not in table.header:
        return None  # said where it is read
    arm = table.column("arm")
    values = {name: [(cells[arm], cells[at]) for _, cells in table.rows] for at, name in enumerate(table.header)}
    return block_column(table.header, asked, values)


def _named_by_block(table: TableFile, column: str) -> TableFile:
    """The table with every arm named after its block too; raises TableError for rows without a block."""
    arm, block = table.column("arm"), table.column(column)
    rows = []
    for line, cells in table.rows:
        if not cells[block]:
            raise AblateError(f"{table.path}:{line}: no {column}", hint="every row is of one data set or task")
        if BEHIND in cells[block]:
            raise AblateError(
                f"{table.path}:{line}: {cells[block]!r} has a {BEHIND!r}, which stands between arm and {column}",
                hint="give it another name",
            )
        named = in_block(cells[arm], cells[block]) if cells[arm] else ""
        rows.append((line, (*cells[:arm], named, *cells[arm + 1 :])))
    return replace(table, rows=tuple(rows))


def _blocks(column: str, names: Sequence[str], kind: str) -> Blocks:
    check_kind(kind, "paired", 1)
    return Blocks({name: {column: name} for name in names}, "random" if kind == "random" else "fixed")


def _metrics(table: TableFile, texts: Sequence[str], column: str | None) -> tuple[MetricSpec, ...]:
    if texts:
        found = declared_metrics(texts)
        for metric in found:
            table.column(metric.name)
    else:
        found = declared_metrics(
            [
                MetricSpec(name, way)
                for name in _number_columns(table)
                if name != column and (way := direction_of(name)) is not None
            ]
        )
        if not found:
            columns = ", ".join(column for column in table.header if column not in KEYS) or "no other columns"
            raise AblateError(
                f"{table.path}: no column has a name that says which direction is better ({columns})",
                hint="name the metrics: --metric psnr:max:0.1",
            )
    return settle_metrics(found)


def _number_columns(table: TableFile) -> list[str]:
    """Columns that could be a metric: numbers wherever there is something."""
    found = []
    for at, name in enumerate(table.header):
        cells = [cells[at] for _, cells in table.rows if cells[at]]
        if name not in KEYS and not is_part(name) and cells and any(number_of(cell) is not None for cell in cells):
            found.append(name)
    return found


@dataclass(frozen=True)
class _Arms:
    """The arms of a table, in order of appearance."""

    table: TableFile
    lines: Sequence[CsvLine]
    baseline: str | None
    metrics: Sequence[MetricSpec]

    def plain(self) -> tuple[Arm, ...]:
        """Every arm, the baseline first."""
        names = list(dict.fromkeys(line.arm for line in self.lines))
        first = self._first(names, "")
        names.remove(first)
        settings = _settings(self.table, self.lines, {metric.name for metric in self.metrics})
        base = settings.get(first, {})
        return (Arm(first, base, base), *(_arm(name, settings.get(name, {}), base) for name in names))

    def in_blocks(self, column: str, blocks: Sequence[str]) -> tuple[Arm, ...]:
        """Every arm in every block; one that a block lacks has no result there."""
        names = list(dict.fromkeys(split_name(line.arm)[0] for line in self.lines))
        there = {line.arm for line in self.lines}
        first = self._first(names, "")
        for block in blocks:
            own = [split_name(name)[0] for name in there if split_name(name)[1] == block]
            self._first(own, f" in {column} {block!r}")
        names.remove(first)
        taken = {metric.name for metric in self.metrics} | {column}
        settings = _settings(self.table, self.lines, taken)
        found = []
        for block in blocks:
            level: dict[str, JsonValue] = {column: block}
            base = level | settings.get(in_block(first, block), {})
            found.append(Arm(in_block(first, block), base, base))
            for name in names:
                known = (in_block(name, block), *(in_block(name, other) for other in blocks))
                own_settings = level | next((settings[one] for one in known if one in settings), {})
                arm = _arm(in_block(name, block), own_settings, base)
                found.append(replace(arm, levels=level | dict(arm.levels)))
        return tuple(found)

    def _first(self, names: Sequence[str], where: str) -> str:
        first = BASELINE if self.baseline is None else self.baseline
        if first not in names:
            near = difflib.get_close_matches(first, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the arms are {', '.join(names[:8]) or 'none'}"
            asked = "" if self.baseline is not None else "; name the baseline: --baseline NAME"
            raise AblateError(f"{self.table.path} has no arm {first!r}{where}", hint=hint + asked)
        return first


def _arm(name: str, settings: dict[str, JsonValue], base: dict[str, JsonValue]) -> Arm:
    levels = {factor: level for factor, level in settings.items() if base.get(factor) != level}
    return Arm(name, levels, settings, factor=next(iter(levels)) if len(levels) == 1 else None)


def _settings(table: TableFile, lines: Sequence[CsvLine], metrics: set[str]) -> dict[str, dict[str, JsonValue]]:
    """Arm -> factor -> level, from the columns that have one value per arm and more than one in all."""
    found: dict[str, dict[str, JsonValue]] = {}
    for at, name in enumerate(table.header):
        if name in KEYS or name in metrics:
            continue
        by_arm: dict[str, set[str]] = {}
        for line in lines:
            by_arm.setdefault(line.arm, set()).add(line.cells[at])
        values = set().union(*by_arm.values())
        if all(len(own) == 1 for own in by_arm.values()) and 1 < len(values) <= _MOST_LEVELS:
            for arm, own in by_arm.items():
                found.setdefault(arm, {})[name] = _level(next(iter(own)))
    return found


def _level(cell: str) -> Scalar:
    number = number_of(cell)
    if number is None:
        return cell
    return int(number) if number == int(number) and "." not in cell and "e" not in cell.casefold() else number


def _row(
    at: int,
    line: CsvLine,
    table: TableFile,
    metrics: Sequence[MetricSpec],
    curve: tuple[tuple[int, float], ...],
) -> TrialRow:
    kind = OutcomeKind(line.outcome)
    measured = kind is OutcomeKind.MEASURED
    cells = dict(zip(table.header, line.cells, strict=True))
    values = {metric.name: number_of(cells[metric.name]) for metric in metrics} if measured else {}
    images = number_of(cells.get("images_seen", ""))
    attributes: dict[str, object] = {"line": line.line}
    if images is not None:
        attributes["images_seen"] = int(images)
    if cells.get("error"):
        attributes["error"] = cells["error"]
    return TrialRow(
        number=at,
        arm=line.arm,
        seed=line.seed,
        state="COMPLETE" if measured else "FAIL",
        outcome=kind,
        metrics={name: value for name, value in values.items() if value is not None},
        seconds=number_of(cells.get("seconds", "")),
        device=cells.get("device", ""),
        recipe_digest=cells.get("recipe_digest", ""),
        curve=curve,
        attributes=attributes,
    )


def _described(table: TableFile, baseline: str, metrics: Sequence[MetricSpec]) -> str:
    """What stands where a study file would: the file, its digest, and how it was read."""
    digest = hashlib.sha256(table.text.encode()).hexdigest()
    named = [f"{metric.name} ({metric.direction}{', primary' if metric.primary else ''})" for metric in metrics]
    return (
        f"# Results that were not produced by ablate.\n# file: {table.path.name}, {len(table.rows)} rows\n"
        f"# sha256 of its text: {digest}\n# baseline: {baseline}\n# metrics: {', '.join(named)}\n"
    )
