"""Opening the database for writing: checked first, then through Optuna's own storage class."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import sqlalchemy
import sqlalchemy.event
import sqlalchemy.exc
import sqlalchemy.pool
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from ablate.errors import StorageError
from ablate.storage.address import sqlite_path
from ablate.storage.faults import explain, unusable
from ablate.storage.row_reading import MAY_HELP
from ablate.storage.server import open_server
from ablate.storage.sqlitefile import check_header, check_sound, connect_read_only, network_file_system
from ablate.storage.views import VIEWS, outdated

BUSY_TIMEOUT_S: Final = 60.0
PRAGMAS: Final = {"synchronous": "NORMAL", "foreign_keys": "OFF"}
"""Set on every connection. In WAL mode NORMAL survives a killed process; a power cut may lose the last moments only."""


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what the database driver raises into a StorageError."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error) as error:
        raise explain(error, where) from error
    except StorageInternalError as error:
        raise explain(error.__cause__ or error, where) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise StorageError(f"{where} is damaged: an attribute is not JSON: {error}", hint=MAY_HELP) from error


def open_database(url: str, *, busy_s: float | None = None) -> RDBStorage:
    """Open (or create) the storage for writing. Raises StorageError; a file that is not ours is left as it is.

    `busy_s` is how long a SQLite file that another program holds is waited for without a word (default: a minute).
    """
    path = sqlite_path(url)
    if path is not None:
        return _open_file(path, BUSY_TIMEOUT_S if busy_s is None else busy_s)
    return open_server(url)


def _open_file(path: Path, busy_s: float) -> RDBStorage:
    folder = path.parent
    if not folder.is_dir():
        raise StorageError(f"the folder of {path} does not exist", hint=f"create {folder} first")
    kind = network_file_system(folder)
    if kind is not None:
        raise StorageError(
            f"{path} is on a network file system ({kind}), where SQLite loses data",
            hint="keep the database on a local disk with --storage sqlite:////local/path/ablate.db",
        )
    check_header(path)
    if path.exists() and not (os.access(path, os.W_OK) and os.access(folder, os.W_OK)):
        raise explain(sqlite3.OperationalError("readonly database"), str(path))
    with explained(str(path)), _one_at_a_time(folder):
        complete = _check_existing(path)
        if complete:
            _check_schema(path)
        storage = _connect(path, complete, busy_s)
        _write_views(storage.engine)
    return storage


def _check_existing(path: Path) -> bool:
    """Return whether the file is a complete storage already; raises StorageError for a foreign or damaged one."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    with closing(connect_read_only(path)) as connection:
        return check_sound(connection, path)


def _check_schema(path: Path) -> None:
    """Let Optuna judge the version of its tables, on a connection that cannot change them."""
    settings: dict[str, Any] = {"creator": lambda: connect_read_only(path), "poolclass": sqlalchemy.pool.NullPool}
    try:
        RDBStorage("sqlite:///ablate.db", engine_kwargs=settings, skip_table_creation=True).remove_session()
    except RuntimeError as error:
        raise unusable(error, str(path)) from error


def _connect(path: Path, complete: bool, busy_s: float) -> RDBStorage:
    # With a creator the path never becomes part of a URL, so any character may stand in it; the pragmas are in force
    # from the first connection on, which a listener added after the constructor would miss.
    settings: dict[str, Any] = {"creator": lambda: _connection(path, busy_s), "poolclass": sqlalchemy.pool.QueuePool}
    storage = RDBStorage(
        "sqlite:///ablate.db",
        engine_kwargs=settings,
        skip_table_creation=complete,
        skip_compatibility_check=complete,  # done by `_check_schema`
    )
    sqlalchemy.event.listen(storage.engine, "begin", _begin)
    return storage


def _connection(path: Path, busy_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        connection.close()
        raise StorageError(
            f"{path} cannot be switched to SQLite's WAL mode (it stays {mode!r})",
            hint="the disk does not support it; choose a local one with --results or --storage",
        )
    for name, value in PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")
    return connection


def _begin(connection: sqlalchemy.Connection) -> None:
    # A deferred transaction that reads first and then writes can fail at once when another program wrote in between;
    # an immediate one waits its turn.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process at a time create tables: two at once would fail with "table already exists"."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_views(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'view'")
        existing = {str(name): str(sql) for name, sql in rows if name in VIEWS}
        for statement in outdated(existing):
            connection.exec_driver_sql(statement)
