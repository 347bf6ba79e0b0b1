"""A storage that is away: who waits for it, how long, and what is said."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from ablate.errors import ExitCode, OutageError, StorageError, UnavailableError
from ablate.outcome import Outcome
from ablate.storage import store
from ablate.storage.faults import explain
from ablate.storage.outages import Patience
from ablate.storage.read import read_study, study_names
from ablate.storage.store import Store

OpenStore = Callable[..., Store]


@dataclass
class Clock:
    """Time that passes only in pauses."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    stop_after: int = 1_000_000
    at_pause: Callable[[], None] = lambda: None

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        self.at_pause()
        return len(self.pauses) >= self.stop_after

    def patience(self, limit_s: float = 60.0) -> Patience:
        return Patience(limit_s, self.said.append, self.pause, lambda: self.now)


class Fails:
    """Does not answer so many times, then does."""

    def __init__(self, times: int, *, there: bool = False) -> None:
        self.calls = 0
        self._times = times
        self._there = there

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise UnavailableError("db does not answer (gone)", there=self._there)
        return "done"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_works_at_once_says_nothing(clock: Clock) -> None:
    assert clock.patience().through(Fails(0), "db") == "done"
    assert (clock.said, clock.pauses) == ([], [])


def test_a_connection_that_broke_is_made_again_at_once_and_told_in_one_line(clock: Clock) -> None:
    """A server that was restarted between two writes is there when the second one comes."""
    assert clock.patience().through(Fails(1), "db") == "done"
    assert clock.pauses == []
    [line] = clock.said
    assert "reconnected" in line


def test_a_wait_grows_and_is_told_once_at_its_beginning_and_once_at_its_end(clock: Clock) -> None:
    assert clock.patience().through(Fails(8), "db") == "done"
    assert clock.pauses == sorted(clock.pauses)
    assert max(clock.pauses) <= 15
    begin, end = clock.said
    assert "waiting for it, for 1 min" in begin
    assert "db answers again" in end


def test_a_wait_ends_at_the_limit_as_an_outage_and_then_nothing_is_waited_for(clock: Clock) -> None:
    patience = clock.patience()
    with pytest.raises(OutageError, match="has not answered for") as caught:
        patience.through(Fails(1000), "db")
    assert clock.now == 60.0
    assert caught.value.exit_code is ExitCode.OUTAGE
    with pytest.raises(UnavailableError):
        patience.through(Fails(1), "db")
    assert clock.now == 60.0


def test_a_wait_ends_when_somebody_wants_to_leave(clock: Clock) -> None:
    clock.stop_after = 2
    with pytest.raises(OutageError, match="stopped while waiting"):
        clock.patience().through(Fails(1000), "db")
    assert len(clock.pauses) == 2


def test_without_patience_the_first_failure_is_raised(clock: Clock) -> None:
    attempt = Fails(1)
    with pytest.raises(UnavailableError):
        Patience().through(attempt, "db")
    assert attempt.calls == 1


@pytest.mark.parametrize("there", [True, False])
def test_only_a_storage_that_has_answered_is_waited_for_when_it_is_opened(clock: Clock, there: bool) -> None:
    """A host that does not answer at all may have been mistyped."""
    attempt = Fails(3, there=there)
    if there:
        assert clock.patience().through(attempt, "db", opening=True) == "done"
    else:
        with pytest.raises(UnavailableError):
            clock.patience().through(attempt, "db", opening=True)
        assert attempt.calls == 1


AWAY = [
    'connection to server at "10.0.0.1", port 5432 failed: Connection refused Is the server running on that host?',
    "server closed the connection unexpectedly This probably means the server terminated abnormally",
    "(2003, \"Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)\")",
    "(2013, 'Lost connection to MySQL server during query')",
    "(2006, \"MySQL server has gone away (BrokenPipeError(32, 'Broken pipe'))\")",
    "SSL connection has been closed unexpectedly",
    'could not translate host name "db" to address: Temporary failure in name resolution',
    "connection to server at 10.0.0.1 failed: timeout expired",
]
BUSY = [
    "connection to server on socket failed: FATAL: the database system is starting up",
    "FATAL: the database system is shutting down",
    "terminating connection due to administrator command",
    "FATAL: sorry, too many clients already",
    "(1205, 'Lock wait timeout exceeded; try restarting transaction')",
    "database is locked",
]
REFUSED = [
    'connection to server at "127.0.0.1", port 5432 failed: FATAL: password authentication failed for user "me"',
    'connection to server at "127.0.0.1", port 5432 failed: FATAL: database "nothing" does not exist',
    "(1045, \"Access denied for user 'me'@'localhost' (using password: YES)\")",
    "(1049, \"Unknown database 'nothing'\")",
    "disk I/O error",
    "database disk image is malformed",
]


@pytest.mark.parametrize("text", [*AWAY, *BUSY])
def test_what_drivers_say_when_trying_again_may_help(text: str) -> None:
    error = explain(RuntimeError(text), "db")
    assert isinstance(error, UnavailableError)
    assert error.there is (text in BUSY)


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_is_no_outage(text: str) -> None:
    error = explain(RuntimeError(text), "db")
    assert not isinstance(error, UnavailableError)
    assert error.exit_code is ExitCode.USAGE


# ---------------------------------------------------------------------- a file that another program holds


@pytest.fixture
def holder(url: str) -> Iterator[sqlite3.Connection]:
    """Another program with the file open for writing."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        yield other


def test_a_write_waits_for_another_program_and_says_so(
    open_store: OpenStore, holder: sqlite3.Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_BUSY_S", 0.0)
    writer = open_store(patience=clock.patience(120.0))
    holder.execute("BEGIN IMMEDIATE")

    def let_go() -> None:
        if clock.now > 60 and holder.in_transaction:
            holder.execute("ROLLBACK")

    clock.at_pause = let_go
    assert writer.start("a", 0, {}) == 0
    assert clock.now > 60
    begin, end = clock.said
    assert "is held by another program: waiting for it" in begin
    assert "answers again after 1 min" in end
    assert len(writer.rows()) == 1


def test_opening_waits_for_another_program_too(
    open_store: OpenStore, holder: sqlite3.Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().close()
    monkeypatch.setattr(store, "_BUSY_S", 0.0)
    holder.execute("BEGIN IMMEDIATE")

    def let_go() -> None:
        if holder.in_transaction:
            holder.execute("ROLLBACK")

    clock.at_pause = let_go
    assert open_store(patience=clock.patience()).rows() == []
    assert len(clock.said) == 2


# ---------------------------------------------------------------------- transactions whose connection breaks


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the connection of the next transaction break: before its commit, or after it."""

    def arm(when: str) -> None:
        left = [1]
        dialect: Any = sqlalchemy.engine.default.DefaultDialect
        commit = dialect.do_commit

        def do_commit(self: Any, connection: Any) -> None:
            broken = bool(left)
            left.clear()
            if when == "after" or not broken:
                commit(self, connection)
            if not broken:
                return
            raise OperationalError("COMMIT", {}, RuntimeError("server closed the connection unexpectedly"))

        monkeypatch.setattr(dialect, "do_commit", do_commit)

    return arm


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_connection_breaks_is_done_once(
    open_store: OpenStore,
    clock: Clock,
    breaking: Callable[[str], None],
    measured: Callable[..., Outcome],
    when: str,
) -> None:
    writer = open_store(patience=clock.patience())
    breaking(when)
    number = writer.start("a", 0, {"lr": 0.1})
    breaking(when)
    assert writer.curve(number, 10, 1.0)
    breaking(when)
    writer.finish(number, measured())
    [row] = writer.rows()
    assert (row.number, row.state, row.curve) == (0, "COMPLETE", ((10, 1.0),))
    assert len(clock.said) == 3


def test_a_database_that_lost_what_it_had_confirmed_is_named(open_store: OpenStore, url: str, clock: Clock) -> None:
    writer = open_store(patience=clock.patience())
    path = Path(url.removeprefix("sqlite:///"))
    token = "SELECT value_json FROM study_system_attributes WHERE key = 'ablate:writer'"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        [(before,)] = connection.execute(token).fetchall()
        writer.start("a", 0, {})
        connection.execute("UPDATE study_system_attributes SET value_json = ? WHERE key = 'ablate:writer'", (before,))
    with pytest.raises(StorageError, match="lost transactions"):
        writer.start("b", 0, {})


# ---------------------------------------------------------------------- drivers


@pytest.mark.parametrize(
    ("url", "module", "hint"),
    [
        ("postgresql+psycopg2://me:secret@host/db", "psycopg2", "ablate[postgresql]"),
        ("postgresql+psycopg://me:secret@host/db", "psycopg", "psycopg[binary]"),
        ("mysql+pymysql://me:secret@host/db", "pymysql", "ablate[mysql]"),
        ("mysql://me:secret@host/db", "MySQLdb", "mysql+pymysql://"),
    ],
)
def test_a_missing_driver_is_named_with_what_installs_it_whoever_opens(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, url: str, module: str, hint: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for opens in (lambda: open_store(url), lambda: study_names(url), lambda: read_study(url, "demo")):
        with pytest.raises(StorageError, match=f"the driver .*{module}.* is not installed") as caught:
            opens()
        assert hint in str(caught.value.hint)
        assert "secret" not in str(caught.value)
