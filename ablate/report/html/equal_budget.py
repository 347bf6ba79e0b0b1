"""The section of report.html about equal compute."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.data.material import Material
from ablate.report.html.comparison_table import chip
from ablate.report.text.budget_cells import BudgetCell, budget_caption, budget_cells, budget_head
from ablate.report.text.html_elements import Html, join, scroller, table, tag


def budget_section(material: Material, drawn: Sequence[Html]) -> Html | None:
    """Return the verdicts at every equal budget, and the figure; None where there is neither."""
    if not material.equal and not drawn:
        return None
    return join(_table(material) if material.equal else None, drawn)


def _table(material: Material) -> Html:
    rows = [
        tag("tr", tag("th", arm, scope="row"), [_cell(cell) for cell in cells])
        for arm, cells in budget_cells(material.equal, material.comparison)
    ]
    caption = budget_caption(material.comparison)
    return scroller("At equal budgets", table(caption, budget_head(material.equal), rows, class_="budgets"))


def _cell(cell: BudgetCell) -> Html:
    words = (chip(cell.verdict), " ") if cell.verdict else None
    details = [tag("span", part, class_="interval") for part in (cell.interval, cell.spent) if part]
    return tag("td", words, cell.text, [join(" ", detail) for detail in details], class_="num")
