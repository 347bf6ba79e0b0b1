"""``ablate audit``: are the results what the plan asked for, each once and whole?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation
from ablate.cli.options import Json, NoColor, Results, Storage, StudyName
from ablate.cli.unread import leave_unread, show_unread
from ablate.display.console import Screen
from ablate.errors import ExitCode
from ablate.human_units import plural, shortest, visible

if TYPE_CHECKING:
    from ablate.engine.records.audit import Audit


def audit(
    study: StudyName = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every file of the stage cache and compare its checksum.")
    ] = False,
    results: Results = RESULTS,
    storage: Storage = None,
    json: Json = False,
    no_color: NoColor = False,
) -> None:
    """Prove that results are what the plan asked for. Reads everything, changes nothing.

    Every planned replicate has exactly one result; recipe, outcome file and storage agree to the last digit; no trial
    runs without a run, no process and no folder is left over. Exit code 6 when something is wrong, 3 when nothing is
    but results are missing.

    \b
    Example:
      ablate audit schedules
      ablate audit --deep --json
    """
    from ablate.engine.records import audit as engine

    screen = Screen.make(json=json, no_color=no_color)
    place = ResultsLocation.of(results, storage)
    code = ExitCode.DONE
    found_studies, unread = place.find(study)
    for stored in found_studies:
        found = engine.audit(stored.study, stored.rows, place.results, attributes=stored.attributes, deep=deep)
        _show(found, screen)
        if found.faults:
            code = ExitCode.UNSOUND
        elif found.done < found.planned and code is ExitCode.DONE:
            code = ExitCode.INCOMPLETE
    show_unread(unread, screen)
    if code is not ExitCode.UNSOUND:
        leave_unread(unread)
    if code:
        raise typer.Exit(int(code))


def _show(found: Audit, screen: Screen) -> None:
    if screen.json:
        screen.emit("audit", asdict(found))
        return
    verdict = plural(len(found.faults), "fault") if found.faults else "sound"
    missing = f", {found.planned - found.done} to go" if found.done < found.planned and not found.faults else ""
    running = ", a run goes on" if found.running else ""
    screen.out.print(
        f"{found.study}: {verdict}; {found.done} of {plural(found.planned, 'replicate')} with one result each{missing}"
        f"{running}; {plural(found.files, 'file')} compared",
        soft_wrap=True,
    )
    told = [(fault.kind, fault) for fault in found.faults]
    told += [(f"note: {fault.kind}", fault) for fault in found.notes]
    for kind, fault in told:
        where = visible(shortest(fault.where) if fault.where.startswith("/") else fault.where)
        screen.out.print(f"  {kind}: {where}: {visible(fault.what)}", soft_wrap=True)
        if fault.hint:
            screen.out.print(f"    hint: {fault.hint}", soft_wrap=True)
