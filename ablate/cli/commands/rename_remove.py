"""``ablate rename`` and ``ablate remove``: a study gets another name, or goes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ablate.api.choices import RESULTS
from ablate.api.stored_studies import ResultsLocation, base_command, name_of
from ablate.cli.options import Quiet, Results, Storage
from ablate.display.console import Screen
from ablate.errors import AblateError
from ablate.human_units import plural, shortest, size
from ablate.storage.commands import without

Known = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or its file.", show_default=False)]


def rename(
    study: Known,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.", show_default=False)],
    results: Results = RESULTS,
    storage: Storage = None,
    quiet: Quiet = False,
) -> None:
    """Give a study another name, in the storage and as a folder. Its results stay as they are.

    The study file keeps its name: run it with --name NEW to go on with the renamed study.

    \b
    Example:
      ablate rename schedules schedules-before
    """
    from ablate.engine.records.administration import rename as rename_study

    screen = Screen.make(quiet=quiet)
    place = ResultsLocation.of(results, storage)
    stored = place.study(name_of(study))
    words = [*without(shlex.split(base_command(stored)), "--name"), "--name", new_name]
    paths = rename_study(place.results, place.url, stored.study, new_name, shlex.join(words))
    screen.say(f"{stored.study.name} is {new_name} now, in {shortest(str(paths.folder))}")
    screen.say(f"resume:  {shlex.join(words)}")
    if paths.report_html.exists():
        screen.say(f"its report still has the old name:  {place.command('ablate', 'report', new_name)}")


def remove(
    study: Known,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_files: Annotated[
        bool, typer.Option("--keep-files", help="Remove it from the storage only; its folder stays.")
    ] = False,
    results: Results = RESULTS,
    storage: Storage = None,
    quiet: Quiet = False,
) -> None:
    """Remove a study and its files for good. Asks first; `ablate archive` keeps a copy.

    Stages that it computed stay in the cache, where other studies may use them; `ablate cache prune --unused`
    removes those that no study asks for.

    \b
    Example:
      ablate remove schedules --yes
    """
    from ablate.engine.records.administration import remove as remove_study
    from ablate.engine.records.administration import remove_folder

    screen = Screen.make(quiet=quiet)
    place = ResultsLocation.of(results, storage)
    name = name_of(study)
    paths = place.results.study(name)
    stored = place.known(name)
    left = stored is None and paths.plan.is_file()
    if stored is None and not left:
        stored = place.study(name)  # raises, with the nearest names
    what = f"{plural(len(stored.rows), 'trial')}" if stored is not None else "what is left of its files"
    if not keep_files:
        what += f" and {size(folder_bytes(paths.folder))} in {shortest(str(paths.folder))}"
    if not (yes or _agreed(f"remove {name}: {what}?")):
        raise AblateError(f"{name} was not removed", hint="say --yes to remove it without being asked")
    if stored is None:
        remove_folder(paths)
    else:
        remove_study(place.results, place.url, name, keep_files=keep_files)
    screen.say(f"removed {name}: {what}")


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _agreed(question: str) -> bool:
    """Ask on a terminal; where nobody can answer, nobody agreed."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return typer.confirm(question, err=True)
