"""Rows as CSV: full precision, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ablate.report.data.csv_escape import disarmed

CURVE_COLUMNS = ("study", "arm", "seed", "images", "metric", "value")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV with ``\\n`` line ends; floats in full precision, None as an empty cell.

    Text that begins with - + @ = gets an apostrophe in front, whatever follows: a spreadsheet could run it. Numbers
    are numbers.
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
    if isinstance(value, str):
        return disarmed(value)
    return repr(float(value)) if isinstance(value, float) else value
