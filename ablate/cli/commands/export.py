"""``ablate export``: every trial as data for other programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation, StoredStudy
from ablate.cli.options import Results, Storage, StudyName
from ablate.cli.unread import leave_unread, show_unread
from ablate.display.console import Screen


class Format(StrEnum):
    """How to write it."""

    CSV = "csv"
    JSON = "json"


def export(
    study: StudyName = None,
    form: Annotated[
        Format, typer.Option("--format", help="CSV with a header, or one JSON object per line.")
    ] = Format.CSV,
    results: Results = RESULTS,
    storage: Storage = None,
) -> None:
    """Write every trial to stdout, as CSV or JSON lines. Failed and repeated ones are among them.

    Of several studies, one that is damaged is named and left out; the exit code is 2 then.

    \b
    Example:
      ablate export schedules --format csv > trials.csv
    """
    from ablate.report.formats.csv_cells import csv_text

    screen = Screen.make()
    found, unread = ResultsLocation.of(results, storage).find(study)
    records = [record for stored in found for record in records_of(stored)]
    if form is Format.JSON:
        for record in records:
            screen.emit("trial", record)
    elif found:
        flat = [flatten(record) for record in records]
        names = list(dict.fromkeys(name for record in flat for name in record))
        screen.out.file.write(csv_text(names, ([record.get(name) for name in names] for record in flat)))
    show_unread(unread, screen)
    leave_unread(unread)


def records_of(stored: StoredStudy) -> list[dict[str, Any]]:
    """Return every trial of a study as JSON-ready data, in order of their numbers."""
    return [
        {
            "study": stored.study.name,
            "trial": row.number,
            "arm": row.arm,
            "seed": row.seed,
            "outcome": row.outcome or "running",
            "seconds": row.seconds,
            "device": row.device,
            "recipe_digest": row.recipe_digest,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "metrics": dict(row.metrics),
            "params": dict(row.params),
        }
        for row in sorted(stored.rows, key=lambda row: row.number)
    ]


def flatten(record: dict[str, Any]) -> dict[str, Any]:
    """Put metrics and params beside the rest: a metric keeps its name, a param becomes ``param.NAME``."""
    flat = {name: value for name, value in record.items() if name not in ("metrics", "params")}
    flat |= {f"metric.{name}": value for name, value in record["metrics"].items()}
    return flat | {f"param.{name}": value for name, value in record["params"].items()}
