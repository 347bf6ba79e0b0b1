"""Reading: light, never writing, and the same by both ways."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.errors import StorageError
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Scalar
from ablate.storage import server, sqlitefile
from ablate.storage.read import BRIEF, Depth, read_study, study_names
from ablate.storage.store import Store

OpenStore = Callable[..., Store]
DEPTHS: tuple[Depth, ...] = ("whole", "plain", "brief")


@pytest.mark.parametrize("read", [study_names, lambda url: read_study(url, "demo")])
def test_a_missing_file_says_what_to_do_and_is_not_created(
    read: Callable[[str], object], url: str, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="no storage") as caught:
        read(url)
    assert caught.value.hint == "start with: ablate run STUDY.yaml"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_holds_no_studies(url: str, tmp_path: Path) -> None:
    (tmp_path / "ablate.db").touch()
    assert study_names(url) == []
    with pytest.raises(StorageError, match="no study 'demo'"):
        read_study(url, "demo")
    assert (tmp_path / "ablate.db").read_bytes() == b""


def test_reading_a_file_imports_neither_optuna_nor_sqlalchemy(url: str, open_store: OpenStore) -> None:
    store = open_store()
    store.start("a", 0, {"lr": 0.1})
    store.close()
    code = (
        "import sys; from ablate.storage.read import BRIEF, Depth, read_study, study_names\n"
        "url = sys.argv[1]; print(len(read_study(url, study_names(url)[0])[1]))\n"
        "print([name for name in ('optuna', 'sqlalchemy', 'numpy', 'pandas', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n[]\n"


def test_the_way_through_optuna_reads_the_same(
    url: str, open_store: OpenStore, measured: Callable[..., Outcome]
) -> None:
    """What a database server would give, on the same tables."""
    store = open_store(attributes={"ablate.plan": "{}"})
    levels: list[dict[str, Scalar]] = [{"lr": 0.1, "schedule": "mine", "ema": None}, {"augment": False, "batch": 3}, {}]
    for seed, params in enumerate(levels):
        number = store.start("a", seed, params, {"commit": "c0ffee"})
        store.curve(number, 20, 1.5)
        store.curve(number, 10, 1.0)
        if seed < 2:
            store.finish(number, measured() if seed else Outcome(OutcomeKind.FAILED, "00", error="boom"))
    store.close()
    (study, rows), (same_study, same_rows) = read_study(url, "demo"), server.read_study(url, "demo")
    assert study == same_study
    assert rows == same_rows
    assert study_names(url) == server.study_names(url) == ["demo"]


def test_a_brief_read_tells_how_trials_stand_and_no_more(
    url: str, open_store: OpenStore, measured: Callable[..., Outcome]
) -> None:
    store = open_store()
    for seed, outcome in enumerate([measured(), Outcome(OutcomeKind.FAILED, "00", error='"boom"\n'), None]):
        number = store.start("a", seed, {"lr": 0.1}, {'odd " name': "x", "commit": "c0ffee"})
        store.curve(number, 10, 1.0)
        if outcome is not None:
            store.finish(number, outcome)
    store.close()
    whole, plain, brief = (read_study(url, "demo", depth)[1] for depth in DEPTHS)
    assert plain == [replace(row, curve=()) for row in whole]
    for row, short in zip(whole, brief, strict=True):
        assert (short.params, short.curve) == ({}, ())
        assert short.attributes == {key: value for key, value in row.attributes.items() if key in BRIEF}
        assert (short.number, short.state, short.outcome) == (row.number, row.state, row.outcome)
        assert (short.metrics, short.started_at) == (row.metrics, row.started_at)
    assert whole[0].attributes['odd " name'] == "x"
    assert whole[0].curve == ((10, 1.0),)


def test_the_way_through_optuna_never_creates_tables(url: str, tmp_path: Path) -> None:
    assert server.study_names(url) == []
    with pytest.raises(StorageError, match="no study"):
        server.read_study(url, "demo")
    with closing(sqlite3.connect(tmp_path / "ablate.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_what_a_writer_changes_during_a_read_is_read_again(tmp_path: Path, open_store: OpenStore) -> None:
    """A file nobody writes to is read without locks; if somebody starts to, nothing half-seen may come out."""
    open_store().close()
    calls: list[int] = []

    def query(connection: sqlite3.Connection) -> int:
        count = connection.execute("SELECT count(*) FROM trials").fetchone()[0]
        if not calls:
            store = open_store()
            store.start("a", 0, {})
            store.close()
        calls.append(count)
        return int(count)

    assert sqlitefile.read(tmp_path / "ablate.db", query) == 1
    assert calls == [0, 1]


def test_a_trial_ended_by_another_hand_counts_as_lost(url: str, tmp_path: Path, open_store: OpenStore) -> None:
    open_store().start("a", 0, {})
    with closing(sqlite3.connect(tmp_path / "ablate.db")) as connection, connection:
        connection.execute("UPDATE trials SET state = 'COMPLETE'")
    (row,) = read_study(url, "demo")[1]
    assert (row.state, row.outcome, row.metrics) == ("COMPLETE", OutcomeKind.LOST, {})
