"""Reading what is remembered: never writes, never creates a file, and works while a run is going on.

A SQLite file is read with plain sqlite3 (no Optuna, no SQLAlchemy: `ablate status` answers at once); any other
storage through Optuna.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from ablate.errors import DamagedError, StorageError
from ablate.recipe import Scalar
from ablate.storage import attributes as names
from ablate.storage.address import shown, sqlite_path
from ablate.storage.row_reading import (
    RUN_FIRST,
    check_schema,
    damaged_study,
    damaged_trial,
    read_json,
    trial_row,
    unknown_study,
)
from ablate.storage.rows import StudyRow, TrialRow
from ablate.storage.sqlitefile import check_header, check_ours, read

T = TypeVar("T")

Depth = Literal["whole", "plain", "brief"]
"""How much of every trial is read."""
BRIEF: Final = (names.ARM, names.SEED, names.OUTCOME, names.METRICS, names.ERROR)
"""The attributes that say how a trial stands."""
_FINITE_IN_ORDER: Final = "AND intermediate_value_type = 'FINITE' ORDER BY step"


def study_names(url: str) -> list[str]:
    """Return the names of ablate's studies, oldest first; studies that others keep in the same storage are left out.

    Raises StorageError when there is no such file, or it is damaged or another program's.
    """
    path = sqlite_path(url)
    if path is None:
        from ablate.storage import server

        return server.study_names(url)
    return _query(path, lambda connection: _names(connection, path))


def no_study(url: str) -> StorageError:
    """Return the error for a storage without a study of ablate's; it names what others keep there."""
    where, path, others = shown(url), sqlite_path(url), []
    if path is not None:
        others = _query(path, lambda connection: _all_names(connection, path))
    if not others:
        return StorageError(f"no study in {where}", hint=RUN_FIRST)
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return StorageError(
        f"no study in {where} was made by ablate; it holds {others[0]!r}{more}",
        hint=f"{RUN_FIRST}\nor compare their trials: ablate report --from {shlex.quote(f'optuna:{url}#{others[0]}')}",
    )


def read_study(url: str, name: str, depth: Depth = "whole") -> tuple[StudyRow, list[TrialRow]]:
    """Return the study `name` and its trials, oldest first, as one consistent state.

    `depth` "plain" leaves the curves out, which are most of a large study. "brief" rows tell how trials stand and no
    more: the attributes in `BRIEF`, and no params. (A database server's are read whole in any case.)

    Raises StorageError when there is no such file or study, or the file is damaged or another program's.
    """
    path = sqlite_path(url)
    if path is None:
        from ablate.storage import server

        return server.read_study(url, name)
    try:
        return _query(path, partial(_study, path=path, name=name, depth=depth))
    except DamagedError as error:
        raise damaged_study(name, str(path), error) from error


def _query(path: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    check_header(path)
    if not path.exists():
        raise StorageError(f"there is no storage {path}", hint=RUN_FIRST)
    return read(path, query)


def _names(connection: sqlite3.Connection, path: Path) -> list[str]:
    if not check_ours(connection, path):
        return []  # caught while it is being created
    rows = connection.execute(
        "SELECT study_name FROM studies NATURAL JOIN study_user_attributes WHERE key = ? ORDER BY study_id",
        (names.SCHEMA,),
    )
    return [name for (name,) in rows]


def _all_names(connection: sqlite3.Connection, path: Path) -> list[str]:
    if not check_ours(connection, path):
        return []
    return [name for (name,) in connection.execute("SELECT study_name FROM studies ORDER BY study_id")]


def _study(connection: sqlite3.Connection, *, path: Path, name: str, depth: Depth) -> tuple[StudyRow, list[TrialRow]]:
    found = None
    if check_ours(connection, path):
        found = connection.execute("SELECT study_id FROM studies WHERE study_name = ?", (name,)).fetchone()
    if found is None:
        raise unknown_study(name, _names(connection, path), str(path))
    rows = connection.execute("SELECT key, value_json FROM study_user_attributes WHERE study_id = ?", found)
    attributes = {key: read_json(text, f"attribute {key!r}") for key, text in rows}
    rows = connection.execute("SELECT key, value_json FROM study_system_attributes WHERE study_id = ?", found)
    attributes |= {key: read_json(text, f"attribute {key!r}") for key, text in rows if key in names.LONG}
    check_schema(name, attributes, str(path))
    return StudyRow(name, attributes), _trials(partial(_select, connection, found[0]), depth)


def _select(
    connection: sqlite3.Connection, study_id: int, columns: str, table: str, more: str = "", values: Iterable[str] = ()
) -> sqlite3.Cursor:
    """Select from a table that has one or more rows for each trial of a study; text comes from this module alone."""
    text = (
        f"SELECT trial_id, {columns} FROM {table} "  # noqa: S608 (only literals of this module)
        f"WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?) {more}"
    )
    return connection.execute(text, (study_id, *values))


def _trials(select: Callable[..., sqlite3.Cursor], depth: Depth) -> list[TrialRow]:
    attributes = _attributes(select, BRIEF if depth == "brief" else ())
    params: dict[int, dict[str, Scalar]] = defaultdict(dict)
    curves: dict[int, list[tuple[int, float]]] = defaultdict(list)
    if depth != "brief":
        for trial_id, key, value, distribution in select(
            "param_name, param_value, distribution_json", "trial_params", "ORDER BY param_id"
        ):
            try:
                params[trial_id][key] = decoded_level(value, distribution)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
                raise DamagedError(f"param {key!r} of a trial cannot be decoded: {error}") from error
    if depth == "whole":
        for trial_id, step, value in select("step, intermediate_value", "trial_intermediate_values", _FINITE_IN_ORDER):
            curves[trial_id].append((step, value))
    found = []
    columns = "number, state, datetime_start, datetime_complete"
    for trial_id, number, state, started, finished in select(columns, "trials", "ORDER BY trial_id"):
        if names.ARM not in attributes[trial_id] or names.SEED not in attributes[trial_id]:
            continue
        try:
            row = trial_row(
                number=number,
                state=state,
                attributes=attributes[trial_id],
                params=params[trial_id],
                curve=tuple(curves[trial_id]),
                started_at=_moment(started),
                finished_at=_moment(finished),
            )
        except DamagedError as error:
            raise damaged_trial(number, error) from error
        found.append(row)
    return found


def _attributes(select: Callable[..., sqlite3.Cursor], keys: Collection[str]) -> dict[int, dict[str, Any]]:
    """The user attributes of every trial (all, or `keys`), read as one piece of JSON: a call for each would cost more.

    The text is put together as text, because SQLite's own JSON knows no NaN, which Python writes and reads.
    """
    only = f"AND key IN ({', '.join('?' * len(keys))})" if keys else ""
    columns = "'{' || group_concat(json_quote(key) || ':' || value_json) || '}'"
    rows = select(columns, "trial_user_attributes", f"{only} GROUP BY trial_id", keys).fetchall()
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    trials = [trial for trial, _ in rows]
    try:
        values = json.loads(f"[{','.join(text for _, text in rows)}]")
        found.update(zip(trials, values, strict=True))
    except (ValueError, TypeError, RecursionError):
        # Once more, one by one: to say which of them it is.
        found.update((trial, read_json(text, f"what is stored of trial row {trial}")) for trial, text in rows)
    return found


def decoded_level(value: float, distribution: str) -> Scalar:
    """Return the level behind the number that Optuna stores, given its distribution as JSON text."""
    kind, choices = _decoder(distribution)
    if kind == "CategoricalDistribution":
        return choices[int(value)]
    return int(value) if kind == "IntDistribution" else value


@lru_cache(maxsize=1024)
def _decoder(distribution: str) -> tuple[str, tuple[Scalar, ...]]:
    data = json.loads(distribution)
    return data["name"], tuple(data["attributes"].get("choices", ()))


def _moment(text: str | None) -> str | None:
    """Optuna's naive UTC text (``2026-11-23 02:41:07.123456``) as ISO 8601 (``2026-11-23T02:41:07.123Z``)."""
    return None if text is None else f"{str(text)[:23].replace(' ', 'T')}Z"
