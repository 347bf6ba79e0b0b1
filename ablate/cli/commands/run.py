"""``ablate run``: run a study, or take it up where it stopped."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.api.choices import RESULTS, Launchers
from ablate.api.execution import (
    Audience,
    declares_other_verdicts,
    execute,
    prepare_to_run,
    record_changes,
    repair_files,
    view_of,
)
from ablate.api.launch_options import LaunchOptions
from ablate.api.request import PreparedRun, Request, seeds_in
from ablate.cli.commands.plan import show_plan, warning_text
from ablate.cli.commands.report import write
from ablate.cli.options import (
    AddSeeds,
    Arms,
    Compile,
    Confirm,
    Fuse,
    Gpus,
    Job,
    Json,
    Launch,
    Listening,
    Name,
    NoColor,
    Plain,
    Quiet,
    Results,
    SeedRange,
    Seeds,
    Set,
    Slots,
    Storage,
    StudyFile,
    Track,
    UntilDecided,
)
from ablate.display.console import Screen
from ablate.display.error_display import show_error
from ablate.errors import MAX_OUTAGE_S, ExitCode, NothingComparableError
from ablate.human_units import plural, shortest, spoken, visible
from ablate.outcome import OutcomeKind

if TYPE_CHECKING:
    from ablate.display.run_display import Display
    from ablate.engine.records.repair import Repaired
    from ablate.engine.run_study import RunSummary
    from ablate.tracking.background import Tracked

_PICTURE_ALIVE_S = 10.0
_LINES_ALIVE_S = 60.0
_SHOWN_ERRORS = 5
_SHOWN_WARNINGS = 2


def run(
    study: StudyFile,
    overrides: Set = None,
    seeds: Seeds = None,
    seed_range: SeedRange = None,
    add_seeds: AddSeeds = None,
    until: UntilDecided = None,
    confirm: Confirm = False,
    arms: Arms = None,
    results: Results = RESULTS,
    storage: Storage = None,
    name: Name = None,
    gpus: Gpus = None,
    slots: Slots = None,
    launcher: Launch = Launchers.LOCAL,
    job: Job = None,
    listen: Listening = None,
    fuse: Fuse = "auto",
    compiling: Compile = "auto",
    track: Track = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try trials that raise an exception once more within this run.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Save and stop at the first trial that ends without a result.")
    ] = False,
    keep_old: Annotated[
        bool,
        typer.Option("--keep-old", help="Keep results of another version of the core beside the new ones."),
    ] = False,
    max_outage: Annotated[
        float,
        typer.Option(
            "--max-outage",
            metavar="S",
            min=0,
            help="Seconds that a database or cluster may be away before the run ends.",
        ),
    ] = MAX_OUTAGE_S,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan, like `ablate plan`.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report at the end.")] = False,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Write the report without figures.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    plain: Plain = False,
    no_color: NoColor = False,
) -> None:
    """Run a study. The same command resumes it where it stopped.

    Finished trials are kept, failed ones are tried again, and new arms and seeds are added. Ctrl-C once saves
    checkpoints and stops; twice stops at once.

    With several declared looks, --until decided runs the first look, then gives more seeds only to arms without a
    verdict that more seeds may still decide. --add-seeds gives the chosen arms and the baseline more seeds. --confirm
    runs the best arm and the baseline again on fresh seeds, as a study of its own (NAME-confirm).

    A study with results of another version of its core is refused: --keep-old adds to them knowingly.

    \b
    Example:
      ablate run studies/schedules.yaml
      ablate run studies/schedules.yaml --arms "noise_schedule=*" --seeds 10 --slots 2
      ablate run mystudy.yaml --until decided
      ablate run studies/schedules.yaml --arms "noise_schedule=cosine" --add-seeds 4
    """
    screen = Screen.make(json=json, quiet=quiet, plain=plain, no_color=no_color, outlast=True)
    words = (tuple(overrides or ()), seeds, tuple(arms or ()), results, storage, name)
    where = LaunchOptions(launcher, tuple(job or ()), listen, gpus, slots)
    only = None if seed_range is None else seeds_in(seed_range)
    request = Request(
        study,
        *words,
        where=where,
        fuse=fuse,
        compile=compiling,
        seed_range=only,
        add_seeds=add_seeds,
        until=until,
        confirm=confirm,
        keep_old=keep_old,
        track=tuple(track or ()),
    )
    prepared, places = prepare_to_run(request)
    if dry_run:
        if prepared.round is not None and prepared.plan.to_run:
            screen.say(f"next round: {prepared.round}")
        show_plan(prepared, places, screen)
        return
    prepared.check_version()
    if not prepared.plan.to_run:
        for warning in prepared.changed:
            screen.say(warning_text(warning, screen.err.width))
        _say_nothing_to_do(prepared, screen, recorded=record_changes(prepared), repaired=repair_files(prepared))
        return
    for warning in prepared.plan.warnings[:_SHOWN_WARNINGS]:
        screen.say(warning_text(warning, screen.err.width))
    if (more := len(prepared.plan.warnings) - _SHOWN_WARNINGS) > 0:
        screen.say(f"and {plural(more, 'more warning')}:  {prepared.request.command()} --dry-run")
    prepared, summary = execute(
        prepared,
        places,
        _audience(screen, figures=not (no_report or no_figures)),
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        max_outage_s=max_outage,
    )
    code = summary.exit_code
    if not no_report and code not in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        comparable = _report(prepared, screen, figures=not no_figures)
        if code is ExitCode.DONE and not comparable:
            code = ExitCode.NOTHING_COMPARABLE
    if not json:
        _say_end(prepared, summary, screen)
    if code:
        raise typer.Exit(int(code))


def _say_nothing_to_do(prepared: PreparedRun, screen: Screen, *, recorded: bool, repaired: Repaired) -> None:
    plan = prepared.plan
    if screen.json:
        counts = {"total": plan.replicates, "done": plan.done, "recorded": recorded, "repaired": repaired.again}
        screen.emit("nothing-to-run", {"study": plan.study, **counts})
        return
    if repaired.again or repaired.aside:
        screen.say(f"{plan.study}: {repaired}")
    if recorded:
        screen.say(f"{plan.study}: the study file has changed since the last run; reports follow it now")
    if declares_other_verdicts(prepared):
        screen.say(
            f"{plan.study}: the study file now asks for a different test; reports keep the one declared before the run "
            "(ablate report --test, --noise and --correct show another)"
        )
    report = f"report:  {prepared.place.command('ablate', 'report', plan.study)}"
    if prepared.round is not None:
        screen.say(f"{plan.study}: every arm is decided, stopped or has been run to the last look, nothing to run")
        screen.say(report)
        return
    screen.say(f"{plan.study}: all {plural(plan.replicates, 'trial')} are done, nothing to run")
    screen.say(report if prepared.request.confirm else f"{report}   more seeds:  --add-seeds N")


def _say_round(prepared: PreparedRun, screen: Screen) -> None:
    if prepared.round is None:
        return
    if screen.json:
        screen.emit("round", {"study": prepared.study.name, **prepared.round.to_dict(), "to_run": prepared.plan.to_run})
    else:
        screen.say(f"{prepared.study.name}: {prepared.round}")


def _audience(screen: Screen, *, figures: bool) -> Audience:
    """Who watches: a picture on a terminal, lines in a log, JSON for a program, or nobody.

    With `figures` at the end, what draws them is imported while the last trials run.
    """
    from ablate.display.run_display import Foresight, JsonLines, Lines, Picture, Silence, Watched

    def display(prepared: PreparedRun) -> Display:
        watched = Watched(shown(prepared), screen.out.file, screen.err.file)
        return Foresight(watched, lambda: import_module("ablate.report.figures.all")) if figures else watched

    def shown(prepared: PreparedRun) -> Display:
        if screen.json:
            return JsonLines(screen)
        if screen.quiet:
            return Silence(screen)
        return Picture(screen, view_of(prepared)) if screen.live else Lines(screen, prepared.study.primary.name)

    def ended(prepared: PreparedRun, summary: RunSummary) -> None:
        if not screen.json:
            _say_end(prepared, summary, screen)

    def tracked(one: Tracked) -> None:
        if screen.json:
            screen.emit("tracked", {**dataclasses.asdict(one), "warning": one.warning})
        elif one.warning:
            screen.say(f"warning: {visible(one.warning)}")
        elif one.trials:
            where = f"{one.kind} {visible(one.place)}"
            screen.say(f"tracked: {plural(one.trials, 'trial')} in {where}   {visible(one.hint)}".rstrip())

    return Audience(
        display,
        alive_s=_PICTURE_ALIVE_S if screen.live else _LINES_ALIVE_S,
        begins=lambda prepared: _say_round(prepared, screen),
        ended=ended,
        waits=lambda kind: screen.say(f"{kind} still has something to send; Ctrl-C leaves it behind"),
        tracked=tracked,
    )


def _report(prepared: PreparedRun, screen: Screen, *, figures: bool) -> bool:
    """Write the report as `ablate report` does; False when there is nothing to compare."""
    try:
        write(prepared.place.study(prepared.study.name), screen, figures=figures)
    except NothingComparableError as error:
        show_error(error, screen.err)
        return False
    return True


def _say_end(prepared: PreparedRun, summary: RunSummary, screen: Screen) -> None:
    """Say how the run ended and what to type next: the command to go on is the last line of any stop."""
    done = f"{summary.done} of {plural(summary.total, 'trial')}"
    screen.say(f"{summary.study}: {done}, {spoken(summary.seconds)}, slots busy for {spoken(summary.slot_seconds)}")
    counts = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in summary.counts.items() if count)
    if counts:
        screen.say(f"  {counts}")
    for error in summary.errors[:_SHOWN_ERRORS]:
        if error.kind is not OutcomeKind.STOPPED:
            screen.say(f"  {error.kind.replace('_', ' ')}: {visible(error.arm)} s{error.seed}: {visible(error.error)}")
            screen.say(f"    log: {visible(shortest(error.log))}")
    if summary.reason is not None:
        screen.say(f"stopped: {visible(summary.reason)}")
    if summary.done < summary.total:
        screen.say(f"resume:  {prepared.request.command()}")
