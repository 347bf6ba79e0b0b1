"""The SQLite file: how it is opened, what is refused, and what other programs can do to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from ablate.errors import StorageError
from ablate.outcome import Outcome
from ablate.recipe import Scalar
from ablate.storage import database, server
from ablate.storage.read import read_study, study_names
from ablate.storage.sqlitefile import connect_read_only, network_file_system
from ablate.storage.store import Store

OpenStore = Callable[..., Store]
ODD_NAMES = [
    *("a b", "it's", 'say "hi"', "ünïcödé 測定", "what?", "50%", "%20", "#1", "a&b=c;d", "{SCHEMA_VERSION}", "{x}"),
    *("two\nlines", "back\\slash", ":memory:", "file:x", "-flag"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ablate.db"


def refusal(open_: Callable[[], object]) -> StorageError:
    """The error, checked to be one line with a hint."""
    with pytest.raises(StorageError) as caught:
        open_()
    assert "\n" not in caught.value.message
    assert caught.value.hint is not None
    return caught.value


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_results_folder_may_be_called_anything(
    tmp_path: Path, open_store: OpenStore, measured: Callable[..., Outcome], name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    url = f"sqlite:///{folder / 'ablate.db'}"
    store = open_store(url)
    store.finish(store.start("a", 0, {}), measured())
    store.close()
    assert len(read_study(url, "demo")[1]) == 1
    assert [found.name for found in folder.iterdir()] == ["ablate.db"]
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_relative_path_works(tmp_path: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///ablate.db").close()
    assert study_names("sqlite:///ablate.db") == ["demo"]
    assert (tmp_path / "ablate.db").is_file()


def test_the_pragmas_are_in_force_on_every_connection(store: Store, path: Path) -> None:
    """Set after the constructor, they would silently miss the connections that Optuna has pooled by then."""
    seen = []
    engine = database.open_database(f"sqlite:///{path}").engine
    with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            for pragma in ("journal_mode", "synchronous", "busy_timeout"):
                seen.append(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar())
            connection.rollback()
            connection.close()
    engine.dispose()
    assert seen == ["wal", 1, 60_000] * 2


def test_no_file_stays_beside_the_database(store: Store, path: Path) -> None:
    store.start("a", 0, {})
    store.close()
    assert [found.name for found in path.parent.iterdir()] == ["ablate.db"]


def test_reading_changes_no_byte(open_store: OpenStore, path: Path) -> None:
    open_store().close()
    before = path.read_bytes()
    read_study(f"sqlite:///{path}", "demo")
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("text", [b"study: notes\n", b"SQLite format 4\x00" + bytes(5000), b"x"])
def test_a_file_that_is_no_database_is_refused_untouched(open_store: OpenStore, path: Path, text: bytes) -> None:
    path.write_bytes(text)
    assert "not a SQLite database" in refusal(open_store).message
    assert "not a SQLite database" in refusal(lambda: study_names(f"sqlite:///{path}")).message
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    "schema",
    ["CREATE TABLE notes (x)", "CREATE TABLE studies (id, title)", "CREATE TABLE trials (a); CREATE TABLE b (c)"],
)
def test_another_programs_database_is_refused_untouched(open_store: OpenStore, path: Path, schema: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema)
    before = path.read_bytes()
    assert "belongs to another program" in refusal(open_store).message
    assert "belongs to another program" in refusal(lambda: read_study(f"sqlite:///{path}", "demo")).message
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_database_is_refused_untouched(
    open_store: OpenStore, path: Path, measured: Callable[..., Outcome]
) -> None:
    store = open_store()
    for seed in range(40):
        store.finish(store.start("a", seed, {"lr": 0.1}), measured())
    store.close()
    whole = bytearray(path.read_bytes())
    for start in range(8192, len(whole), 4096):
        whole[start : start + 64] = b"\xff" * 64
    path.write_bytes(whole)
    assert "damaged" in refusal(open_store).message
    assert "damaged" in refusal(lambda: read_study(f"sqlite:///{path}", "demo")).message
    assert path.read_bytes() == whole


def test_a_truncated_database_is_refused(open_store: OpenStore, path: Path) -> None:
    open_store().close()
    path.write_bytes(path.read_bytes()[:9000])
    assert "damaged" in refusal(open_store).message


@pytest.mark.parametrize(("version", "word"), [("v2.6.0.a", "older Optuna"), ("v99.0.0.a", "newer Optuna")])
def test_another_version_of_optunas_tables_is_refused_untouched(
    open_store: OpenStore, path: Path, version: str, word: str
) -> None:
    open_store().close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    before = path.read_bytes()
    assert word in refusal(open_store).message
    assert path.read_bytes() == before


def old_database(path: Path, *more: str) -> str:
    """The database of an Optuna 2.10, after the statements `more`; its URL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "data" / "optuna-2.10.sql").read_text(encoding="utf-8"))
        connection.executescript(";".join(more))
    return f"sqlite:///{path}"


@pytest.mark.parametrize(
    "older",
    [
        ("DROP TABLE trial_heartbeats", "UPDATE alembic_version SET version_num = 'v2.4.0.a'"),
        ("DROP TABLE alembic_version", "UPDATE version_info SET schema_version = 8"),
    ],
    ids=["2.5", "before alembic"],
)
def test_a_database_that_lacks_tables_for_its_age_is_not_completed(
    open_store: OpenStore, path: Path, older: tuple[str, ...]
) -> None:
    """It is no creation that was killed half-way."""
    url = old_database(path, *older)
    before = path.read_bytes()
    for open_ in (open_store, lambda: study_names(url), lambda: read_study(url, "tuning")):
        assert "older Optuna" in refusal(open_).message
    assert path.read_bytes() == before


def test_a_database_server_with_old_tables_is_refused_alike(path: Path) -> None:
    """Read through Optuna, whatever the database."""
    url = old_database(path)
    for read_ in (server.study_names, lambda url: server.read_study(url, "tuning")):
        hint = refusal(lambda read_=read_: read_(url)).hint  # type: ignore[misc]  # bound early
        assert f"optuna storage upgrade --storage {url}" in str(hint)


def test_a_missing_folder_is_named(open_store: OpenStore, tmp_path: Path) -> None:
    assert "does not exist" in refusal(lambda: open_store(f"sqlite:///{tmp_path}/none/ablate.db")).message
    assert not (tmp_path / "none").exists()


def test_a_folder_in_place_of_the_file_is_named(open_store: OpenStore, path: Path) -> None:
    path.mkdir()
    assert "is a folder" in refusal(open_store).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
@pytest.mark.parametrize("target", ["file", "folder"])
def test_what_is_read_only_is_refused_but_can_be_read(open_store: OpenStore, path: Path, target: str) -> None:
    open_store().close()
    locked = path if target == "file" else path.parent
    mode = locked.stat().st_mode
    locked.chmod(mode & ~0o222)
    try:
        assert "read-only" in refusal(open_store).message
        assert study_names(f"sqlite:///{path}") == ["demo"]
    finally:
        locked.chmod(mode)


def test_a_file_that_becomes_read_only_is_reported(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    store.close()
    monkeypatch.setitem(database.PRAGMAS, "query_only", "ON")
    assert "read-only" in refusal(lambda: store.start("a", 0, {})).message


def test_a_full_disk_is_reported_and_nothing_is_lost(
    open_store: OpenStore, path: Path, measured: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.close()
    monkeypatch.setitem(database.PRAGMAS, "max_page_count", str(path.stat().st_size // 4096 + 8))
    finished: list[int] = []

    def fill() -> None:
        for seed in range(1000):
            number = store.start("a", seed, {"note": "x" * 500})
            store.finish(number, measured())
            finished.append(number)

    assert "disk is full" in refusal(fill).message
    assert finished
    store.close()
    monkeypatch.delitem(database.PRAGMAS, "max_page_count")
    again = open_store()
    again.settle("the disk was full")
    assert [row.number for row in again.rows() if row.state == "COMPLETE"] == finished
    again.finish(again.start("b", 0, {}), measured())


def test_a_database_held_by_another_program_is_reported_and_the_write_can_be_repeated(
    open_store: OpenStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    store = open_store()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "held by another program" in refusal(lambda: store.start("a", 0, {})).message
        other.execute("ROLLBACK")
    assert store.start("a", 0, {}) == 0


def test_a_reader_that_stays_does_not_hold_up_the_writer(
    open_store: OpenStore, path: Path, measured: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    store = open_store()
    with closing(connect_read_only(path)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM ablate_trials").fetchone()
        store.finish(store.start("a", 0, {}), measured())
        assert reader.execute("SELECT count(*) FROM ablate_trials").fetchone() == before == (0,)
    assert len(store.rows()) == 1


def test_network_file_systems_are_recognised_by_the_longest_mount_point(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "disk / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/sdb /home/me/local ext4 rw 0 0\n"
        "x /mnt/my\\040share fuse.sshfs rw 0 0\nbroken\n",
        encoding="utf-8",
    )
    found = [
        network_file_system(Path(folder), mounts)
        for folder in ("/srv/x", "/home/me", "/home/me/local/results", "/mnt/my share/a", "/homeless")
    ]
    assert found == [None, "nfs4", None, "fuse.sshfs", None]
    assert network_file_system(Path("/"), tmp_path / "missing") is None


def test_a_network_file_system_is_refused(open_store: OpenStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "network_file_system", lambda _: "nfs4")
    assert "network file system (nfs4)" in refusal(open_store).message
    assert not path.exists()


def test_a_driver_that_is_not_installed_is_named(open_store: OpenStore) -> None:
    error = refusal(lambda: open_store("mysql+nosuchdriver://me:secret@host/db"))
    assert "secret" not in f"{error.message} {error.hint}"


RACE = """
import os, sys
from pathlib import Path
from ablate.storage.store import Store

def start(folder, number, gate):
    os.read(gate, 1)
    with Store.open(f"sqlite:///{folder}/ablate.db", f"study{number}", kinds={}, primary="m", direction="max",
                    attributes={}) as store:
        store.start("baseline", 0, {})

for attempt in range(2):
    folder = Path(sys.argv[1]) / str(attempt)
    folder.mkdir()
    gate, opener = os.pipe()
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                start(folder, number, gate)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.write(opener, b"x" * 4)
    print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_four_processes_create_one_database_at_once(tmp_path: Path) -> None:
    """Optuna alone fails here: "table already exists"."""
    done = subprocess.run([sys.executable, "-c", RACE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"] * 8, done.stderr
    for attempt in range(2):
        assert len(study_names(f"sqlite:///{tmp_path}/{attempt}/ablate.db")) == 4


def test_a_creation_that_was_killed_half_way_is_completed(open_store: OpenStore, path: Path) -> None:
    open_store().close()
    with closing(sqlite3.connect(path)) as connection:
        schema = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")]
    for pieces in (0, 1, len(schema) // 2, len(schema)):
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(";\n".join(schema[:pieces]))
        assert study_names(f"sqlite:///{path}") == []
        store = open_store()
        store.start("a", 0, {})
        assert len(store.rows()) == 1
        store.close()


def test_an_event_costs_the_same_however_many_trials_there_are(
    open_store: OpenStore, path: Path, measured: Callable[..., Outcome]
) -> None:
    """No statement of a trial's life walks through a table: every row is reached by an index."""
    store = open_store()
    statements: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, _x: object, many: bool) -> None:
        statements.append((statement, parameters[0] if many and isinstance(parameters, list) else parameters))

    levels: dict[str, Scalar] = {"lr": 0.1, "schedule": "cosine", "ema": None}
    counts = []
    for seed in range(30):
        statements.clear()
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
        number = store.start("a", seed, levels)
        store.curve(number, 1, 2.0)
        store.finish(number, measured())
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert len(set(counts[1:])) == 1
    with closing(connect_read_only(path)) as connection:
        plans = [
            step[3]
            for text, parameters in statements
            if not text.startswith("BEGIN")
            for step in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)  # type: ignore[arg-type]  # driver rows
        ]
    assert plans
    assert [plan for plan in plans if plan.startswith("SCAN")] == []
