"""A run whose database goes away: real servers, and a SQLite file that another program holds."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from ablate.engine.display import display_events
from ablate.engine.run_study import RunOptions
from ablate.errors import ExitCode, OutageError
from ablate.storage import outages, store
from tests.engine.conftest import DEADLINE_S, Bench, score_after
from tests.servers import databases

TEXT = "baseline: {mode: file}\nvary: {offset: [1.0]}\nseeds: 1\n"
RESULTS = {
    ("baseline", 0): ("measured", score_after(3)),
    ("offset=1", 0): ("measured", score_after(3, 1.0)),
}
Listen = Callable[[display_events.DisplayEvent], None]


@pytest.fixture(scope="module", params=["postgres", "mariadb"])
def running(request: pytest.FixtureRequest) -> Iterator[databases.Server]:
    """One server after the other."""
    with getattr(databases, request.param)() as server:
        yield server


@pytest.fixture
def server(running: databases.Server, bench: Bench) -> databases.Server:
    """A server with an empty database, which the bench uses."""
    running.empty()
    bench.server = running.url
    return running


def notes(bench: Bench) -> list[str]:
    return [note.text for note in bench.of(display_events.Note)]


def when_first_starts(bench: Bench, does: Callable[[], None], *, says: Callable[[str], None] | None = None) -> Listen:
    """Listen for the first trial, and for notes; let every trial that starts end, too."""
    begun: list[str] = []

    def listen(event: display_events.DisplayEvent) -> None:
        bench.events.append(event)
        if isinstance(event, display_events.TrialStarted):
            (bench.paths.trial(event.arm, event.seed).folder / "go").touch()
            if not begun:
                begun.append(event.arm)
                does()
        if isinstance(event, display_events.Note) and says is not None:
            says(event.text)

    return listen


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_a_server_that_is_away_for_a_while_is_waited_for(
    bench: Bench, server: databases.Server, number: signal.Signals
) -> None:
    def says(text: str) -> None:
        if "waiting for it" in text:
            server.start()

    listen = when_first_starts(bench, lambda: server.stop(number), says=says)
    assert bench.run(TEXT, listen=listen).exit_code is ExitCode.DONE
    assert bench.results_of() == RESULTS
    assert [row.outcome for row in bench.rows()] == ["measured", "measured"]
    begin, end = notes(bench)
    assert "does not answer" in begin
    assert "answers again" in end
    assert server.password not in "".join(notes(bench)) + bench.paths.run_log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_restart_between_two_writes_is_told_in_one_line(bench: Bench, server: databases.Server) -> None:
    def restart() -> None:
        server.stop()
        server.start()

    assert bench.run(TEXT, listen=when_first_starts(bench, restart)).exit_code is ExitCode.DONE
    assert bench.results_of() == RESULTS
    [line] = notes(bench)
    assert "reconnected at once" in line


@pytest.mark.slow
def test_an_outage_beyond_the_limit_ends_the_run_and_the_next_one_loses_nothing(
    bench: Bench, server: databases.Server
) -> None:
    with pytest.raises(OutageError, match="has not answered for") as caught:
        bench.run(TEXT, listen=when_first_starts(bench, server.stop), options=RunOptions(max_outage_s=0.01))
    assert caught.value.exit_code is ExitCode.OUTAGE
    assert server.password not in str(caught.value)
    server.start()
    assert bench.run(TEXT, listen=when_first_starts(bench, lambda: None)).exit_code is ExitCode.DONE
    assert bench.results_of() == RESULTS
    assert bench.steps("baseline", 0) == [1, 2, 3]


@pytest.mark.slow
def test_ctrl_c_ends_the_wait_for_a_server(bench: Bench, server: databases.Server) -> None:
    def says(text: str) -> None:
        if "waiting for it" in text:
            os.kill(os.getpid(), signal.SIGINT)

    summary = bench.run(TEXT, listen=when_first_starts(bench, server.stop, says=says))
    assert summary.exit_code is ExitCode.INTERRUPTED
    assert summary.reason is not None
    server.start()
    assert bench.run(TEXT, listen=when_first_starts(bench, lambda: None)).exit_code is ExitCode.DONE
    assert bench.results_of() == RESULTS


def test_workers_compute_on_however_much_they_say_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that nobody reads is full after a few hundred messages, and would stop the worker."""
    monkeypatch.setattr(store, "_BUSY_S", 0.0)
    bench.run("baseline: {mode: diverge}\narms: {c: {offset: 2.0}}\nseeds: 1\n")
    outcome = bench.paths.trial("b", 0).outcome
    with closing(sqlite3.connect(bench.results.database, isolation_level=None, check_same_thread=False)) as holder:

        def let_go() -> None:
            until = time.monotonic() + DEADLINE_S
            while not outcome.exists() and time.monotonic() < until:
                over.wait(0.01)
            holder.execute("ROLLBACK")

        over = threading.Event()
        releasing = threading.Thread(target=let_go)

        def hold() -> None:
            holder.execute("BEGIN IMMEDIATE")
            releasing.start()

        text = "baseline: {mode: diverge}\narms: {b: {mode: ok, steps: 600}}\nseeds: 1\n"
        options = RunOptions(max_outage_s=DEADLINE_S / 2)
        assert bench.run(text, listen=when_first_starts(bench, hold), options=options).exit_code is ExitCode.DONE
        releasing.join()
    [row] = [row for row in bench.rows() if row.arm == "b"]
    assert row.metrics == {"score": score_after(600)}
    assert [step for step, _ in row.curve] == list(range(1, 601))
    assert bench.of(display_events.TrialProgress)[-1].done == 600


def test_a_run_waits_for_another_program_that_holds_the_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BUSY_S", 0.0)
    monkeypatch.setattr(outages, "_FIRST_S", 0.001)
    bench.run("baseline: {mode: diverge}\narms: {c: {offset: 2.0}}\nseeds: 1\n")  # makes the database
    with closing(sqlite3.connect(bench.results.database, isolation_level=None)) as holder:

        def says(text: str) -> None:
            if "is held by another program" in text:
                holder.execute("ROLLBACK")

        listen = when_first_starts(bench, lambda: holder.execute("BEGIN IMMEDIATE").close(), says=says)
        text = "baseline: {mode: diverge}\narms: {b: {offset: 1.0}}\nseeds: 1\n"
        assert bench.run(text, listen=listen).exit_code is ExitCode.DONE
    assert len(bench.results_of()) == 3
    begin, end = notes(bench)
    assert "waiting for it" in begin
    assert "answers again" in end
