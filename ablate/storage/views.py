"""Two read-only SQL views that make plain ``sqlite3`` pleasant: ``ablate_trials`` and ``ablate_params``.

Optuna stores a name as an index into a JSON list of choices and every attribute as a row of JSON text; the views
decode both. ``views.sql`` uses only what SQLite 3.31 has, because the user's ``sqlite3`` may be older than Python's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final


def _definitions() -> dict[str, str]:
    statements = Path(__file__).with_name("views.sql").read_text(encoding="utf-8").split(";\n")
    found = ((re.match(r"\s*CREATE VIEW (\w+) AS", text), text.strip()) for text in statements)
    return {match[1]: text for match, text in found if match is not None}


VIEWS: Final = _definitions()
"""Name -> definition, as SQLite keeps it in ``sqlite_master``."""


def outdated(existing: dict[str, str]) -> list[str]:
    """Return the statements that bring the views up to date, given the definitions in the file (name -> SQL)."""
    statements = []
    for name, definition in VIEWS.items():
        if existing.get(name) != definition:
            if name in existing:
                statements.append(f"DROP VIEW {name}")
            statements.append(definition)
    return statements
