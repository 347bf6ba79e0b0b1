"""Command lines that were stored with a study, as words that are safe to show and to type again.

They may come from somebody else's archive or database: only an ``ablate run`` is ever shown, each word quoted, without
control characters, and without passwords.
"""

from __future__ import annotations

import shlex

from ablate.human_units import visible
from ablate.storage.address import without_password
from ablate.study.spec import Study


def stored_words(command: str) -> list[str]:
    """Return the words of a stored ``ablate run``; empty for anything else."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation that does not end
        return []
    if words[:2] != ["ablate", "run"] or not command.isprintable():
        return []
    return [without_password(word) for word in words]


def run_command(command: str, study: Study, *, name: str | None = None) -> str:
    """Return the stored command as it may be shown, with ``--name`` for a study that got another name."""
    words = stored_words(command) or ["ablate", "run", visible(study.file) or f"{study.name}.yaml"]
    return shlex.join([*words, *(["--name", name] if name is not None else [])])
