"""``ablate run``: run a study, or take it up where it stopped."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.asked import Asked, Request, ask
from ablate.cli.displays import Display, JsonLines, Lines, Picture, Silence
from ablate.cli.options import (
    RESULTS,
    Arms,
    Gpus,
    Json,
    Name,
    NoColor,
    Plain,
    Quiet,
    Results,
    Seeds,
    Set,
    Slots,
    Storage,
    StudyFile,
)
from ablate.cli.plan import show_plan, warning_text
from ablate.cli.problems import show_error
from ablate.cli.report import write
from ablate.cli.screen import Screen
from ablate.cli.status import results_of
from ablate.cli.units import plural, spoken, visible
from ablate.cli.view import RunView
from ablate.engine import events
from ablate.engine.slots import Slot, find_slots
from ablate.errors import NothingComparableError
from ablate.interface import Core
from ablate.study.factors import factors_of

if TYPE_CHECKING:
    from ablate.storage.levels import ParamKind


def run(
    study: StudyFile,
    overrides: Set = None,
    seeds: Seeds = None,
    arms: Arms = None,
    results: Results = RESULTS,
    storage: Storage = None,
    name: Name = None,
    gpus: Gpus = None,
    slots: Slots = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan, like `ablate plan`.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report at the end.")] = False,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Write the report without figures.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    plain: Plain = False,
    no_color: NoColor = False,
) -> None:
    """Run a study. The same command takes it up where it stopped.

    What is done stays done, what failed is tried again, new arms and seeds are added. Ctrl-C once saves checkpoints
    and stops, twice stops at once.

    \b
    Example:
      ablate run studies/schedules.yaml
      ablate run studies/schedules.yaml --arms "noise_schedule=*" --seeds 10 --slots 2
    """
    screen = Screen.make(json=json, quiet=quiet, plain=plain, no_color=no_color)
    words = (tuple(overrides or ()), seeds, tuple(arms or ()), results, storage, name, gpus, slots)
    asked = ask(Request(study, *words))
    places = find_slots(gpus=gpus, slots=slots)
    if dry_run:
        show_plan(asked, places, screen)
        return
    if not asked.plan.to_run:
        _say_nothing_to_do(asked, screen)
        return
    for warning in asked.plan.warnings:
        screen.say(warning_text(warning, screen.err.width))
    ended = _run(asked, places, screen)
    if not no_report and ended.reason is None:
        _report(asked, screen, figures=not no_figures)
    if not json:
        _say_end(asked, ended, screen)
    if ended.exit_code:
        raise typer.Exit(ended.exit_code)


def _say_nothing_to_do(asked: Asked, screen: Screen) -> None:
    plan = asked.plan
    if screen.json:
        screen.emit("nothing-to-run", {"study": plan.study, "total": plan.replicates, "done": plan.done})
        return
    screen.say(f"{plan.study}: all {plural(plan.replicates, 'trial')} are done, nothing to run")
    screen.say(f"report:  ablate report {shlex.quote(plan.study)}   more seeds:  --seeds {plan.seeds + 1} or more")


def _run(asked: Asked, places: tuple[Slot, ...], screen: Screen) -> events.RunFinished:
    """Run the study with a display, and return the engine's last word."""
    from ablate.engine.run import RunOptions, run_study

    display = _display(asked, screen)
    last: list[events.RunFinished] = []

    def listen(event: events.Event) -> None:
        display.take(event)
        if isinstance(event, events.RunFinished):
            last.append(event)

    with display:
        run_study(
            asked.study,
            asked.core,
            asked.replicates,
            results=asked.place.results,
            storage_url=asked.place.url,
            slots=places,
            listen=listen,
            options=RunOptions(),
            kinds=kinds_of(asked.core),
        )
    return last[-1]


def kinds_of(core: type[Core]) -> dict[str, ParamKind]:
    """Return how each factor of a core is stored; names with all that the core knows, so that levels can be added."""
    return {
        name: info.choices if info.kind == "name" else info.kind for name, info in factors_of(core.Settings).items()
    }


def _display(asked: Asked, screen: Screen) -> Display:
    if screen.json:
        return JsonLines(screen)
    if screen.quiet:
        return Silence(screen)
    if not screen.live:
        return Lines(screen, asked.study.primary.name)
    planned = Counter(one.arm for one in asked.replicates)
    known = results_of(asked.stored) if asked.stored is not None else {}
    mine = {one.key for one in asked.replicates}
    before = {key: result for key, result in known.items() if key in mine and result.kind is not None}
    return Picture(screen, RunView(asked.study, planned, began=time.time(), results=before))


def _report(asked: Asked, screen: Screen, *, figures: bool) -> None:
    """Write the report as `ablate report` does; that nothing can be compared yet is not a fault of the run."""
    stored = asked.place.study(asked.study.name)
    try:
        write(stored, screen, figures=figures)
    except NothingComparableError as error:
        show_error(error, screen.err)


def _say_end(asked: Asked, ended: events.RunFinished, screen: Screen) -> None:
    """Say how the run ended, and what to type next: the resume command is the last line of any stop."""
    done = f"{ended.done} of {plural(ended.total, 'trial')}"
    busy = f", slots busy for {spoken(ended.slot_seconds)}" if ended.slot_seconds else ""
    screen.say(f"{ended.study}: {done}, {spoken(ended.seconds)}{busy}")
    counts = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in ended.counts.items() if count)
    if counts:
        screen.say(f"  {counts}")
    if ended.reason is not None:
        screen.say(f"stopped: {visible(ended.reason)}")
    if ended.done < ended.total:
        screen.say(f"go on:  {asked.request.command()}")
