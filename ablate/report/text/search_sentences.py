"""The searches of a study for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.data.search_results import SearchResult
from ablate.report.text.escape import markdown, visible

_CAVEAT = (
    "These values chose the candidates, so they are too good. The comparison shows what the best one is worth, on "
    "seeds that the search has not seen."
)
_UNTESTED = "These values chose the candidates, so they are too good: nothing here was tested on fresh seeds."


def title(one: SearchResult) -> str:
    """Return what a search is called."""
    return f"Tuning of {visible(one.search.name)}" if one.search.tunes else "Search"


def closing(one: SearchResult) -> str:
    """Return what the values of a search are worth."""
    return _CAVEAT if one.search.arm is not None else _UNTESTED


def search_lines(found: Sequence[SearchResult]) -> list[str]:
    """Return the searches for a terminal: one table each."""
    lines: list[str] = []
    for one in found:
        widths = [max(len(row[at]) for row in (one.head, *one.rows)) for at in range(len(one.head))]
        lines += [f"{title(one)}: {one.caption}"]
        lines += [
            "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in ((one.head, *one.rows) if one.rows else ())
        ]
        lines += [one.importance_text] if len(one.search.objectives) == 1 else []
    return lines


def search_markdown(found: Sequence[SearchResult]) -> str:
    """Return the section of the searches in Markdown, empty without any."""
    parts = []
    for one in found:
        header = [one.head, ("---", *["--:"] * (len(one.head) - 1))]
        rows = [header[0], header[1], *(tuple(markdown(cell) for cell in row) for row in one.rows)]
        parts += [f"## {markdown(title(one))}", markdown(one.caption)]
        parts += ["\n".join(f"| {' | '.join(row)} |" for row in rows)] if one.rows else []
        parts += [markdown(one.importance_text)] if len(one.search.objectives) == 1 else []
        parts += [markdown(closing(one))]
    return "\n\n".join(parts)
