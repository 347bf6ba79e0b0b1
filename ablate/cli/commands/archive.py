"""``ablate archive`` and ``ablate import``: a whole study in one file, and back, also on another machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ablate.api.choices import RESULTS
from ablate.api.stored_commands import run_command
from ablate.api.stored_studies import ResultsLocation, base_command, name_of
from ablate.cli.commands.rename_remove import Known
from ablate.cli.options import Name, Quiet, Results, Storage
from ablate.display.console import Screen
from ablate.errors import AblateError
from ablate.human_units import plural, shortest, size, visible
from ablate.storage.rows import mixed_text, versions_text

_SHOWN = 3


def archive(
    study: Known,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Where to write it; STUDY.ablate.zip when left out.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    results: Results = RESULTS,
    storage: Storage = None,
    quiet: Quiet = False,
) -> None:
    """Write a whole study into one file: its plan, every trial as stored, outcomes, curves, pictures, report.

    The same study gives the same bytes. Trials that are running are left out, and so is the stage cache.

    \b
    Example:
      ablate archive schedules
      ablate import schedules.ablate.zip          # on another machine
    """
    from ablate.engine.records.archive import write_archive

    screen = Screen.make(quiet=quiet)
    place = ResultsLocation.of(results, storage)
    stored = place.study(name_of(study))
    path = Path(f"{stored.study.name}.ablate.zip") if file is None else file
    if path.exists() and not force:
        raise AblateError(f"{path} exists already", hint="name another file, or replace it with --force")
    if not path.absolute().parent.is_dir():
        raise AblateError(f"the folder of {path} does not exist")
    written = write_archive(
        path.absolute(), stored.study, base_command(stored), stored.rows, stored.paths, stored.attributes
    )
    ended = sum(row.outcome is not None for row in stored.rows)
    screen.say(f"{stored.study.name}: {plural(ended, 'trial')}, {size(written)}")
    if running := len(stored.rows) - ended:
        screen.say(f"{plural(running, 'running trial')} left out")
    screen.out.print(str(path), soft_wrap=True)


def import_study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `ablate archive`.", show_default=False)],
    name: Name = None,
    results: Results = RESULTS,
    storage: Storage = None,
    quiet: Quiet = False,
) -> None:
    """Bring in the study of an archive, or merge its results into the study of that name.

    Arms and seeds that are not here are added; a replicate that has a result here keeps it, and the command says
    where the two differ. Importing twice adds nothing. A study whose baseline differs is refused: use --name.

    \b
    Example:
      ablate import schedules.ablate.zip
      ablate import from-the-cluster.ablate.zip --name schedules-cluster
    """
    from ablate.api.imported_kinds import imported_kinds
    from ablate.engine.records.administration import bring_in, check_name
    from ablate.engine.records.archive import read_archive

    screen = Screen.make(quiet=quiet)
    place = ResultsLocation.of(results, storage)
    found = read_archive(file)
    study = found.study if name is None else dataclasses.replace(found.study, name=name)
    check_name(study.name)
    stored = place.known(study.name)
    kinds, note = imported_kinds(found, stored)
    command = run_command(found.command, study, name=name)
    done = bring_in(
        found,
        study,
        stored.study if stored is not None else None,
        stored.rows if stored is not None else (),
        results=place.results,
        url=place.url,
        kinds=kinds,
        command=command,
    )
    screen.say(f"{done.study}: {plural(done.added, 'trial')} added, {done.known} known already")
    if note:
        screen.say(f"  note: {note}")
    if stored is not None and done.arms:
        screen.say(f"  new arms: {', '.join(map(visible, done.arms))}")
    if done.answered:
        screen.say(f"  {plural(done.answered, 'result')} left out: these replicates have one here")
    if done.differing:
        some = ", ".join(f"{visible(arm)} s{seed}" for arm, seed in done.differing[:_SHOWN])
        more = f" and {len(done.differing) - _SHOWN} more" if len(done.differing) > _SHOWN else ""
        screen.say(f"  warning: not the same numbers as here: {some}{more}")
        screen.say("           (those from here count; reports and `ablate audit` go on saying so)")
    if len(done.versions) > 1:
        screen.say(
            f"  warning: results of {len(done.versions)} versions of core {visible(study.core)} are together now:"
        )
        screen.say(f"           {visible(versions_text(done.versions))}")
    if done.texts:
        screen.say(f"  note: results are together now of {visible(mixed_text(done.texts))}")
    screen.say(f"files:   {shortest(str(place.results.study(done.study).folder))}")
    screen.say(f"report:  {place.command('ablate', 'report', done.study)}")
