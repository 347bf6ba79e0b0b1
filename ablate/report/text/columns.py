"""Columns of the comparison table: one choice for the page, Markdown, LaTeX and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.errors import AblateError
from ablate.report.statistics.model import Comparison, Row
from ablate.report.text import numerals
from ablate.report.text.cells import TableLine, difference_header, p_header, primary_header, secondary_metrics
from ablate.report.text.posterior_words import posterior_cell, posterior_header
from ablate.study.problems import did_you_mean
from ablate.study.spec import MetricSpec, Study

NUMBERS = ("n", "diff", "p", "time", "compute", "rho", "diverged", "wins", "mean", "posterior")
"""Columns that every study has; its secondary metrics are columns under their own names.

`n` seeds measured; `diff` of the primary metric with its interval; `p` corrected; `time` relative to the baseline;
`compute` that all trials of the arm took; `rho` correlation with the baseline over seeds; `diverged` of all runs;
`wins` seeds in which the arm was better; `mean` of the primary metric with the half-width of its interval;
`posterior` chances of better, equivalent and worse, where a Bayesian reading was asked for.
"""


@dataclass(frozen=True)
class Column:
    """One column behind the arm and its verdict."""

    key: str
    header: str
    """With an arrow for which way is better, where it is a metric."""
    metric: MetricSpec | None = None
    """A secondary metric."""

    @property
    def plain_header(self) -> str:
        """The header without its arrow."""
        return self.header.removesuffix(" ↑").removesuffix(" ↓")


@dataclass(frozen=True)
class Cell:
    """What stands in a column for one arm."""

    text: str
    interval: str = ""
    value: float | None = None
    """What the column is sorted by."""
    bold: bool = False


def check_columns(study: Study, keys: Sequence[str], *, bayes: bool = False) -> tuple[str, ...]:
    """Return the columns that were asked for, and `posterior` where a Bayesian reading was (`bayes`).

    Raises AblateError for a column that the study does not have, or has twice.
    """
    known = [*NUMBERS, *(metric.name for metric in study.metrics if not metric.primary)]
    for at, key in enumerate(keys):
        if key == study.primary.name:
            raise AblateError(f"{key} is the primary metric", hint="its columns are diff (to the baseline) and mean")
        if key not in known:
            hint = did_you_mean(key, known) or f"known: {', '.join(known)}"
            raise AblateError(f"unknown column {key!r}", hint=hint)
        if key in keys[:at]:
            raise AblateError(f"column {key!r} is named twice", hint="leave out one of them")
    if "posterior" in keys and not bayes:
        raise AblateError("the column posterior needs a Bayesian reading", hint="ask for it too: --bayes")
    return (*keys, *(["posterior"] if keys and bayes and "posterior" not in keys else []))


@dataclass(frozen=True)
class Columns:
    """What the cells of every chosen column are made from."""

    comparison: Comparison
    totals: Mapping[str, float | None]
    """Seconds that all trials of an arm took."""

    def named(self, keys: Sequence[str]) -> tuple[Column, ...]:
        """Return the columns of these names, in this order."""
        metrics = {metric.name: metric for metric in secondary_metrics(self.comparison)}
        return tuple(Column(key, self._header(key, metrics.get(key)), metrics.get(key)) for key in keys)

    def cell(self, column: Column, line: TableLine) -> Cell:
        """Return what stands in `column` for one arm."""
        if column.metric is not None:
            row = self.comparison.rows.get((line.arm, column.metric.name))
            first, _, rest = line.secondary[column.metric.name].partition(" ")
            return Cell(first, rest, row.diff if row else None)
        return self._number(column.key, line)

    def _header(self, key: str, metric: MetricSpec | None) -> str:
        if metric is not None:
            return difference_header(metric)
        if key == "diff":
            return primary_header(self.comparison)
        if key == "mean":
            unit = self.comparison.primary.unit
            return f"{numerals.label(self.comparison.primary)}{f' ({unit})' if unit else ''}"
        if key == "compute":
            return f"compute ({self._unit[0]})"
        if key == "posterior":
            return posterior_header(self.comparison)
        return p_header(self.comparison) if key == "p" else key

    @property
    def _unit(self) -> tuple[str, float]:
        """One unit for the whole column, that of the arm which took longest, and its seconds."""
        longest = max((total for total in self.totals.values() if total is not None), default=0.0)
        return next(((unit, seconds) for unit, seconds in _UNITS if longest >= seconds), _UNITS[-1])

    def _number(self, key: str, line: TableLine) -> Cell:
        row = self.comparison.row(line.arm)
        match key:
            case "n":
                return Cell(line.n, value=row.n)
            case "diff":
                return Cell(*line.primary, row.diff, line.bold)
            case "p":
                return Cell(line.p_holm, value=row.p_holm)
            case "time":
                return Cell(line.time, value=line.ratio)
            case "compute":
                total = self.totals.get(line.arm)
                return Cell("-" if total is None else _short(total / self._unit[1]), value=total)
            case "mean":
                mean, _, half = numerals.mean_text(row, self.comparison.primary).partition(" ")
                return Cell(mean, half, row.mean)
            case "diverged":
                return Cell(f"{row.diverged}/{row.runs}", value=row.diverged / row.runs if row.runs else None)
            case _:
                return Cell("") if line.baseline else _against_baseline(key, row)


def _against_baseline(key: str, row: Row) -> Cell:
    if key == "posterior":
        return Cell(posterior_cell(row), value=row.posterior_better)
    if key == "rho":
        return Cell("-" if row.rho is None else numerals.fixed(row.rho, 2), value=row.rho)
    return Cell("-" if row.wins is None or not row.pairs else f"{row.wins}/{row.pairs}", value=row.wins)


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2g}"


_UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))
