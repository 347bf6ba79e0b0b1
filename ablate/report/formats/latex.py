"""table.tex: the comparison as a booktabs table, ready to be \\input into a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from ablate.report.data.material import Material
from ablate.report.data.mixed_results import IMPORTED, VERSIONS
from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals
from ablate.report.text.cells import TableLine, headline_metrics, lines_of, unit_of
from ablate.report.text.columns import Column, Columns
from ablate.report.text.component_columns import are_told_apart, arms_in_order, components_of
from ablate.report.text.escape import latex
from ablate.study.spec import Arm

_PACKAGES = {
    "arms": r"% \usepackage{booktabs,graphicx} \usepackage[table]{xcolor}",
    "components": r"% \usepackage{amssymb,booktabs,graphicx} \usepackage[table]{xcolor}",
}
_MOST_SECONDARY = 1
"""Secondary metrics that still fit the text width of a paper beside the primary one; arms.csv has all."""


def table_latex(material: Material) -> str:
    """Return a complete ``table`` environment; its first line names the packages it needs."""
    comparison = material.comparison
    times = {arm.name: material.ratio(arm.name) for arm in material.study.arms}
    arms = arms_in_order(material.study, material.layout)
    lines = {line.arm: line for line in lines_of(comparison, [arm.name for arm in arms], times)}
    made = Columns(comparison, material.totals)
    columns = made.named(material.columns or _usual(comparison))
    lead = _Components(material) if material.layout == "components" else _Factors()
    headers = [*lead.headers(), *_with_verdict(columns, [_header(column) for column in columns], "Verdict")]
    shapes = _with_verdict(
        columns, [_SHAPES.get(column.key, r"r@{\ }l" if _is_pair(column) else "r") for column in columns], "l"
    )
    return "\n".join(
        [
            _PACKAGES[material.layout],
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}\setlength{\belowcaptionskip}{5pt}",
            rf"\caption{{{_caption(material)}}}",
            # Shrinks a table that is wider than the text, and leaves others as they are.
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{lead.columns()}{''.join(shapes)}}}",
            r"\toprule",
            " & ".join(headers) + r" \\",
            r"\midrule",
            *_body(arms, lines, lead, columns, made),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


_HEADERS = {
    "n": "$n$",
    "p": "$p$",
    "time": "Time",
    "rho": r"$\rho$",
    "diverged": "Diverged",
    "wins": "Wins",
}
_SHAPES = {"n": "c"}


def _usual(comparison: Comparison) -> list[str]:
    metrics = [metric.name for metric in headline_metrics(comparison)[:_MOST_SECONDARY]]
    asked = ["posterior"] * (comparison.bayes is not None)
    return ["n", "diff", *asked, *metrics, "time"]


def _is_pair(column: Column) -> bool:
    """True for a number with its interval: two columns that are aligned where they meet."""
    return column.metric is not None or column.key in ("diff", "mean")


def _with_verdict(columns: Sequence[Column], parts: Sequence[str], verdict: str) -> list[str]:
    """Put the verdict behind the difference it is about; in front where that is not shown."""
    keys = [column.key for column in columns]
    at = keys.index("diff") + 1 if "diff" in keys else 0
    return [*parts[:at], verdict, *parts[at:]]


def _header(column: Column) -> str:
    if _is_pair(column):
        return rf"\multicolumn{{2}}{{c}}{{{latex(column.plain_header)}}}"
    if column.key == "posterior":
        return latex(column.header)
    if column.key == "compute":
        return latex(column.header.capitalize())
    correction = latex(column.header.removeprefix("p")) if column.key == "p" else ""
    return _HEADERS[column.key] + correction


class _Factors:
    """First columns of the usual layout: the factor, once per group, and the arm."""

    def headers(self) -> list[str]:
        return ["Factor", "Arm"]

    def columns(self) -> str:
        return "ll"

    def group(self, arm: Arm) -> object:
        return arm.factor

    def cells(self, arm: Arm, *, first: bool) -> list[str]:
        shown = first and arm.factor
        # Behind the end of a row, LaTeX takes a bracket for an option of it.
        factor = ("{}" if arm.factor.startswith("[") else "") + latex(arm.factor) if shown and arm.factor else ""
        # Beside its factor, an arm of one change is its level.
        return [factor, latex(arm.name.removeprefix(f"{arm.factor}="))]


class _Components:
    """First columns of the component layout: a check mark per boolean factor, and names where marks do not do."""

    def __init__(self, material: Material) -> None:
        self.names = components_of(material.study)
        self.named = not are_told_apart(material.study)

    def headers(self) -> list[str]:
        return [*(latex(name) for name in self.names), *(["Arm"] * self.named)]

    def columns(self) -> str:
        return "c" * len(self.names) + "l" * self.named

    def group(self, arm: Arm) -> object:
        return sum(arm.settings[name] is True for name in self.names)

    def cells(self, arm: Arm, *, first: bool) -> list[str]:
        marks = [r"\checkmark" if arm.settings[name] else "" for name in self.names]
        return [*marks, *([latex(arm.name)] * self.named)]


def _body(
    arms: Sequence[Arm],
    lines: Mapping[str, TableLine],
    lead: _Factors | _Components,
    columns: Sequence[Column],
    made: Columns,
) -> Iterator[str]:
    if arms[0].name in lines:
        # A colour reaches 2 pt to the left of each cell: more would cover the number that its interval stands close to.
        yield r"\rowcolor{gray!12}[2pt][6pt] " + _row(
            lines[arms[0].name], lead.cells(arms[0], first=True), columns, made
        )
    for _, group in groupby(arms[1:], key=lead.group):
        known = [arm for arm in group if arm.name in lines]
        yield from [r"\midrule"] * bool(known)
        yield from (
            _row(lines[arm.name], lead.cells(arm, first=at == 0), columns, made) for at, arm in enumerate(known)
        )


def _numbers(text: str) -> str:
    """Escape a cell of numbers and give them minus signs instead of hyphens."""
    return re.sub(r"-(?=\d)", "$-$", latex(text))


def _row(line: TableLine, lead: Sequence[str], columns: Sequence[Column], made: Columns) -> str:
    found = [made.cell(column, line) for column in columns]
    shown = [
        _pair(cell.text, cell.interval, bold=cell.bold) if _is_pair(column) else _single(column.key, cell.text)
        for column, cell in zip(columns, found, strict=True)
    ]
    cells = [*lead, *_with_verdict(columns, shown, "" if line.baseline else line.verdict)]
    return " & ".join(cells) + r" \\"


def _pair(value: str, spread: str, *, bold: bool = False) -> str:
    """A number and its interval as two columns that are aligned where they meet."""
    if value == "-":
        return r"\multicolumn{2}{c}{--}"
    shown = _numbers(value)
    if bold:
        shown = rf"\textbf{{{shown}}}"
    return f"{shown} & {_numbers(spread)}"


def _single(key: str, text: str) -> str:
    if text == "-":
        return "--"
    if key == "posterior":
        return re.sub(r"[<>]", r"$\g<0>$", text)
    if key == "time":
        return text.replace("x", r"$\times$")
    return "$<$" + text[1:] if text.startswith("<") else _numbers(text)


def _caption(material: Material) -> str:
    comparison, metric = material.comparison, material.comparison.primary
    margin = numerals.margin_text(metric)
    unit = "training seed" if unit_of(comparison) == "seed" else "block"
    correction = {"holm": "Holm-corrected", "bh": "Benjamini-Hochberg-corrected", "none": "uncorrected"}
    text = (
        f"{latex(material.study.question or material.study.name)} "
        f"Differences to the baseline ({numerals.arrow_words(metric)} in {latex(numerals.label(metric))}; "
        f"the baseline's own row shows its mean), mean over $n$ {unit}s with 95\\,\\% $t$-interval of the "
        f"{'paired ' if comparison.test != 'welch' else ''}difference; verdicts {correction[comparison.correct]} over "
        f"{numerals.plural(comparison.tested, 'comparison')} at $\\alpha = {comparison.alpha:.4g}$"
    )
    text += f", margin {latex(margin)}." if margin else ", no equivalence margin declared."
    if comparison.changed:
        text += f" Changed after the run: {latex(comparison.changed)}."
    mixed = [lint.message for lint in comparison.lints if lint.code in (VERSIONS, IMPORTED)]
    text += "".join(f" {latex(message[0].upper() + message[1:])}." for message in mixed)
    return text + " Bold: the best arm with the verdict better, and better arms not shown to be worse than it."
