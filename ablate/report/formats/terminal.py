"""The comparison table for a terminal: readable at 80 columns, without colour, and in a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals
from ablate.report.text.block_cells import block_lines
from ablate.report.text.cells import TableLine, difference_header, lines_of, primary_header, secondary_metrics
from ablate.report.text.columns import Columns
from ablate.report.text.escape import visible
from ablate.report.text.posterior_words import posterior_cell, posterior_header

WIDTH = 80
"""Columns of the plain table."""
_GAP = "  "
_LEAST = 8
"""Cells that the arm's name keeps at the least; numbers never give way."""
_STYLES = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow", "diverged": "magenta"}


@dataclass(frozen=True)
class _Column:
    header: str
    cells: tuple[str, ...]
    right: bool = False

    @property
    def width(self) -> int:
        return max(cell_len(text) for text in (self.header, *self.cells))


@dataclass(frozen=True)
class ComparisonTable:
    """The table, laid out for whatever width it is printed at. The arm's name shrinks; columns of numbers do not.

    Secondary metrics that do not fit are left out as whole columns and named below the table.
    """

    comparison: Comparison
    times: Mapping[str, float | None]
    totals: Mapping[str, float | None]
    chosen: tuple[str, ...] = ()
    """Columns that were asked for; empty for the usual ones."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.lines(options.max_width)

    def lines(self, width: int) -> list[Text]:
        """Return the header, one line per arm and the legend, each at most `width` cells where numbers allow it."""
        found = lines_of(self.comparison, times=self.times)
        columns, left_out = self._chosen(found, width) if self.chosen else self._columns(found, width)
        rest = sum(column.width + len(_GAP) for column in columns)
        names = [visible(line.arm) for line in found]
        arm = max(_LEAST, min(max(map(cell_len, (*names, "arm"))), width - rest))
        texts = [Text(_join("arm", arm, [(c.header, c) for c in columns]), style="dim")]
        for at, line in enumerate(found):
            texts.append(_styled(_join(names[at], arm, [(c.cells[at], c) for c in columns]), line))
        return texts + [
            Text(text, style="dim") for text in _legend(self.comparison, left_out, chosen=bool(self.chosen))
        ]

    def _chosen(self, found: Sequence[TableLine], width: int) -> tuple[list[_Column], list[str]]:
        """The columns asked for, as far as they fit; the first of them in any case."""
        columns = [_verdicts(found)]
        left_out: list[str] = []
        longest = max((cell_len(visible(line.arm)) for line in found), default=0)
        made = Columns(self.comparison, self.totals)
        for chosen in made.named(self.chosen):
            cells = [made.cell(chosen, line) for line in found]
            pairs = [(cell.text, cell.interval) for cell in cells]
            column = _Column(chosen.plain_header, _with_intervals(pairs), right=not any(pair[1] for pair in pairs))
            room = width - min(longest, 24) - sum(known.width + len(_GAP) for known in columns)
            if len(columns) == 1 or (column.width + len(_GAP) <= room and not left_out):
                columns.append(column)
            else:
                left_out.append(chosen.plain_header)
        return columns, left_out

    def _columns(self, found: Sequence[TableLine], width: int) -> tuple[list[_Column], list[str]]:
        columns = [
            _verdicts(found),
            _Column("n", tuple(line.n for line in found), right=True),
            _Column(primary_header(self.comparison, arrow=False), _with_intervals([line.primary for line in found])),
            _Column("p", tuple(line.p_holm for line in found), right=True),
        ]
        if self.comparison.bayes is not None:
            cells = [posterior_cell(self.comparison.row(line.arm)) for line in found]
            columns.append(_Column(posterior_header(self.comparison), tuple(cells), right=True))
        if any(line.time != "-" for line in found):
            columns.append(_Column("time", tuple(line.time for line in found), right=True))
        left_out: list[str] = []
        longest = max((cell_len(visible(line.arm)) for line in found), default=0)
        for metric in secondary_metrics(self.comparison):
            header = difference_header(metric, arrow=False)
            column = _Column(header, tuple(line.secondary[metric.name] for line in found), right=True)
            room = width - min(longest, 24) - sum(known.width + len(_GAP) for known in columns)
            if column.width + len(_GAP) <= room and not left_out:
                columns.append(column)
            else:
                left_out.append(numerals.label(metric))
        return columns, left_out


def _verdicts(found: Sequence[TableLine]) -> _Column:
    return _Column("verdict", tuple(f"{line.symbol} {line.verdict}".strip() for line in found))


def _with_intervals(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Numbers and their intervals as one column, the intervals below each other."""
    wide = max((len(number) for number, _ in pairs), default=0)
    return tuple(f"{number:>{wide}} {interval}".rstrip() for number, interval in pairs)


def comparison_table(
    comparison: Comparison,
    times: Mapping[str, float | None] | None = None,
    *,
    totals: Mapping[str, float | None] | None = None,
    columns: Sequence[str] = (),
) -> ComparisonTable:
    """Return the comparison as something rich can print.

    `times` maps arms to their time relative to the baseline's, `totals` to the seconds of all their trials; `columns`
    are those that were asked for (see `ablate.report.text.columns`).
    """
    return ComparisonTable(comparison, times or {}, totals or {}, tuple(columns))


def plain_table(comparison: Comparison, width: int = WIDTH, times: Mapping[str, float | None] | None = None) -> str:
    """Return the table as plain text, `width` columns wide."""
    return "\n".join(line.plain for line in comparison_table(comparison, times).lines(width))


_CORRECTED = {"holm": "; p by Holm", "bh": "; p by Benjamini-Hochberg", "none": "; p uncorrected"}


def _legend(comparison: Comparison, left_out: Sequence[str], *, chosen: bool) -> list[str]:
    metric = comparison.primary
    margin = numerals.margin_text(metric)
    lines = [
        f"{numerals.label(metric)}: {numerals.arrow_words(metric)}; difference to {visible(comparison.reference)} "
        f"[95 % interval]{_CORRECTED[comparison.correct]}",
        f"over {numerals.plural(comparison.tested, 'comparison')}, level {comparison.alpha:.4g}, "
        + (f"margin {margin}" if margin else "no margin declared, so no arm can be equivalent"),
    ]
    if left_out and chosen:
        lines.append(f"no room here; shown in report.html and in a wider terminal: {', '.join(left_out)}")
    elif left_out:
        lines.append(f"also measured, see arms.csv and report.html: {', '.join(left_out)}")
    return lines


def _join(name: str, width: int, cells: Sequence[tuple[str, _Column]]) -> str:
    parts = [_pad(_shorten(name, width), width)]
    parts += [_pad(text, column.width, right=column.right) for text, column in cells]
    return _GAP.join(parts).rstrip()


def _pad(text: str, width: int, *, right: bool = False) -> str:
    fill = " " * (width - cell_len(text))
    return fill + text if right else text + fill


def _shorten(name: str, width: int) -> str:
    """Return `name` in at most `width` cells; its middle goes first, since the level at the end tells arms apart."""
    if cell_len(name) <= width:
        return name
    tail, head = "", ""
    for symbol in reversed(name):
        if cell_len(symbol + tail) > (width - 1) * 2 // 3:
            break
        tail = symbol + tail
    for symbol in name:
        if cell_len(head + symbol) + 1 + cell_len(tail) > width:
            break
        head += symbol
    return f"{head}…{tail}"


def _styled(text: str, line: TableLine) -> Text:
    shown = Text(text, style="bold" if line.bold else "")
    if line.verdict in _STYLES:
        marked = f"{line.symbol} {line.verdict}"
        start = text.rfind(marked)
        shown.stylize(_STYLES[line.verdict], start, start + len(marked))
    return shown


def block_table(comparison: Comparison, width: int = WIDTH) -> list[Text]:
    """Return the verdict of every arm in every block, as far as `width` has room; empty without blocks."""
    found = comparison.blocks
    if found is None:
        return []
    lines = [line for line in block_lines(comparison) if not line.baseline]
    longest = max(map(cell_len, (found.word, *(visible(line.arm) for line in lines))))
    arm = max(_LEAST, min(longest, 24))
    columns = [
        _Column(visible(name), tuple(f"{line.cells[at].text} {line.cells[at].symbol}".strip() for line in lines))
        for at, name in enumerate(found.names)
    ]
    shown: list[_Column] = []
    for column in columns:
        if arm + sum(len(_GAP) + known.width for known in (*shown, column)) > width:
            break
        shown.append(column)
    head = Text(_join(f"by {found.word}" if len(found.word) + 3 <= arm else "", arm, [(c.header, c) for c in shown]))
    head.stylize("dim")
    texts = [head]
    for at, line in enumerate(lines):
        texts.append(Text(_join(visible(line.arm), arm, [(column.cells[at], column) for column in shown])))
    legend = "^ better, v worse, = equivalent, ? undecided, x diverged; corrected over arms and blocks"
    texts.append(Text(legend, style="dim"))
    if len(shown) < len(columns):
        texts.append(Text(f"{len(columns) - len(shown)} more blocks: see report.html and blocks.csv", style="dim"))
    return texts
