"""``ablate sql``: ask the database directly, without being able to break it."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import Annotated, Any

import typer

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation
from ablate.cli.options import Json, Results, Storage
from ablate.display.console import Screen
from ablate.display.text_columns import lay_out
from ablate.errors import AblateError
from ablate.storage import read, sqlitefile
from ablate.storage.row_reading import RUN_FIRST
from ablate.storage.views import VIEWS

_STEPS = 10_000
"""Instructions of SQLite between looks at the clock."""
_MOST_ROWS = 1_000_000
_LONGEST_BYTES = 100_000_000
"""Of one value."""
EXAMPLE = "select arm, count(*), avg(value) from ablate_trials group by arm"


def sql(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="SQL text; without it, the columns of ablate's two views.")
    ] = "",
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0.01, help="Seconds after which the query is given up.")
    ] = 60.0,
    results: Results = RESULTS,
    storage: Storage = None,
    json: Json = False,
) -> None:
    """Run a query on the results database, read-only.

    The views ablate_trials and ablate_params are made for it; without a query their columns are listed. A query that
    takes longer than --timeout, or gives more than a million rows, is given up.

    \b
    Example:
      ablate sql "select arm, count(*), avg(value) from ablate_trials group by arm"
    """
    screen = Screen.make(json=json)
    place = ResultsLocation.of(results, storage)
    if place.database is None:
        raise AblateError("ablate sql reads SQLite files only", hint="use the database server's own client")
    read.study_names(place.url)  # one clear error when there is no such file, or it is not ours
    header, rows = sqlitefile.read(place.database, partial(_answer, query=query or _COLUMNS, timeout=timeout))
    if not query and not rows:
        raise read.no_study(place.url)  # the views are made by the first run
    if json:
        for row in rows:
            screen.emit("row", dict(zip(header, row, strict=True)))
        return
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    for line in lay_out(header, cells, align="<" * len(header), width=screen.out.width, indent=""):
        screen.out.print(line, soft_wrap=True)


def _answer(connection: sqlite3.Connection, query: str, timeout: float) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run `query`: the names of its columns, and its rows. Raises AblateError after `timeout` seconds."""
    end = time.monotonic() + timeout
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_BYTES)
    try:
        cursor = connection.execute(query)
        rows = cursor.fetchmany(_MOST_ROWS + 1)
        if len(rows) > _MOST_ROWS:
            raise AblateError(f"the query gives more than {_MOST_ROWS:,} rows", hint="end it with: limit 1000")
        return [column[0] for column in cursor.description or ()], rows
    except (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.Warning) as error:
        if time.monotonic() > end and "interrupt" in str(error):
            raise AblateError(
                f"the query took longer than {timeout:g} s and was given up", hint="give it longer with --timeout S"
            ) from error
        if str(error) in {f"no such table: {view}" for view in VIEWS}:
            raise AblateError("ablate has not run here: its views are made by the first run", hint=RUN_FIRST) from error
        hint = f"see the columns: ablate sql\ntry:  ablate sql {EXAMPLE!r}"
        raise AblateError(f"the database refuses the query: {error}", hint=hint) from error


_COLUMNS = """
select 'ablate_trials' as view, name as column_name from pragma_table_info('ablate_trials')
union all
select 'ablate_params', name from pragma_table_info('ablate_params')
"""
