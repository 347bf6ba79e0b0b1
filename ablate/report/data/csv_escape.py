"""Text in cells of CSV files that no spreadsheet takes for a formula, and back."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+@\t\r\n＝＋－＠-]")
"""What begins like a formula, however many apostrophes stand in front: so that `armed` undoes `disarmed` exactly."""


def disarmed(text: str) -> str:
    """Return `text` with an apostrophe in front where it begins with = + - @, a tab or a line end, as OWASP advises."""
    return f"'{text}" if _FORMULA.match(text) else text


def armed(text: str) -> str:
    """Return the text that `disarmed` made `text` of."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
