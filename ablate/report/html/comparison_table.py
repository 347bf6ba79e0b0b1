"""The comparison table of report.html: sortable, the baseline pinned on top, every seed's value one click away."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ablate.json_values import JsonValue
from ablate.report.data.material import Material
from ablate.report.statistics.model import Comparison, Row
from ablate.report.text import numerals
from ablate.report.text.cells import (
    TableLine,
    headline_metrics,
    lines_of,
    secondary_metrics,
    unit_of,
)
from ablate.report.text.columns import Cell, Column, Columns
from ablate.report.text.html_elements import Child, Html, join, scroller, table, tag
from ablate.report.text.look_sentences import repeated_text
from ablate.study.factors import level_text
from ablate.study.spec import Arm, MetricSpec

SHAPES = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "?", "diverged": "✕"}
"""What stands beside the word of a verdict, so that colour is never alone."""
_MEANINGS = {
    "time": "mean per trial, relative to the baseline",
    "compute": "wall time of all trials of the arm, reused work included",
    "rho": "correlation with the baseline over seeds",
    "diverged": "of all runs",
    "wins": "seeds in which the arm is better",
    "posterior": "chances of differences beyond the margin on either side, and within it, by these seeds alone",
}
_MOST_METRICS = 2
"""Secondary metrics that fit a page beside time, compute and rho; the others follow in a table of their own."""


def chip(verdict: str) -> Html:
    """Return a verdict as its shape and its word."""
    shape = SHAPES.get(verdict)
    if shape is None:
        return tag("span", "–" if verdict == "-" else verdict, class_="chip none")
    return tag("span", tag("span", shape, aria_hidden="true", class_="shape"), verdict, class_=f"chip {verdict}")


def comparison_table(material: Material) -> Html:
    """Return the section's content: the table, how to read it, and the metrics that had no room in it."""
    comparison = material.comparison
    times = {arm.name: material.ratio(arm.name) for arm in material.study.arms}
    lines = lines_of(comparison, [arm.name for arm in material.shown_arms], times)
    made = Columns(comparison, material.totals)
    columns = made.named(material.columns or _usual(material))
    rest = [metric for metric in secondary_metrics(comparison) if metric not in [column.metric for column in columns]]
    headers = ["arm", "verdict", *(column.header for column in columns)]
    arms = {arm.name: arm for arm in material.study.arms}
    rows = [(line, _line(line, arms[line.arm], columns, made, material)) for line in lines if line.arm in arms]
    first_table = _sortable(headers, rows, _caption(material, columns), "Comparison table")
    return join(first_table, _other_metrics(lines, rest, comparison) if rest else None)


def _usual(material: Material) -> list[str]:
    """The columns that nobody chose: what the verdict rests on, what it cost, and what sharing seeds bought."""
    comparison = material.comparison
    metrics = [metric.name for metric in headline_metrics(comparison)[:_MOST_METRICS]]
    cost = ["compute"] * any(material.totals.values())
    shared = ["rho"] * any(row.rho is not None for row in comparison.rows.values()) * (comparison.test != "welch")
    asked = ["posterior"] * (comparison.bayes is not None)
    return ["n", "diff", "p", *asked, *metrics, "time", *cost, *shared]


def _other_metrics(lines: Sequence[TableLine], metrics: Sequence[MetricSpec], comparison: Comparison) -> Html:
    """The exploratory metrics beyond the first few, as a table of their own."""
    made = Columns(comparison, {})
    columns = made.named([metric.name for metric in metrics])
    headers = ["arm", *(column.header for column in columns)]
    rows = [
        (
            line,
            tag(
                "tr",
                tag("th", _name(line.arm), scope="row", data_v=line.arm),
                [_cell(made.cell(column, line)) for column in columns],
            ),
        )
        for line in lines
    ]
    caption = "Difference to the baseline with 95 % t-interval, exploratory; the baseline's own row shows its mean."
    more = _sortable(headers, rows, caption, "Table of other metrics")
    return tag("details", tag("summary", f"{numerals.plural(len(metrics), 'more metric')}, exploratory"), more)


def _sortable(headers: Sequence[str], rows: Sequence[tuple[TableLine, Html]], caption: str, label: str) -> Html:
    sortable = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", [_header(text, number=text not in ("arm", "verdict")) for text in headers])),
        tag("tbody", [row for line, row in rows if line.baseline], class_="pinned"),
        tag("tbody", [row for line, row in rows if not line.baseline], class_="sortable"),
        class_="arms",
    )
    return scroller(label, sortable)


def _header(text: str, *, number: bool) -> Html:
    words = {"↑": "higher is better", "↓": "lower is better"}
    arrow = text[-1] if text[-1] in words else ""
    shown = text.removesuffix(arrow).rstrip()
    sign = (
        join(" ", tag("span", arrow, aria_hidden="true"), tag("span", words[arrow], class_="hidden")) if arrow else None
    )
    return tag(
        "th", tag("button", shown, sign, type="button"), scope="col", aria_sort="none", class_="num" if number else None
    )


def _name(arm: str) -> Html:
    """An arm's name, which is broken behind an equals sign or a comma rather than inside a word."""
    parts = re.split(r"(?<=[=,])", arm)
    return tag("span", parts[0], [join(tag("wbr"), part) for part in parts[1:]], class_="name")


def _line(line: TableLine, arm: Arm, columns: Sequence[Column], made: Columns, material: Material) -> Html:
    cells = [
        tag("th", _name(line.arm), _details(arm, material), scope="row", data_v=line.arm),
        tag("td", chip(line.verdict), data_v=line.verdict),
    ]
    cells += [_cell(made.cell(column, line)) for column in columns]
    return tag("tr", cells)


def _cell(cell: Cell) -> Html:
    shown: Child = tag("strong", cell.text) if cell.bold else cell.text
    beside = (" ", tag("span", cell.interval, class_="interval")) if cell.interval else None
    return tag("td", shown, beside, class_="num", data_v=_sort_value(cell.value))


def _sort_value(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _details(arm: Arm, material: Material) -> Html:
    comparison = material.comparison
    row = comparison.row(arm.name)
    facts = [*_changes(arm, material.study.baseline), *_numbers(row, comparison.primary, unit_of(comparison))]
    listed = tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in facts]) if facts else None
    return tag("details", tag("summary", "details"), listed, _seed_table(row, material))


def _changes(arm: Arm, baseline: Arm) -> list[tuple[str, str]]:
    if arm.name == baseline.name:
        return [(name, level(value)) for name, value in arm.levels.items()]
    names = sorted(arm.settings.keys() | baseline.settings.keys())
    return [
        (name, f"{level(arm.settings.get(name))} (baseline {level(baseline.settings.get(name))})")
        for name in names
        if arm.settings.get(name) != baseline.settings.get(name)
    ]


def level(value: JsonValue) -> str:
    """Return a level as a study file has it."""
    return "none" if value is None else level_text(value)


def _numbers(row: Row, metric: MetricSpec, unit: str) -> list[tuple[str, str]]:
    found = [("mean", f"{numerals.mean_text(row, metric)} {metric.unit}".strip())] if row.mean is not None else []
    if row.percent is not None:
        found.append(("difference in % of the baseline", numerals.signed(row.percent, 2)))
    if row.seed_sds is not None:
        found.append(("difference in seed standard deviations", numerals.signed(row.seed_sds, 2)))
    if row.p is not None:
        found.append(("p, uncorrected", numerals.p_text(row.p)))
    if row.p_equivalence is not None:
        found.append(("p of equivalence, uncorrected", numerals.p_text(row.p_equivalence)))
    if row.repeated_low is not None:
        found.append(("all looks together", repeated_text(row, metric).strip(" ()")))
    if row.chance is not None:
        found.append(("chance to decide it by the last look", f"{100 * row.chance:.0f} %"))
    if row.wins is not None and row.pairs:
        found.append(("better than the baseline in", f"{row.wins} of {numerals.plural(row.pairs, unit)}"))
    if row.rho is not None:
        found.append((f"correlation with the baseline over {unit}s", numerals.fixed(row.rho, 2)))
    if row.note:
        found.append(("note", row.note))
    return found


def _seed_table(row: Row, material: Material) -> Html | None:
    metric = material.comparison.primary
    seeds = sorted(seed for arm, seed in material.results if arm == row.arm)
    if not seeds:
        return None
    unit, blocks = unit_of(material.comparison), material.comparison.blocks
    names = blocks.names if blocks is not None and unit == "block" else ()
    lines = []
    for seed in seeds:
        trial = material.results[(row.arm, seed)]
        outcome = trial.outcome.value if trial.outcome else "running"
        value, difference = row.values.get(seed), row.differences.get(seed)
        factor = 100.0 if metric.scale == "log" else 1.0
        lines.append(
            tag(
                "tr",
                tag("th", names[seed] if names else str(seed), scope="row"),
                tag("td", outcome),
                tag("td", "" if value is None else numerals.fixed(value, metric.digits), class_="num"),
                tag(
                    "td",
                    "" if difference is None else numerals.signed(factor * difference, metric.digits),
                    class_="num",
                ),
            )
        )
    unit = numerals.unit_of_difference(metric)
    head = [unit, "outcome", numerals.label(metric), f"difference{f' ({unit})' if unit else ''}"]
    return table(f"{row.arm}, {unit} by {unit}", head, lines, words=2, class_="seeds")


def _caption(material: Material, columns: Sequence[Column]) -> str:
    comparison = material.comparison
    margin = numerals.margin_text(comparison.primary)
    keys = [column.key for column in columns]
    return (
        f"Difference to the baseline with 95 % t-interval, mean over n {unit_of(comparison)}s; the baseline's own row "
        "shows its mean. "
        f"Verdicts are about {numerals.label(comparison.primary)}, corrected over "
        f"{numerals.plural(comparison.tested, 'comparison')} at level {comparison.alpha:.4g}"
        f"{f', margin {margin}' if margin else ', no margin declared'}; other metrics are exploratory. "
        "Bold: the best arm with the verdict better, and better arms not shown to be worse than it."
        + "".join(f" {key}: {_MEANINGS[key].replace('seed', unit_of(comparison))}." for key in keys if key in _MEANINGS)
    )
