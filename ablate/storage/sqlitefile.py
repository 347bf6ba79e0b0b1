"""One SQLite file: is it ours to open, and reading it without ever changing it. Needs nothing but sqlite3."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from ablate.errors import StorageError
from ablate.storage import schema
from ablate.storage.faults import explain

T = TypeVar("T")

_KEY_COLUMNS: Final = {
    "studies": {"study_id", "study_name"},
    "trials": {"trial_id", "study_id", "state"},
    "trial_params": {"trial_id", "param_name", "param_value", "distribution_json"},
}
_HEADER: Final = b"SQLite format 3\x00"
_ELSEWHERE: Final = "choose another file with --storage sqlite:///PATH, or another folder with --results"
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "glusterfs", "pvfs2"}
    | {"orangefs", "davfs", "ncpfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.davfs2", "fuse.s3fs"}
    | {"fuse.gcsfuse", "fuse.rclone"}
)
_READ_TIMEOUT_S: Final = 10.0
_ATTEMPTS: Final = 5


def network_file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the type of the network file system that holds `folder` (``nfs4``), or None for a local one.

    Where the system does not tell (no /proc/mounts), the answer is None.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    target = folder.resolve()
    best, kind = -1, ""
    for fields in map(str.split, lines):
        if len(fields) < 3:
            continue
        point = Path(fields[1].encode("utf-8", "surrogateescape").decode("unicode_escape", "surrogateescape"))
        if target.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind if kind in _NETWORK else None


def connect_read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open `path` so that nothing can be written through the connection; raises sqlite3.Error."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(address, uri=True, timeout=_READ_TIMEOUT_S, isolation_level=None)


def read(path: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    """Run `query` on one consistent state of the file, also while another process writes. Raises StorageError.

    Opening a file in WAL mode leaves ``-wal`` and ``-shm`` files behind even for a read-only connection. When there is
    no ``-wal`` (nobody writes), the file is therefore read as immutable; should a writer turn up in the meantime, what
    was read is thrown away and read again under SQLite's own protection.
    """
    for attempt in range(_ATTEMPTS):
        before = _stamp(path)
        quiet = attempt < _ATTEMPTS - 1 and before is not None and not _wal(path).exists()
        try:
            with closing(connect_read_only(path, immutable=quiet)) as connection:
                connection.execute("BEGIN")
                result = query(connection)
        except sqlite3.Error as error:
            if quiet and _disturbed(path, before):
                continue
            raise explain(error, str(path)) from error
        if not quiet or not _disturbed(path, before):
            return result
    raise StorageError(f"{path} keeps changing while it is read", hint="try again")


def check_header(path: Path) -> None:
    """Raise StorageError unless `path` is a SQLite database, an empty file, or does not exist."""
    try:
        if not path.exists():
            return
        with path.open("rb") as handle:
            start = handle.read(len(_HEADER))
    except IsADirectoryError as error:
        raise StorageError(f"{path} is a folder, not a database", hint=_ELSEWHERE) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", hint="check who may read it") from error
    if start and start != _HEADER:
        raise StorageError(f"{path} is not a SQLite database", hint=_ELSEWHERE)


def check_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the storage is complete.

    Raises StorageError when the file belongs to another program, or to an Optuna with other tables.
    """
    found = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found.discard("sqlite_sequence")
    # A creation that was killed half-way leaves some of Optuna's tables: those are completed, not refused.
    alien = found and not found <= schema.TABLES and not found >= _KEY_COLUMNS.keys()
    if alien or any(not _has_columns(connection, table) for table in found & _KEY_COLUMNS.keys()):
        tables = ", ".join(sorted(found)[:3])
        raise StorageError(f"{path} belongs to another program (tables: {tables})", hint=_ELSEWHERE)
    revision = _revision(connection, found)
    if revision is not None:
        schema.check_revision(revision, str(path))
    # Optuna writes the two version rows last.
    return found >= schema.TABLES and all(
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 (two literals)
        for table in ("version_info", "alembic_version")
    )


def check_sound(connection: sqlite3.Connection, path: Path) -> bool:
    """Like `check_ours`, and walks the whole file once: raises StorageError when a page of it is damaged."""
    ours = check_ours(connection, path)
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise explain(sqlite3.DatabaseError(f"malformed: {verdict}"), str(path))
    return ours


def _revision(connection: sqlite3.Connection, tables: set[str]) -> str | None:
    """The revision of Optuna's tables; None for a file whose creation was killed before it was written."""
    if "alembic_version" in tables:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if row is not None:
            return str(row[0])
    if "version_info" in tables:
        row = connection.execute("SELECT schema_version FROM version_info").fetchone()
        if row is not None and row[0] < schema.FIRST_WITH_REVISIONS:
            return schema.OLDER[0]
    return None


def _has_columns(connection: sqlite3.Connection, table: str) -> bool:
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    return columns >= _KEY_COLUMNS[table]


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _disturbed(path: Path, before: tuple[int, int, int] | None) -> bool:
    """True when somebody wrote since `before`: then what was read as immutable may mix two states."""
    return _stamp(path) != before or _wal(path).exists()
