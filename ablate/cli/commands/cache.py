"""``ablate cache``: what the stage cache holds, and the removal of what nobody needs."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation, Unread
from ablate.cli.options import Json, NoColor, Quiet, Results, Storage
from ablate.cli.unread import leave_unread, show_unread
from ablate.display.console import Screen
from ablate.display.text_columns import lay_out
from ablate.errors import AblateError
from ablate.human_units import brief, plural, size, visible

if TYPE_CHECKING:
    from ablate.engine.records.cache_admin import Entry

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Look into the stage cache, and prune it. Results never depend on it: what is gone is computed again.",
)
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kMGT]?)B?")
_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DAY_S = 86_400


@app.command("list")
def list_cache(
    results: Results = RESULTS, storage: Storage = None, json: Json = False, no_color: NoColor = False
) -> None:
    """List the stages in the cache, latest first, with the studies that ask for them.

    \b
    Example:
      ablate cache list
    """
    screen = Screen.make(json=json, no_color=no_color)
    found, unread = _entries(ResultsLocation.of(results, storage), screen)
    if json:
        for entry in found:
            screen.emit("stage", as_data(entry))
    else:
        _show(found, screen)
    show_unread(unread, screen)
    leave_unread(unread)


def _show(found: list[Entry], screen: Screen) -> None:
    now = time.time()
    rows = [
        (entry.digest[:12], entry.stage or "?", size(entry.bytes), brief(now - entry.used_at), _users(entry))
        for entry in found
    ]
    if rows:
        header = ("digest", "stage", "size", "age", "studies")
        for line in lay_out(header, rows, align="<<>>~", width=screen.out.width, indent=""):
            screen.tell(line)
    screen.say(_total(found))


@app.command("prune")
def prune_cache(
    unused: Annotated[bool, typer.Option("--unused", help="Stages that no stored study asks for.")] = False,
    older: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="Stages not written to for so many days."),
    ] = None,
    most: Annotated[
        str | None,
        typer.Option("--max-size", metavar="SIZE", help="The oldest stages, until the rest is below SIZE: 500MB, 5GB."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    results: Results = RESULTS,
    storage: Storage = None,
    quiet: Quiet = False,
) -> None:
    """Delete stages from the cache. A later run that asks for one computes it again, with the same numbers.

    Refused while a study in this results folder is being run.

    \b
    Example:
      ablate cache prune --unused
      ablate cache prune --max-size 5GB --dry-run
    """
    from ablate.engine.records.cache_admin import choose, delete, nobody_runs, sweep

    if not unused and older is None and most is None:
        raise AblateError("nothing says what may go", hint="say --unused, --older-than DAYS or --max-size SIZE")
    screen = Screen.make(quiet=quiet)
    place = ResultsLocation.of(results, storage)
    limit = None if most is None else bytes_of(most)
    age = None if older is None else older * _DAY_S
    with nobody_runs(place.results, place.command("ablate", "status")):
        found, unread = _entries(place, screen, must_know=unused)
        if unread:  # what it asks for is in use
            raise unread[0].error
        chosen = choose(found, unused=unused, older_than_s=age, max_bytes=limit)
        if not dry_run:
            sweep(place.results)
            delete(chosen)
    gone, kept = sum(entry.bytes for entry in chosen), sum(entry.bytes for entry in found if entry not in chosen)
    screen.say(
        f"{'would delete' if dry_run else 'deleted'} {plural(len(chosen), 'stage')}, {size(gone)}; {size(kept)} stay"
    )


def bytes_of(text: str) -> int:
    """Return the bytes that ``500MB`` or ``5 GB`` means (decimal units); raises AblateError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise AblateError(f"not a size: {text!r}", hint="for example 500MB or 5GB")
    return int(float(match["number"]) * _FACTORS[match["unit"]])


def _entries(place: ResultsLocation, screen: Screen, *, must_know: bool = False) -> tuple[list[Entry], list[Unread]]:
    """The entries with the studies that ask for them, and the studies that cannot be read.

    With `must_know` an AblateError where it is not known what a study asks for.
    """
    from ablate.engine.records.cache_admin import UnknownStagesError, asked_for, entries

    users: dict[str, set[str]] = {}
    there = place.database is None or place.database.exists()
    found, unread = place.find_any() if there else ([], [])
    for stored in found:
        name = stored.study.name
        try:
            for digest in asked_for(stored.study, stored.rows):
                users.setdefault(digest, set()).add(name)
        except UnknownStagesError:
            said = f"nobody can say which stages the trials of {name} ask for: an earlier ablate ran them"
            if must_know:
                raise AblateError(said, hint="use --older-than or --max-size") from None
            screen.say(f"note: {said}")
    return entries(place.results, users), unread


def as_data(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON-ready data."""
    return {**vars(entry), "folder": str(entry.folder), "studies": list(entry.studies)}


def _users(entry: Entry) -> str:
    return ", ".join(map(visible, entry.studies)) or "none"


def _total(found: list[Entry]) -> str:
    unused = [entry for entry in found if not entry.studies]
    text = f"{plural(len(found), 'stage')}, {size(sum(entry.bytes for entry in found))}"
    return text + (f"; {len(unused)} of them, {size(sum(e.bytes for e in unused))}, unused" if unused else "")
