"""A CSV file of results that ablate did not produce: read strictly, every problem with its line and column."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.errors import AblateError, Problem, TableError
from ablate.report.data.csv_escape import armed
from ablate.report.statistics.trial_matrix import MEASURED, OUTCOMES
from ablate.study.spec import MetricSpec

LARGEST_BYTES = 64_000_000
_MOST_PROBLEMS = 20
_DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True)
class TableFile:
    """A table as text: its header and its rows, each with the line it starts at."""

    path: Path
    text: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """(line, cells), as many cells as the header has."""

    def column(self, name: str) -> int:
        """Return the place of the column `name`; raises AblateError with the nearest name."""
        if name in self.header:
            return self.header.index(name)
        near = difflib.get_close_matches(name, self.header, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(self.header)}"
        raise AblateError(f"{self.path}:1: no column {name!r}", hint=hint)


@dataclass(frozen=True)
class CsvLine:
    """One row that has been checked: one trial."""

    line: int
    arm: str
    seed: int
    outcome: str
    cells: tuple[str, ...]


@dataclass
class _Problems:
    table: TableFile
    found: list[Problem] = field(default_factory=list)

    def at(self, line: int, cell: int | None, message: str, note: str | None = None) -> None:
        """Record what is wrong in a line, and in which of its cells."""
        source = self.table.text.splitlines()[line - 1] if self.table.text else ""
        column, length = _place(source, cell)
        self.found.append(Problem(message, str(self.table.path), line, column, length, source, note=note))

    def check(self) -> None:
        """Raise TableError when anything was recorded."""
        if self.found:
            raise TableError(tuple(self.found[:_MOST_PROBLEMS]), more=max(0, len(self.found) - _MOST_PROBLEMS))


def _place(source: str, cell: int | None) -> tuple[int, int]:
    """Column (1-based) and length of a cell in its line; the whole line where quotes make that unclear."""
    delimiter = _delimiter(source)
    if cell is None or '"' in source:
        return 1, max(1, len(source))
    cells = source.split(delimiter)
    if cell >= len(cells):
        return max(1, len(source)), 1
    return sum(len(text) + 1 for text in cells[:cell]) + 1, max(1, len(cells[cell]))


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def read_table(path: Path) -> TableFile:
    """Read a CSV file with a header line: commas, semicolons or tabs, UTF-8, as many cells in each line.

    Raises AblateError for a file that cannot be read, TableError for lines that do not fit the header.
    """
    text = _text(path)
    first = text.splitlines()[0] if text else ""
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(first), strict=True)
    rows: list[tuple[int, tuple[str, ...]]] = []
    header: tuple[str, ...] = ()
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not header:
                header = tuple(armed(cell.strip()) for cell in cells)
            elif any(cell.strip() for cell in cells):
                rows.append((line, tuple(armed(cell.strip()) for cell in cells)))
    except csv.Error as error:
        raise AblateError(
            f"{path}:{before + 1}: {error}", hint="a cell with a comma or a line break needs quotes"
        ) from None
    table = TableFile(path, text, header, tuple(rows))
    _check_shape(table)
    return table


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AblateError(f"cannot read {path}: {error.strerror}") from None
    if len(raw) > LARGEST_BYTES:
        raise AblateError(f"{path} is too large: more than {LARGEST_BYTES // 1_000_000} MB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise AblateError(f"{path}:{line}: byte 0x{raw[error.start]:02X} is not UTF-8") from None
    if not text.strip():
        raise AblateError(f"{path} is empty", hint="expected a header such as arm,seed,psnr, then one line per trial")
    if "\x00" in text:
        raise AblateError(f"{path} is not a text file")
    return text


def _check_shape(table: TableFile) -> None:
    problems = _Problems(table)
    for place, name in enumerate(table.header):
        if not name:
            problems.at(1, place, f"column {place + 1} has no name")
        elif name in table.header[:place]:
            problems.at(1, place, f"two columns are called {name!r}")
    for line, cells in table.rows:
        if len(cells) != len(table.header):
            problems.at(line, None, f"{len(cells)} cells, the header has {len(table.header)}")
    problems.check()


def read_lines(table: TableFile, metrics: Sequence[MetricSpec]) -> list[CsvLine]:
    """Check every row (arm, seed, outcome, and the values of `metrics`) and return the trials in file order.

    Raises TableError with every problem found.
    """
    arm_at, seed_at = table.column("arm"), table.column("seed")
    outcome_at = table.header.index("outcome") if "outcome" in table.header else None
    at = {metric.name: table.column(metric.name) for metric in metrics}
    problems = _Problems(table)
    found: list[CsvLine] = []
    seen: dict[tuple[str, int], int] = {}
    for line, cells in table.rows:
        arm, seed = cells[arm_at], _seed(cells[seed_at])
        outcome = MEASURED if outcome_at is None else cells[outcome_at]
        if not arm:
            problems.at(line, arm_at, "no arm")
        if seed is None:
            problems.at(line, seed_at, f"a seed must be a whole number, got {cells[seed_at]!r}")
        if outcome not in OUTCOMES:
            problems.at(line, outcome_at, f"unknown outcome {outcome!r}", note=f"known: {', '.join(OUTCOMES)}")
        if outcome == MEASURED:
            for metric in metrics:
                wrong = _wrong(cells[at[metric.name]], metric, may_lack=outcome_at is not None)
                if wrong:
                    problems.at(line, at[metric.name], f"{metric.name} {wrong}")
        if arm and seed is not None and outcome in (MEASURED, "diverged"):
            if (arm, seed) in seen:
                note = f"first in line {seen[(arm, seed)]}; keep one line per arm and seed, or say --within COLUMN"
                problems.at(line, None, f"a second result of arm {arm!r}, seed {seed}", note=note)
            seen.setdefault((arm, seed), line)
        if seed is not None:
            found.append(CsvLine(line, arm, seed, outcome, cells))
    problems.check()
    return found


def _seed(cell: str) -> int | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number == int(number) and abs(number) < 2**53 else None


def number_of(cell: str) -> float | None:
    """Return a cell's number, None for an empty one and for what is no finite number."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _wrong(cell: str, metric: MetricSpec, *, may_lack: bool) -> str | None:
    """What is wrong with a measured value, or None."""
    if not cell:
        return None if may_lack else "is missing: add a column 'outcome' that says why (diverged, failed, ...)"
    try:
        value = float(cell)
    except ValueError:
        return f"is not a number: {cell!r}"
    if not math.isfinite(value):
        return f"is {cell}: give such a trial the outcome 'diverged' in a column 'outcome'"
    if metric.scale == "log" and value <= 0:
        return f"must be above 0 on the log scale, got {cell}"
    return None
