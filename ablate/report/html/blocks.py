"""The section of report.html about several blocks: arms by blocks, what contradicts itself, ranks, single reports."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from ablate.paths import safe_name
from ablate.report.data.material import Material
from ablate.report.html.comparison_table import chip
from ablate.report.text.block_cells import (
    AGGREGATES,
    BlockCell,
    BlockLine,
    aggregate_caption,
    aggregate_cells,
    block_caption,
    block_header,
    block_lines,
    contradictions,
    rank_sentences,
)
from ablate.report.text.html_elements import Html, join, scroller, table, tag


def blocks_section(material: Material, drawn: Sequence[Html]) -> Html | None:
    """Return the section's content; None for a study without blocks."""
    comparison = material.comparison
    if comparison.blocks is None:
        return None
    rows = [_line(line) for line in block_lines(comparison)]
    *names, whole = block_header(comparison)
    grid = table(block_caption(comparison), ["arm", whole, *names], rows, class_="blocks")
    against = [tag("li", text) for text in contradictions(comparison)]
    aggregates = [
        tag("tr", tag("th", cells[0], scope="row"), [tag("td", cell, class_="num") for cell in cells[1:]])
        for cells in aggregate_cells(comparison)
    ]
    more = table(aggregate_caption(comparison), AGGREGATES, aggregates)
    ranks = [tag("p", text) for text in rank_sentences(comparison)]
    return join(
        tag("ul", against, class_="notes") if against else None,
        scroller("Arms by blocks", grid),
        drawn,
        ranks,
        scroller("Aggregates over blocks", more),
        _links(material),
    )


def _links(material: Material) -> Html | None:
    """One link per block to the report of that block alone, with its curves, images and single seeds."""
    if not material.blocks:
        return None
    links = [tag("li", tag("a", name, href=f"blocks/{quote(safe_name(name))}/report.html")) for name in material.blocks]
    return join(tag("p", "Each block has a report of its own, with learning curves and every seed:"), tag("ul", links))


def _line(line: BlockLine) -> Html:
    return tag("tr", tag("th", line.arm, scope="row"), [_cell(cell) for cell in (line.cells[-1], *line.cells[:-1])])


def _cell(cell: BlockCell) -> Html:
    words = tag("div", chip(cell.verdict)) if cell.verdict else None
    interval = tag("div", tag("span", cell.interval, class_="interval")) if cell.interval else None
    return tag("td", words, cell.text, interval, class_="num")
