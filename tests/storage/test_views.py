"""The two SQL views, through plain sqlite3."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Scalar
from ablate.storage.store import Store
from ablate.storage.views import VIEWS, outdated

LEVELS: dict[str, Scalar] = {
    "lr": 0.001,
    "batch": 64,
    "schedule": "cosine",
    "augment": True,
    "note": 'a "b"',
    "ema": None,
}


@pytest.fixture
def database(store: Store, tmp_path: Path, measured: Callable[..., Outcome]) -> Path:
    """One measured, one diverged and one running trial."""
    store.finish(store.start("lr=0.001", 3, LEVELS, {"recipe": "ab" * 32}), measured(29.5))
    store.finish(
        store.start("wild", 0, {"augment": None}), Outcome(OutcomeKind.DIVERGED, "cd" * 32, error="loss is nan")
    )
    store.start("baseline", 1, {})
    store.close()
    return tmp_path / "ablate.db"


def rows(database: Path, query: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def test_ablate_trials_has_one_decoded_row_per_trial(database: Path) -> None:
    measured, diverged, running = rows(database, "SELECT * FROM ablate_trials ORDER BY trial")
    assert json.loads(measured.pop("params")) == LEVELS
    assert json.loads(measured.pop("metrics")) == {"psnr": 29.5, "ssim": 0.875}
    assert measured.pop("started") <= measured.pop("finished")
    assert measured == {
        **{"study": "demo", "trial": 0, "state": "COMPLETE", "arm": "lr=0.001", "seed": 3, "outcome": "measured"},
        **{"device": "cpu", "value": 29.5, "seconds": 12.5, "recipe": "ab" * 32, "error": None},
    }
    assert (diverged["state"], diverged["outcome"], diverged["value"]) == ("FAIL", "diverged", None)
    assert (diverged["error"], diverged["params"]) == ("loss is nan", '{"augment":null}')
    assert (running["state"], running["outcome"], running["finished"]) == ("RUNNING", None, None)


def test_params_stand_in_the_order_in_which_they_were_given(database: Path) -> None:
    (row,) = rows(database, "SELECT params FROM ablate_trials WHERE trial = 0")
    assert list(json.loads(row["params"])) == list(LEVELS)


def test_ablate_params_has_one_decoded_row_per_param(database: Path) -> None:
    found = rows(database, "SELECT * FROM ablate_params WHERE trial = 0")
    values = {row["name"]: row["value"] for row in found}
    assert values == {**LEVELS, "augment": "true"}
    assert {name: type(value) for name, value in values.items()} == {
        **{"lr": float, "batch": int, "schedule": str, "augment": str, "note": str, "ema": type(None)},
    }
    assert {row["study"] for row in found} == {"demo"}


def test_arms_can_be_summed_up_in_one_line_of_sql(database: Path) -> None:
    query = (
        "SELECT arm, count(*) AS n, sum(state = 'FAIL') AS failed, avg(value) AS mean FROM ablate_trials GROUP BY arm"
    )
    assert rows(database, query)[1] == {"arm": "lr=0.001", "n": 1, "failed": 0, "mean": 29.5}


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 program")
def test_the_sqlite3_program_shows_the_views(database: Path) -> None:
    command = ["sqlite3", "-readonly", str(database), "SELECT arm, value FROM ablate_trials WHERE value > 29"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "lr=0.001|29.5\n"


def test_the_views_cannot_be_written_to(database: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="cannot modify"):
        rows(database, "UPDATE ablate_trials SET value = 0")


def test_a_view_of_an_older_ablate_is_replaced(database: Path, open_store: Callable[..., Store]) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP VIEW ablate_trials")
        connection.execute("CREATE VIEW ablate_trials AS SELECT 1 AS old")
        connection.execute("DROP VIEW ablate_params")
        connection.execute("CREATE VIEW mine AS SELECT 2 AS kept")
    open_store().close()
    assert len(rows(database, "SELECT arm FROM ablate_trials")) == 3
    assert len(rows(database, "SELECT name FROM ablate_params WHERE trial = 0")) == len(LEVELS)
    assert rows(database, "SELECT kept FROM mine") == [{"kept": 2}]


def test_up_to_date_views_are_left_alone(database: Path) -> None:
    stored = rows(database, "SELECT name, sql FROM sqlite_master WHERE type = 'view'")
    assert {row["name"] for row in stored} == set(VIEWS) == {"ablate_params", "ablate_trials"}
    assert outdated({row["name"]: row["sql"] for row in stored}) == []
