"""Databases that an older Optuna wrote: every command refuses what it cannot use and leaves alone what is not ablate's.

How the SQL files were made stands in tests/storage/data/make_optuna_database.py.
"""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna.cli
import pytest

from ablate.errors import ExitCode
from tests.cli.conftest import Ablate

DATA = Path(__file__).parents[1] / "storage" / "data"
OTHER_TABLES, SAME_TABLES = ("2.10",), ("3.6", "4.0")
URL = "sqlite:///old.db"
RUN = ("run", "steps.yaml", "--seeds", "1", "--gpus", "none", "--slots", "1", "--no-figures", "--storage", URL)
EVERY_WAY = [
    ("status",),
    ("report",),
    ("sql",),
    ("sql", "select * from ablate_trials"),
    ("show", "baseline"),
    ("claims",),
    ("audit",),
    ("plan", "steps.yaml"),
    ("run", "steps.yaml", "--gpus", "none"),
    ("rename", "tuning", "other"),
    ("remove", "tuning", "--yes"),
]


@pytest.fixture
def old(project: Path) -> Callable[[str], Path]:
    """Put the database of an Optuna into the project, as ``old.db``."""

    def make(version: str) -> Path:
        path = project / "old.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript((DATA / f"optuna-{version}.sql").read_text(encoding="utf-8"))
        return path

    return make


def tuning(path: Path) -> dict[str, list[Any]]:
    """Everything stored of the study that ablate did not make, table by table."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            theirs = "study_id = 1" if "study_id" in columns else "trial_id <= 3" if "trial_id" in columns else "1"
            found[table] = sorted(connection.execute(f"SELECT * FROM {table} WHERE {theirs}"))
    return found


@pytest.mark.parametrize("version", OTHER_TABLES)
@pytest.mark.parametrize("words", EVERY_WAY, ids=" ".join)
def test_tables_of_another_kind_are_refused_with_what_to_do_and_left_as_they_are(
    ablate: Ablate, old: Callable[[str], Path], version: str, words: tuple[str, ...]
) -> None:
    path = old(version)
    before = path.read_bytes()
    said = ablate(*words, "--storage", URL)
    assert said.code == ExitCode.USAGE
    assert "old.db was written by an older Optuna" in said.err
    assert f"optuna storage upgrade --storage {URL}" in said.err
    assert path.read_bytes() == before
    assert not [left for left in path.parent.iterdir() if left.name.startswith("old.db-")]


@pytest.mark.parametrize("version", OTHER_TABLES)
def test_results_of_another_tool_are_refused_alike(ablate: Ablate, old: Callable[[str], Path], version: str) -> None:
    path = old(version)
    before = path.read_bytes()
    said = ablate("report", "--from", f"optuna:{URL}#tuning")
    assert said.code == ExitCode.USAGE
    assert f"optuna storage upgrade --storage {URL}" in said.err
    assert path.read_bytes() == before


@pytest.mark.filterwarnings("ignore::FutureWarning")  # Optuna's, of the distributions it replaces
@pytest.mark.parametrize("version", [*OTHER_TABLES, *SAME_TABLES])
def test_what_the_hint_says_helps_and_keeps_what_was_there(
    ablate: Ablate, old: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    path = old(version)
    command = shlex.split(f"optuna storage upgrade --storage {URL}")
    monkeypatch.setattr("sys.argv", command)
    assert optuna.cli.main() == 0
    before = tuning(path)
    assert ablate(*RUN).code == 0
    after = tuning(path)
    after["alembic_version"], after["version_info"] = before["alembic_version"], before["version_info"]
    assert after == before
    assert "4 of 4 trials" in ablate("status", "--storage", URL).out
    study = optuna.load_study(study_name="tuning", storage=URL)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert study.trials[0].params == {"x": pytest.approx(0.0015677, rel=1e-3), "depth": 3, "kind": "linear"}


@pytest.mark.parametrize("version", SAME_TABLES)
@pytest.mark.parametrize(
    "words", [("status",), ("report",), ("sql",), ("show", "1"), ("claims",), ("audit",)], ids=" ".join
)
def test_a_database_without_a_study_of_ablates_says_what_it_holds(
    ablate: Ablate, old: Callable[[str], Path], version: str, words: tuple[str, ...]
) -> None:
    path = old(version)
    before = path.read_bytes()
    said = ablate(*words, "--storage", URL)
    assert said.code == ExitCode.USAGE
    assert "holds 'tuning'" in said.err
    assert f"ablate report --from 'optuna:{URL}#tuning'" in said.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", SAME_TABLES)
def test_the_views_are_asked_for_before_they_are_made(ablate: Ablate, old: Callable[[str], Path], version: str) -> None:
    old(version)
    assert "ablate has not run here" in ablate("sql", "select * from ablate_trials", "--storage", URL).err
    assert ablate("sql", "select count(*) from trials", "--storage", URL).out.split() == ["count(*)", "3"]


@pytest.mark.parametrize("version", SAME_TABLES)
def test_a_run_adds_its_study_beside_what_is_there(ablate: Ablate, old: Callable[[str], Path], version: str) -> None:
    path = old(version)
    before = tuning(path)
    assert ablate(*RUN).code == 0
    assert tuning(path) == before
    assert "4 of 4 trials" in ablate("status", "--storage", URL).out
    counted = ablate("sql", "select study, count(*) from ablate_trials group by study", "--storage", URL).out
    assert counted.split()[-2:] == ["steps", "4"]
    assert ablate("report", "--no-figures", "--storage", URL).code == 0
    assert "was not made by ablate" in ablate("status", "tuning", "--storage", URL).err
