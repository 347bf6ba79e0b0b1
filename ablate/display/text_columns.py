"""Columns of text in which one column gives way when the screen is narrow, and numbers never do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from ablate.human_units import shorten, visible

_GAP = "  "
_LEAST = 8
"""Cells that the giving column keeps at the least."""


def lay_out(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, align: str, width: int, indent: str = "  "
) -> list[Text]:
    """Return the header (dim) and one line per row, at most `width` cells wide as far as numbers allow.

    `align` has one character per column: ``<`` left, ``>`` right, and ``~`` for the one left-aligned column that
    shrinks with its middle cut out. Columns without any text are left out.
    """
    cells = [[visible(cell) for cell in row] for row in rows]
    used = [at for at in range(len(header)) if any(row[at] for row in cells) or align[at] == "~"]
    wide = {at: max(cell_len(text) for text in (header[at], *(row[at] for row in cells))) for at in used}
    flexible = next((at for at in used if align[at] == "~"), None)
    if flexible is not None:
        rest = sum(wide.values()) - wide[flexible] + len(_GAP) * (len(used) - 1) + cell_len(indent)
        wide[flexible] = min(wide[flexible], max(_LEAST, width - rest))
    lines = [Text(indent + _line(header, used, wide, align), style="dim")]
    lines += [Text(indent + _line(row, used, wide, align)) for row in cells]
    return lines


def _line(row: Sequence[str], used: Sequence[int], wide: dict[int, int], align: str) -> str:
    return _GAP.join(_cell(row[at], wide[at], align[at]) for at in used).rstrip()


def _cell(text: str, width: int, align: str) -> str:
    text = shorten(text, width) if align == "~" else text
    fill = " " * (width - cell_len(text))
    return fill + text if align == ">" else text + fill
