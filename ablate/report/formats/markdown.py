"""report.md: the answer, the table, and how to read it, for a repository or a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ablate.report.data.material import Material
from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals
from ablate.report.text.answer import answer_of
from ablate.report.text.block_cells import (
    AGGREGATES,
    aggregate_caption,
    aggregate_cells,
    block_caption,
    block_header,
    block_lines,
    contradictions,
    rank_sentences,
)
from ablate.report.text.budget_cells import BudgetCell, budget_caption, budget_cells, budget_head
from ablate.report.text.cells import (
    TableLine,
    headline_metrics,
    lines_of,
    secondary_metrics,
)
from ablate.report.text.columns import Column, Columns
from ablate.report.text.component_columns import arms_in_order, components_of
from ablate.report.text.escape import markdown, markdown_code
from ablate.report.text.methods_section import method_paragraphs
from ablate.report.text.search_sentences import search_markdown
from ablate.report.text.time_cells import HEAD, race_caption, race_cells
from ablate.report.text.verdict_sentences import Answer, Sentence
from ablate.study.factors import level_text
from ablate.study.spec import Study


def report_markdown(material: Material, figures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the whole page; `figures` are (file name inside figures/, alternative text)."""
    study = material.study
    parts = [
        f"# {markdown(study.name)}",
        f"{markdown(study.question)}" if study.question else "",
        f"*{material.state}*",
        *_answer_parts(answer_of(material)),
        *_blocks(material.comparison),
        "## Comparison" if material.comparison.blocks is None else "## Comparison over all blocks",
        comparison_markdown(material),
        _baseline(study),
        _left_out(material),
        *(f"![{markdown(alt)}](figures/{name})" for name, alt in figures),
        *_budgets(material),
        *_races(material),
        search_markdown(material.searched),
        "## Method",
        *(markdown(text) for text in method_paragraphs(material)),
        "## Where it comes from",
        _facts(material.provenance.facts),
        f"Generated at {material.generated_at} by ablate.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer_parts(found: Answer) -> list[str]:
    parts = ["## Answer", markdown(str(found.summary))]
    for heading, group in (
        ("", found.decided),
        ("Undecided:", found.undecided),
        ("Further comparisons:", found.findings),
        ("What this does not show:", found.untested),
    ):
        if group:
            parts += [heading, "\n".join(_item(sentence) for sentence in group)]
    if found.unfinished is not None:
        parts.append(_item(found.unfinished))
    if found.warnings:
        parts += ["Warnings:", "\n".join(_item(sentence) for sentence in found.warnings)]
    return parts


def _item(sentence: Sentence) -> str:
    arm = f"**{markdown(sentence.arm)}** " if sentence.arm is not None else ""
    command = f" {markdown_code(sentence.command)}" if sentence.command else ""
    return f"- {arm}{markdown(sentence.text)}{command}"


def comparison_markdown(material: Material) -> str:
    """Return the comparison table in Markdown; the layout `components` has a column per boolean factor."""
    comparison, study = material.comparison, material.study
    times = {arm.name: material.ratio(arm.name) for arm in study.arms}
    arms = {arm.name: arm for arm in arms_in_order(study, material.layout)}
    lines = lines_of(comparison, list(arms), times)
    names = components_of(study) if material.layout == "components" else ()
    made = Columns(comparison, material.totals)
    columns = made.named(columns_in_words(material))
    header = [*(markdown(name) for name in names), "arm", "verdict", *(markdown(column.header) for column in columns)]
    align = [*[":-:"] * len(names), "---", "---", *["--:"] * (len(header) - len(names) - 2)]
    marks = [["✓" if arms[line.arm].settings[name] else "" for name in names] for line in lines]
    rows = [header, align, *([*own, *_cells(line, columns, made)] for own, line in zip(marks, lines, strict=True))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def columns_in_words(material: Material) -> Sequence[str]:
    """Return the columns that were chosen, or the usual ones."""
    metrics = [metric.name for metric in headline_metrics(material.comparison)]
    asked = ["posterior"] * (material.comparison.bayes is not None)
    return material.columns or ["n", "diff", "p", *asked, *metrics, "time"]


def _baseline(study: Study) -> str:
    """What the arms are compared with, as the study file states it."""
    levels = [f"{name} {level_text(value)}" for name, value in study.baseline.levels.items() if value is not None]
    return markdown(f"The baseline: {', '.join(levels)}.") if levels else ""


def _left_out(material: Material) -> str:
    shown = columns_in_words(material)
    rest = [numerals.label(metric) for metric in secondary_metrics(material.comparison) if metric.name not in shown]
    return markdown(f"Also measured, see arms.csv and report.html: {', '.join(rest)}.") if rest else ""


def _blocks(comparison: Comparison) -> list[str]:
    """Arms by blocks, with what is said about them; nothing for a study without blocks."""
    if comparison.blocks is None:
        return []
    rows = [
        [line.arm, *(" ".join(filter(None, (cell.text, cell.interval, cell.verdict))) for cell in line.cells)]
        for line in block_lines(comparison)
    ]
    return [
        f"## Every arm in {len(comparison.blocks.names)} blocks ({markdown(comparison.blocks.word)})",
        *(markdown(text) for text in contradictions(comparison)),
        grid(["arm", *block_header(comparison)], rows),
        markdown(block_caption(comparison)),
        *(markdown(text) for text in rank_sentences(comparison)),
        grid(AGGREGATES, aggregate_cells(comparison)),
        markdown(aggregate_caption(comparison)),
    ]


def _budgets(material: Material) -> list[str]:
    if not material.equal:
        return []
    comparison = material.comparison
    rows = [[arm, *(_budget_cell(cell) for cell in cells)] for arm, cells in budget_cells(material.equal, comparison)]
    return ["## At equal compute", grid(budget_head(material.equal), rows), markdown(f"{budget_caption(comparison)}.")]


def _budget_cell(cell: BudgetCell) -> str:
    details = ", ".join(part for part in (cell.interval, cell.spent) if part)
    return " ".join(part for part in (cell.verdict, cell.text, details) if part)


def _races(material: Material) -> list[str]:
    """A heading and a table per time to a quality."""
    if not material.races:
        return []
    parts = ["## Time to the declared quality"]
    for race in material.races:
        parts += [grid(HEAD, race_cells(race, material.comparison.stability)), markdown(f"{race_caption(race)}.")]
    return parts


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Return a table of plain text; the columns after the first `words` hold numbers."""
    align = [*["---"] * words, *["--:"] * (len(head) - words)]
    lines = [[markdown(cell) for cell in head], align, *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(line: TableLine, columns: Sequence[Column], made: Columns) -> list[str]:
    name = markdown(line.arm)
    found = [made.cell(column, line) for column in columns]
    texts = [f"**{cell.text}**" if cell.bold else markdown(cell.text) for cell in found]
    numbers = [f"{text} {cell.interval}".strip() for text, cell in zip(texts, found, strict=True)]
    return [f"**{name}**" if line.baseline else name, line.verdict, *numbers]


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {markdown(name)}: {markdown(value)}" for name, value in facts)
