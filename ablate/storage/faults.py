"""What a database driver says, turned into one clear message with a hint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from ablate.errors import StorageError, UnavailableError
from ablate.storage.address import without_password
from ablate.storage.schema import of_newer_optuna, of_older_optuna

_KNOWN: Final[tuple[tuple[tuple[str, ...], str, str], ...]] = (
    (
        ("disk is full", "no space left"),
        "the disk is full: {where}",
        "nothing recorded so far is lost; free some space and run the same command again",
    ),
    (
        ("readonly database", "read-only"),
        "cannot write to {where}: it is read-only",
        "make the file and its folder writable, or choose another place with --results",
    ),
    (
        ("malformed", "not a database", "file is encrypted"),
        "{where} is damaged or not a SQLite database",
        "restore a copy, or move it away and run again; outcome files in the results folder are not touched",
    ),
    (
        ("password authentication failed", "no password supplied", "access denied for user"),
        "{where} does not accept the user or the password",
        "commands are shown and stored without passwords: write it into the URL again, or keep it where the server's "
        "client looks (PGPASSWORD, ~/.pgpass, read_default_file)",
    ),
    (
        ("no pg_hba.conf entry", "is not allowed to connect to this"),
        "{where} does not let this machine connect",
        "ask who runs the server to allow this machine and user (pg_hba.conf, GRANT ... TO user@host)",
    ),
    (
        ("fatal: database", "unknown database"),
        "{where} does not have that database: {text}",
        "create it first (createdb NAME; CREATE DATABASE NAME); ablate makes the tables",
    ),
    (
        ("disk i/o error",),
        "the disk under {where} reports an input/output error (full, gone, or over its quota?)",
        "nothing recorded so far is lost; check the disk and run the same command again",
    ),
    (
        ("unable to open database file",),
        "cannot open {where}",
        "check that its folder exists and that you may read and write there",
    ),
)

_DRIVERS: Final = {
    "psycopg2": "pip install 'ablate[postgresql]'",
    "psycopg": "pip install 'psycopg[binary]', or write postgresql+psycopg2:// and pip install 'ablate[postgresql]'",
    "pymysql": "pip install 'ablate[mysql]'",
    "MySQLdb": "pip install mysqlclient, or write mysql+pymysql:// and pip install 'ablate[mysql]'",
    "cryptography": "pip install cryptography: the server's way to check passwords needs it",
}
"""Module that is missing -> what to do."""
_LOCKED: Final = ("database is locked", "database table is locked", "database schema is locked")
_BUSY: Final = (
    *("starting up", "shutting down", "in recovery mode", "not yet accepting connections", "not accepting connections"),
    *("terminating connection", "too many clients", "too many connections", "remaining connection slots"),
    *("lock wait timeout exceeded", "deadlock", "server shutdown in progress", "crash of another server process"),
)
"""What servers say that are there, and cannot serve now."""
_AWAY: Final = (
    *("connection refused", "server closed the connection", "lost connection", "gone away", "connection reset"),
    *("can't connect to", "timeout expired", "timed out", "broken pipe", "no route to host", "unreachable"),
    *("could not translate host name", "name or service not known", "temporary failure in name resolution"),
    *("connection not open", "connection already closed", "connection is closed", "connection was killed"),
    *("could not receive data", "could not send data", "ssl connection has been closed", "eof detected"),
)
"""What drivers say when nobody answers."""
_NOTHING_LEFT: Final = 64 * 1024


def explain(error: BaseException, where: str) -> StorageError:
    """Return the StorageError that tells what `error`, raised by a database driver, means for `where`."""
    text = without_password(" ".join(_said(getattr(error, "orig", None) or error).split()))
    lowered = text.lower()
    if "disk i/o error" in lowered and _is_full(Path(where)):
        lowered = "disk is full"  # what SQLite makes of a full disk when it cannot grow its shared-memory file
    for needles, message, hint in _KNOWN:
        if any(needle in lowered for needle in needles):
            return StorageError(message.format(where=where, text=text), hint=hint)
    if any(needle in lowered for needle in _LOCKED):
        hint = "close the program that has it open for writing (a database browser?) and run the same command again"
        return UnavailableError(f"{where} is held by another program", hint=hint, there=True)
    there = any(needle in lowered for needle in _BUSY)
    if there or getattr(error, "connection_invalidated", False) or any(needle in lowered for needle in _AWAY):
        hint = "check that the server runs and that this machine can reach it, then run the same command again"
        return UnavailableError(f"{where} does not answer ({_first(text)})", hint=hint, there=there)
    return StorageError(f"storage {where}: {text}", hint="check the storage URL and that the database can be reached")


def no_driver(error: ImportError, where: str) -> StorageError:
    """Return the StorageError for a driver that is not installed, with the command that installs it."""
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    module = (cause.name or "").partition(".")[0]
    hint = _DRIVERS.get(module, f"pip install it first ({without_password(' '.join(str(cause).split()))})")
    named = f" ({module})" if module else ""
    return StorageError(f"the driver for {where}{named} is not installed", hint=hint)


def unusable(error: Exception, where: str) -> StorageError:
    """Return the StorageError for a storage that Optuna cannot use: no driver, or tables of another version."""
    text = without_password(" ".join(str(error).split()))
    if isinstance(error, ImportError):
        return no_driver(error, where)
    if "storage upgrade" in text:
        return of_older_optuna(where)
    if "updating optuna" in text:
        return of_newer_optuna(where)
    return StorageError(f"storage {where}: {text}", hint="check the storage URL")


def _said(error: BaseException) -> str:
    """What a driver says; those of MySQL put a number before it."""
    match error.args:
        case (int(number), str(text)):
            return f"{text} ({number})"
    return str(error)


def _first(text: str) -> str:
    """The first sentence of what a driver says, which repeats itself for every address of a host."""
    return text.split(" Is the server running")[0].split(" This probably means")[0].rstrip(".")


def _is_full(path: Path) -> bool:
    """True when nothing can be written where `path` is; False where that cannot be seen (a database server)."""
    try:
        return shutil.disk_usage(path.parent).free < _NOTHING_LEFT
    except OSError:
        return False
