"""What ablate takes for granted of Optuna's private tables. A new Optuna that changes them fails here, in plain words.

What to do then: docs/decisions/0091-optunas-tables.md.
"""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

import ablate
from ablate.outcome import Outcome, OutcomeKind
from ablate.storage import schema
from ablate.storage.store import Store

TABLES = Path(__file__).parent / "data" / "optuna-tables.txt"
WHAT_TO_DO = "read docs/decisions/0091-optunas-tables.md"


def described(metadata: sqlalchemy.MetaData) -> str:
    """The tables as text, one line a column: type, enum values, constraints."""
    return "\n".join(line for table in metadata.sorted_tables for line in _table(table)) + "\n"


def _table(table: sqlalchemy.Table) -> Iterator[str]:
    yield f"table {table.name}"
    for column in sorted(table.columns, key=lambda column: column.name):
        kind = column.type
        values = f" of {', '.join(kind.enums)}" if isinstance(kind, sqlalchemy.Enum) else ""
        text = "enum" if values else str(kind.compile())
        key = " primary key" if column.primary_key else ""
        target = "".join(f" -> {key.target_fullname}" for key in column.foreign_keys)
        yield f"  {column.name}: {text}{values}{'' if column.nullable else ' not null'}{key}{target}"
    unique = [one for one in table.constraints if isinstance(one, sqlalchemy.UniqueConstraint)]
    for columns in sorted(sorted(column.name for column in one.columns) for one in unique):
        yield f"  unique: {', '.join(columns)}"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield f"  index: {', '.join(column.name for column in index.columns)}{' unique' if index.unique else ''}"


def changes(expected: str, found: str) -> list[str]:
    """What differs, each line with its table in front."""
    words = {"- ": "gone: ", "+ ": "new:  "}
    compared = difflib.ndiff(list(_labelled(expected)), list(_labelled(found)))
    return [words[line[:2]] + line[2:] for line in compared if line[:2] in words]


def _labelled(text: str) -> Iterator[str]:
    table = ""
    for line in text.splitlines():
        table = line.removeprefix("table ") if line.startswith("table ") else table
        yield line if line.startswith("table ") else f"{table}.{line.strip()}"


def test_the_tables_are_those_that_ablate_writes() -> None:
    """Tables, columns, types, enum values, constraints and indexes."""
    found = changes(TABLES.read_text(encoding="utf-8"), described(models.BaseModel.metadata))
    if found:
        pytest.fail("\n".join([f"Optuna {optuna.__version__} changed its tables; {WHAT_TO_DO}", *found]))


def test_the_revisions_are_those_that_ablate_knows(tmp_path: Path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path / 'new.db'}")
    known = list(reversed(storage.get_all_versions()))
    head = storage.get_head_version()
    storage.engine.dispose()
    assert head == schema.REVISION, f"Optuna {optuna.__version__} migrates to {head}; {WHAT_TO_DO}"
    assert known == [*schema.OLDER, schema.REVISION], f"Optuna {optuna.__version__} added a revision; {WHAT_TO_DO}"
    assert models.SCHEMA_VERSION == schema.FIRST_WITH_REVISIONS
    assert {*models.BaseModel.metadata.tables, "alembic_version"} == schema.TABLES


def test_a_changed_column_enum_or_table_is_named() -> None:
    """The check itself: it must not pass whatever Optuna does."""
    before, after = sqlalchemy.MetaData(), sqlalchemy.MetaData()
    for metadata, word in ((before, "FAIL"), (after, "FAILED")):
        key = sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True)
        sqlalchemy.Table("trials", metadata, key, sqlalchemy.Column("state", sqlalchemy.Enum("RUNNING", word)))
    sqlalchemy.Table("extra", after, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
    assert sorted(changes(described(before), described(after))) == [
        "gone: trials.state: enum of RUNNING, FAIL",
        "new:  extra.id: INTEGER not null primary key",
        "new:  table extra",
        "new:  trials.state: enum of RUNNING, FAILED",
    ]


def test_no_other_private_part_of_optuna_is_used() -> None:
    """Each of these has a paragraph in the decision."""
    found = {
        name
        for path in Path(ablate.__file__).parent.rglob("*.py")
        for name in re.findall(r"^\s*(?:from|import) (optuna\.[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if "._" in name
    }
    assert found == {"optuna.artifacts._upload", "optuna.storages._rdb", "optuna.study._frozen"}
    decision = Path(__file__).parents[2] / "docs" / "decisions" / "0091-optunas-tables.md"
    assert all(name in decision.read_text(encoding="utf-8") for name in found)


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time zone that is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def rows_of(path: Path) -> dict[str, list[Any]]:
    """Table -> its rows without keys, and without the attributes that say that a study is ablate's."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for table in sorted(schema.TABLES - {"alembic_version", "version_info"}):
            rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            found[table] = sorted(
                [(name, _seen(name, value)) for name, value in sorted(row.items()) if not name.endswith("_id")]
                for row in rows
                if not str(row.get("key", "")).startswith("ablate")
            )
    return found


def _seen(name: str, value: Any) -> Any:
    """A value as far as both know it: times to the millisecond, JSON as what it means."""
    if name.startswith("datetime"):
        return value[:23]
    return repr(json.loads(value)) if name.endswith("json") else value


@pytest.mark.usefixtures("tokyo")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_rows_of_a_trial_are_those_that_optuna_would_write(tmp_path: Path) -> None:
    """Times too: 5.0 began to store them in UTC, in tables that look the same."""
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    with Store.open(
        f"sqlite:///{ours}",
        "demo",
        kinds={"lr": "float", "batch": "int", "schedule": ("linear", "cosine")},
        primary="psnr",
        direction="max",
        attributes={},
    ) as store:
        number = store.start("a", 0, {"lr": 0.1, "batch": 64, "schedule": "cosine"}, {"log": "a.txt"})
        store.curve(number, 100, 20.5)
        store.finish(number, Outcome(OutcomeKind.MEASURED, "ab", metrics={"psnr": 29.5}, seconds=2.0))
        (row,) = store.rows()

    storage = RDBStorage(f"sqlite:///{theirs}")
    study = optuna.create_study(storage=storage, study_name="demo", direction=StudyDirection.MAXIMIZE)
    study.set_metric_names(["psnr"])
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=29.5,
        params=dict(row.params),
        distributions={
            "lr": FloatDistribution(0.1, 0.1),
            "batch": IntDistribution(64, 64),
            "schedule": CategoricalDistribution(["linear", "cosine"]),
        },
        user_attrs=dict(row.attributes),
        intermediate_values=dict(row.curve),
    )
    trial.datetime_start, trial.datetime_complete = local(row.started_at), local(row.finished_at)
    study.add_trial(trial)
    storage.remove_session()
    storage.engine.dispose()
    started = optuna.load_study(study_name="demo", storage=f"sqlite:///{ours}").trials[0].datetime_start
    assert started is not None
    assert abs(started - datetime.now()) < timedelta(hours=1)
    mine, optunas = rows_of(ours), rows_of(theirs)
    for table, rows in mine.items():
        assert rows == optunas[table], f"Optuna {optuna.__version__} writes {table} in another way; {WHAT_TO_DO}"


def local(moment: str | None) -> datetime:
    """A time as Optuna hands it out: naive, in the time zone of this machine."""
    assert moment is not None
    return datetime.fromisoformat(moment).astimezone().replace(tzinfo=None)
