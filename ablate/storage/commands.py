"""Command lines that name where results are: typed again, they find the same study."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ablate.errors import StorageError
from ablate.human_units import shortest
from ablate.paths import DEFAULT_RESULTS, ResultsPaths
from ablate.storage.address import sqlite_path, without_password


def place_options(results: Path, url: str | None) -> dict[str, str]:
    """Return ``--results`` and ``--storage`` with their values, each only where it is not the default.

    `url` is None where nobody named a storage. No value has a password.
    """
    found = {}
    if results.absolute() != DEFAULT_RESULTS.absolute():
        found["--results"] = shortest(str(results))
    if url is not None and not _is_default(results, url):
        found["--storage"] = without_password(url)
    return found


def command_at(words: Sequence[str], results: Path, url: str | None) -> str:
    """Return the words of a command as one line that goes to this place, whatever place they named.

    Nothing is added where both are the default.
    """
    options = [word for pair in place_options(results, url).items() for word in pair]
    at = next((at for at, word in enumerate(words) if word in ("--results", "--storage")), len(words))
    return shlex.join([*words[:at], *options, *without(words[at:], "--results", "--storage")])


def without(words: Sequence[str], *options: str) -> list[str]:
    """Return the words of a command line without `options` (each is followed by one value)."""
    dropped = set(options)
    return [word for at, word in enumerate(words) if not {word, words[at - 1] if at else ""} & dropped]


def _is_default(results: Path, url: str) -> bool:
    default = ResultsPaths(results)
    try:
        path = sqlite_path(url)
    except StorageError:  # refused where it is opened
        return False
    return path is not None and path.absolute() == default.database.absolute()
