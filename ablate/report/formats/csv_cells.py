"""Rows as CSV: full precision, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

CURVE_COLUMNS = ("study", "arm", "seed", "images", "metric", "value")


_FORMULA = re.compile(r"[=@\t\r]|[+-].*[(|!=]", re.DOTALL)
"""Text that a spreadsheet would run: ``=...``, ``@...``, ``+cmd|...``; but not ``+ EMA`` or ``-0.5``."""


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV with ``\\n`` line ends; floats in full precision, None as an empty cell.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, as OWASP advises.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_plain(name) for name in header])
    writer.writerows([_plain(value) for value in row] for row in rows)
    return buffer.getvalue()


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return repr(float(value)) if isinstance(value, float) else value
