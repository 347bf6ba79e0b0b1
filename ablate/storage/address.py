"""Where a storage is: Optuna URLs, the one file behind a SQLite URL, and URLs without their passwords."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ablate.errors import StorageError

_SQLITE: Final = re.compile(r"sqlite(\+pysqlite)?:(?P<rest>.*)", re.DOTALL)
_PASSWORD: Final = re.compile(r"(?P<start>[A-Za-z][A-Za-z0-9+._-]*://[^\s/@:]*):\S*@")
"""Up to the last @, as SQLAlchemy reads it: a password may hold anything."""
_PASSWORD_WORD: Final = re.compile(r"(?P<start>[A-Za-z][A-Za-z0-9+._-]*://[^/@:]*):.*@", re.DOTALL)
_SECRET_QUERY: Final = re.compile(
    r"(?P<mark>[?&])[^?&=\s]*(?:pass|pwd|secret|token)[^?&=\s]*=[^&\s]*(?P<more>&?)", re.IGNORECASE
)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://")
_REFUSED: Final = {
    "journal": "a journal keeps no order that several readers agree on; ablate needs a database",
    "grpc": "Optuna's proxy writes one attribute at a time; a result of ablate's is written as a whole, or not at all",
    "redis": "Optuna no longer supports storage in Redis",
    "file": "a storage is a database, not a file of text",
    "http": "a storage is a database, not a page",
    "https": "a storage is a database, not a page",
}
"""Scheme -> why it is no storage of ablate's."""
_SERVER_HINT: Final = (
    "use a file (sqlite:///results/ablate.db) or a database server (postgresql+psycopg2://user@host/db)"
)
_FILE_HINT: Final = "name a file: sqlite:///results/ablate.db (three slashes before a relative path, four before /)"


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite URL, or None when `url` names a database server.

    Everything behind ``sqlite:///`` is the path as it stands, so that a folder may be called anything (spaces, quotes,
    ``%``, ``#``, ``?``). Raises StorageError for what is no Optuna URL, for databases in memory (nothing would be
    remembered) and for file names with a query, which SQLAlchemy would read differently from us.
    """
    match = _SQLITE.fullmatch(url)
    if match is None:
        scheme = url.partition(":")[0].lower()
        if scheme in _REFUSED:
            raise StorageError(f"{scheme}: {_REFUSED[scheme]}", hint=_SERVER_HINT)
        if _SCHEME.match(url) is None:
            # What is mistyped may hold a password anywhere before the last @.
            said = "".join(url.rpartition("@")[1:]) if "@" in url else url
            raise StorageError(f"not a storage URL: {said!r}", hint=_FILE_HINT)
        return None
    rest = match["rest"]
    if rest in ("", "//", "///", "/:memory:", "///:memory:"):
        raise StorageError("a SQLite database in memory remembers nothing", hint=_FILE_HINT)
    if not rest.startswith("///") or rest.startswith("///file:"):
        raise StorageError(f"not a storage URL: {url!r}", hint=_FILE_HINT)
    path = Path(rest[3:])
    if "?" in path.name:
        raise StorageError(f"a SQLite storage URL takes no query: {url!r}", hint=_FILE_HINT)
    return path


def shown(url: str) -> str:
    """Return how messages name the storage: the path of a SQLite file, else the URL without its password."""
    match = _SQLITE.fullmatch(url)
    if match is not None and match["rest"].startswith("///"):
        return match["rest"][3:]
    return without_password(url)


def without_password(text: str) -> str:
    """Return `text` with no password in any URL: ``postgresql://me@host/db``. SQLite URLs hold none and stay.

    Whatever shows, stores or writes down a URL, or a command line or message that may hold one, goes through this.
    The result still names the place: where the server wants a password, its client looks into the environment
    (``PGPASSWORD``) or a file (``~/.pgpass``).
    """
    if _SQLITE.fullmatch(text) is not None:
        return text
    text = _PASSWORD_WORD.sub(r"\g<start>@", text, count=1) if _PASSWORD_WORD.match(text) else text
    return _SECRET_QUERY.sub(_left, _PASSWORD.sub(r"\g<start>@", text)) if "://" in text else text


def _left(found: re.Match[str]) -> str:
    return found["mark"] if found["more"] else ""
