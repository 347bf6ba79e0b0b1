"""The searches of a study as a section of the page."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.data.search_results import SearchResult
from ablate.report.text.html_elements import Html, join, table, tag
from ablate.report.text.search_sentences import closing, title


def search_section(found: Sequence[SearchResult]) -> Html | None:
    """Return the section of the searches as HTML, None without any."""
    parts = []
    for one in found:
        rows = [
            tag("tr", [tag("td", cell, class_="num" if at else None) for at, cell in enumerate(row)])
            for row in one.rows
        ]
        parts.append(tag("h3", title(one)))
        parts.append(table(one.caption, one.head, rows) if rows else tag("p", one.caption))
        if len(one.search.objectives) == 1:
            parts.append(tag("p", one.importance_text))
        parts.append(tag("p", closing(one)))
    return join(parts) if parts else None
