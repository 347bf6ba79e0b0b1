"""``ablate run``: run a study, or take it up where it stopped."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.api.choices import RESULTS, Launchers
from ablate.api.interim_results import candidate_keys, results_of
from ablate.api.launch_options import LaunchOptions
from ablate.api.param_kinds import param_kinds
from ablate.api.request import PreparedRun, Request, prepare, prepare_again
from ablate.api.stored_studies import latest
from ablate.cli.commands.plan import show_plan, warning_text
from ablate.cli.commands.report import write
from ablate.cli.display.console import Screen
from ablate.cli.display.error_display import show_error
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
    Seeds,
    Set,
    Slots,
    Storage,
    StudyFile,
    UntilDecided,
)
from ablate.errors import ExitCode, NothingComparableError
from ablate.human_units import plural, shortest, spoken, visible
from ablate.outcome import OutcomeKind
from ablate.study.spec import Study

if TYPE_CHECKING:
    from ablate.cli.display.run_display import Display
    from ablate.engine.run_study import RunSummary
    from ablate.engine.workers.slots import Slot

_PICTURE_ALIVE_S = 10.0
_LINES_ALIVE_S = 60.0
_SHOWN_ERRORS = 5
_SHOWN_WARNINGS = 2


def run(
    study: StudyFile,
    overrides: Set = None,
    seeds: Seeds = None,
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
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try trials that raise an exception once more within this run.")
    ] = False,
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

    With several declared looks, --until decided runs the first one, then gives more seeds only to the arms whose
    verdict is still open, look by look. --add-seeds gives the chosen arms, and the baseline, a number of seeds more.
    --confirm runs the best arm and the baseline again on fresh seeds, as a study of its own (NAME-confirm).

    \b
    Example:
      ablate run studies/schedules.yaml
      ablate run studies/schedules.yaml --arms "noise_schedule=*" --seeds 10 --slots 2
      ablate run mystudy.yaml --until decided
      ablate run studies/schedules.yaml --arms "noise_schedule=cosine" --add-seeds 4
    """
    from ablate.engine.compile_choice import compilation_of
    from ablate.engine.fuse_choice import fusion_of

    screen = Screen.make(json=json, quiet=quiet, plain=plain, no_color=no_color)
    words = (tuple(overrides or ()), seeds, tuple(arms or ()), results, storage, name)
    where = LaunchOptions(launcher, tuple(job or ()), listen, gpus, slots)
    request = Request(study, *words, where=where, fuse=fuse, compile=compiling)
    prepared = prepare(replace(request, add_seeds=add_seeds, until=until, confirm=confirm))
    places = where.places()
    fusion_of(fuse, places)  # refuses what is not possible before anything starts
    compilation_of(compiling, places if launcher is Launchers.LOCAL else ())  # another machine speaks for itself
    if dry_run:
        if prepared.round is not None and prepared.plan.to_run:
            screen.say(f"next round: {prepared.round}")
        show_plan(prepared, places, screen)
        return
    if not prepared.plan.to_run:
        _say_nothing_to_do(prepared, screen, recorded=_record(prepared))
        return
    for warning in prepared.plan.warnings[:_SHOWN_WARNINGS]:
        screen.say(warning_text(warning, screen.err.width))
    if (more := len(prepared.plan.warnings) - _SHOWN_WARNINGS) > 0:
        screen.say(f"and {plural(more, 'more warning')}:  ablate plan {shlex.quote(str(study))}")
    prepared, summary = _run_rounds(prepared, places, screen, retry_failed=retry_failed)
    code = summary.exit_code
    if not no_report and code not in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        comparable = _report(prepared, screen, figures=not no_figures)
        if code is ExitCode.DONE and not comparable:
            code = ExitCode.NOTHING_COMPARABLE
    if not json:
        _say_end(prepared, summary, screen)
    if code:
        raise typer.Exit(int(code))


def _record(prepared: PreparedRun) -> bool:
    """Keep what has changed in the study file since the last run; False when nothing has.

    A file that changes how verdicts are taken is not kept once the results are known: reports go by what was declared.
    """
    if (
        prepared.stored is None
        or _said(prepared.study) == _said(prepared.stored.study)
        or _takes_verdicts_otherwise(prepared)
    ):
        return False
    from ablate.engine.run_study import record_study

    place = prepared.place
    record_study(
        prepared.study,
        results=place.results,
        storage_url=place.url,
        kinds=param_kinds(prepared.core),
        command=prepared.request.command(),
    )
    return True


def _takes_verdicts_otherwise(prepared: PreparedRun) -> bool:
    """True when the study file's test, noise, correction or level are not those of the run."""
    stored = prepared.stored.study if prepared.stored is not None else prepared.study
    return (prepared.study.method, prepared.study.alpha) != (stored.method, stored.alpha)


def _said(study: Study) -> dict[str, object]:
    """All that a study file says, wherever it lies."""
    return {name: value for name, value in study.to_dict().items() if name != "file"}


def _say_nothing_to_do(prepared: PreparedRun, screen: Screen, *, recorded: bool) -> None:
    plan = prepared.plan
    if screen.json:
        counts = {"total": plan.replicates, "done": plan.done, "recorded": recorded}
        screen.emit("nothing-to-run", {"study": plan.study, **counts})
        return
    if recorded:
        screen.say(f"{plan.study}: the study file has changed since the last run; reports follow it now")
    if _takes_verdicts_otherwise(prepared):
        screen.say(
            f"{plan.study}: the study file takes verdicts in another way than was declared before the run; reports "
            "keep to that (ablate report --test, --noise and --correct show another)"
        )
    report = f"report:  ablate report {shlex.quote(plan.study)}"
    if prepared.round is not None:
        screen.say(f"{plan.study}: every arm is decided or has been run to the last look, nothing to run")
        screen.say(report)
        return
    screen.say(f"{plan.study}: all {plural(plan.replicates, 'trial')} are done, nothing to run")
    screen.say(report if prepared.request.confirm else f"{report}   more seeds:  --add-seeds N")


def _run_rounds(
    prepared: PreparedRun, places: tuple[Slot, ...], screen: Screen, *, retry_failed: bool
) -> tuple[PreparedRun, RunSummary]:
    """Run what is asked for: searches first, then arms; with ``--until`` look after look, while all give results."""
    while True:
        _say_round(prepared, screen)
        summary = _run(prepared, places, screen, retry_failed=retry_failed)
        following = _following(prepared, summary)
        if following is None:
            return prepared, summary
        if not screen.json:
            _say_end(prepared, summary, screen)
        prepared = following


def _following(prepared: PreparedRun, summary: RunSummary) -> PreparedRun | None:
    """What the same command asks for next; None when it ends here."""
    if summary.exit_code not in (ExitCode.DONE, ExitCode.INCOMPLETE) or (
        prepared.round is None and not prepared.searches
    ):
        return None
    following = prepare_again(prepared)
    # A candidate that does not fit leaves its search complete, though the run was not all done.
    on = not following.searches if prepared.searches else summary.exit_code is ExitCode.DONE
    return following if on and following.plan.to_run else None


def _say_round(prepared: PreparedRun, screen: Screen) -> None:
    if prepared.round is None:
        return
    if screen.json:
        screen.emit("round", {"study": prepared.study.name, **prepared.round.to_dict(), "to_run": prepared.plan.to_run})
    else:
        screen.say(f"{prepared.study.name}: {prepared.round}")


def _run(prepared: PreparedRun, places: tuple[Slot, ...], screen: Screen, *, retry_failed: bool) -> RunSummary:
    """Run the study with a display."""
    from ablate.engine.compile_choice import compilation_of
    from ablate.engine.fuse_choice import fusion_of
    from ablate.engine.run_study import RunOptions, run_study

    display = _display(prepared, screen)
    options = RunOptions(
        fusion=fusion_of(prepared.request.fuse, places),
        compilation=compilation_of(prepared.request.compile, ()),
        retry_failed=retry_failed,
        alive_s=_PICTURE_ALIVE_S if screen.live else _LINES_ALIVE_S,
        command=prepared.request.command(),
    )
    with display:
        return run_study(
            prepared.study,
            prepared.core,
            prepared.next_replicates,
            results=prepared.place.results,
            storage_url=prepared.place.url,
            slots=places,
            listen=display.take,
            options=options,
            kinds=param_kinds(prepared.core),
            searches=prepared.searches,
            launcher=prepared.request.where.start(),
        )


def _display(prepared: PreparedRun, screen: Screen) -> Display:
    from ablate.cli.display.run_display import JsonLines, Lines, Picture, Silence
    from ablate.cli.display.run_state import RunView

    if screen.json:
        return JsonLines(screen)
    if screen.quiet:
        return Silence(screen)
    if not screen.live:
        return Lines(screen, prepared.study.primary.name)
    mine = {one.key for one in prepared.next_replicates} | candidate_keys(prepared.searches)
    planned = Counter(arm for arm, _ in mine)
    known = results_of(prepared.stored.study, latest(prepared.stored.rows)) if prepared.stored is not None else {}
    before = {key: result for key, result in known.items() if key in mine and result.kind is not None}
    return Picture(screen, RunView(prepared.study, planned, began=time.time(), results=before))


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
        screen.say(f"go on:  {prepared.request.command()}")
