"""What the generated pages share: the note at their top, tables, and names that need a meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

NOTE = "<!-- Written by: python -m ablate.cli.reference docs. Do not edit by hand. -->"
_SEPARATORS = {"l": "---", "r": "---:"}


def head(title: str, text: str) -> str:
    """Return the beginning of a page: title, note, and the paragraphs of `text`."""
    return f"# {title}\n\n{NOTE}\n\n{text.strip()}\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "") -> str:
    """Return a Markdown table; `align` has one letter per column, ``l`` or ``r`` (default: all left)."""
    lines = [header, [_SEPARATORS[side] for side in align or "l" * len(header)], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(text: str) -> str:
    """Return `text` as code, empty text as nothing."""
    return f"`{text}`" if text else ""


def from_docstring(text: str) -> str:
    """Return a docstring as Markdown: RST's double backticks and mkdocstrings' references become single backticks."""
    return re.sub(r"\[`([^`\]]+)`\]\[\]", r"`\1`", text.replace("``", "`"))


def meanings(names: Iterable[str], said: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each name as code with its meaning, in the order of `names`.

    Raises ValueError when a name has no meaning, or a meaning is left of a name that the code no longer has.
    """
    known = list(names)
    if known_wrong := set(known) ^ set(said):
        raise ValueError(f"these names need a meaning here, or are no longer in the code: {sorted(known_wrong)}")
    return [(code(name), said[name]) for name in known]
