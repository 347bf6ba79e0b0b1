"""What a database driver says, turned into one clear message with a hint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from ablate.errors import StorageError
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
        ("database is locked", "database table is locked"),
        "{where} is held by another program",
        "close the program that has it open for writing (a database browser?) and run the same command again",
    ),
    (
        ("password authentication failed", "no password supplied", "access denied for user"),
        "{where} does not accept the user or the password",
        "commands are shown and stored without passwords: write it into the URL again, or keep it where the server's "
        "client looks (PGPASSWORD, ~/.pgpass, read_default_file)",
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

_NOTHING_LEFT: Final = 64 * 1024


def explain(error: BaseException, where: str) -> StorageError:
    """Return the StorageError that tells what `error`, raised by a database driver, means for `where`."""
    text = without_password(" ".join(str(getattr(error, "orig", None) or error).split()))
    lowered = text.lower()
    if "disk i/o error" in lowered and _is_full(Path(where)):
        lowered = "disk is full"  # what SQLite makes of a full disk when it cannot grow its shared-memory file
    for needles, message, hint in _KNOWN:
        if any(needle in lowered for needle in needles):
            return StorageError(message.format(where=where), hint=hint)
    return StorageError(f"storage {where}: {text}", hint="check the storage URL and that the database can be reached")


def unusable(error: Exception, where: str) -> StorageError:
    """Return the StorageError for a storage that Optuna cannot use: no driver, or tables of another version."""
    text = without_password(" ".join(str(error).split()))
    if isinstance(error, ImportError):
        return StorageError(f"the driver for {where} is not installed", hint=f"pip install it first ({text})")
    if "storage upgrade" in text:
        return of_older_optuna(where)
    if "updating optuna" in text:
        return of_newer_optuna(where)
    return StorageError(f"storage {where}: {text}", hint="check the storage URL")


def _is_full(path: Path) -> bool:
    """True when nothing can be written where `path` is; False where that cannot be seen (a database server)."""
    try:
        return shutil.disk_usage(path.parent).free < _NOTHING_LEFT
    except OSError:
        return False
