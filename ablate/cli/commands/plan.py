"""``ablate plan``: what a run would do and cost, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ablate.api.choices import RESULTS, Launchers
from ablate.api.detectable_difference import can_see
from ablate.api.execution import prepare_to_run
from ablate.api.expected_trials import expected_lines
from ablate.api.launch_options import LaunchOptions
from ablate.api.plan_fusion import fusion_lines
from ablate.api.plan_view import plan_of, timed_slots
from ablate.api.request import PreparedRun, Request, seeds_in
from ablate.cli.options import (
    Arms,
    Compile,
    Fuse,
    Gpus,
    Job,
    Json,
    Launch,
    Listening,
    Name,
    NoColor,
    Quiet,
    Results,
    SeedRange,
    Seeds,
    Set,
    Slots,
    Storage,
    StudyFile,
)
from ablate.display.console import Screen
from ablate.display.error_display import place as place_of
from ablate.display.text_columns import lay_out
from ablate.errors import AblateError, ExitCode, Problem
from ablate.human_units import plural, size, spoken, visible
from ablate.json_values import JsonValue
from ablate.outcome import OutcomeKind
from ablate.storage.rows import seeds_text
from ablate.study.blocks import split_name
from ablate.study.verdict_method import Method

if TYPE_CHECKING:
    from ablate.api.plan_cost import PlanCost
    from ablate.api.try_baseline import BaselineTry
    from ablate.engine.workers.slots import Slot
    from ablate.study.plan import StageSharing


_JOBS = {"slurm": ("job", "Slurm"), "srun": ("step", "this allocation"), "ray": ("task", "Ray")}
"""What a slot of a cluster is called, and whose it is."""
_LONGEST_LEVEL = 8
_MOST_BLOCKS = 8
"""Blocks that are spelt out."""
_NARROW = 80
"""Cells of a terminal in which no line should break."""


def plan(
    study: StudyFile,
    overrides: Set = None,
    seeds: Seeds = None,
    seed_range: SeedRange = None,
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
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Run the beginning of one trial, in a temporary folder, to measure this machine."),
    ] = False,
    attempt: Annotated[
        bool,
        typer.Option(
            "--try",
            help="Run the baseline's first trial for at most a minute, in a temporary folder, to see whether it works.",
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show arms, seeds, cost and warnings of a study. Changes nothing on disk.

    \b
    Example:
      ablate plan studies/schedules.yaml --set data=cifar10 --seeds 5
      ablate plan studies/schedules.yaml --probe
      ablate plan mystudy.yaml --try
    """
    screen = Screen.make(json=json, quiet=quiet, no_color=no_color)
    words = (tuple(overrides or ()), seeds, tuple(arms or ()), results, storage, name)
    where = LaunchOptions(launcher, tuple(job or ()), listen, gpus, slots)
    only = None if seed_range is None else seeds_in(seed_range)
    request = Request(study, *words, where=where, fuse=fuse, compile=compiling, seed_range=only)
    prepared, places = prepare_to_run(request)
    if (probe or attempt) and launcher is not Launchers.LOCAL:
        word = "--try" if attempt else "--probe"
        raise AblateError(f"{word} runs a trial on this machine, not in a job", hint=f"leave out {word} or --launcher")
    tried = _try(prepared, places[0], screen) if attempt else None
    show_plan(prepared, places, screen, probe=probe, tried=tried)
    if tried is not None and not tried.works:
        raise typer.Exit(int(ExitCode.INCOMPLETE))


def show_plan(
    prepared: PreparedRun,
    slots: tuple[Slot, ...],
    screen: Screen,
    *,
    probe: bool = False,
    tried: BaselineTry | None = None,
) -> None:
    """Print the plan: the result on stdout, warnings on stderr."""
    slots = timed_slots(prepared, slots)
    probed = _probe(prepared, slots[0], screen) if probe and prepared.plan.to_run else None
    if tried is not None and tried.outcome.is_result:
        probed = tried.seconds
    view = plan_of(prepared, slots, probed)
    cost, free = view.cost, view.free_bytes
    if screen.json:
        screen.emit("plan", {**view.to_dict(), **({} if tried is None else {"try": tried.to_dict()})})
        return
    lines = [
        _title(prepared),
        _state(prepared),
        *_method(prepared),
        *_searches(prepared),
        *_blocks(prepared),
        *_factors(prepared, screen.out.width),
    ]
    how = (*fusion_lines(prepared, slots), compile_line(prepared, slots))
    looks = expected_lines(prepared, view.expected, cost)
    texts = (*cost_lines(prepared, slots, cost), *looks, *how, _disk(prepared, free), can_see(prepared))
    lines += [Text(text) for text in (*texts, *try_lines(tried)) if text]
    for line in lines:
        screen.out.print(line, soft_wrap=True)
    for warning in view.warnings if not screen.quiet else ():
        screen.err.print(warning_text(warning, screen.err.width), soft_wrap=True)
    if tried is not None and not tried.works:
        return
    if prepared.plan.to_run:
        screen.out.print(f"run it:  {prepared.request.command()}", soft_wrap=True)
    else:
        report = prepared.place.command("ablate", "report", prepared.study.name)
        screen.out.print(f"nothing to run:  {report}", soft_wrap=True)


def _try(prepared: PreparedRun, slot: Slot, screen: Screen) -> BaselineTry:
    from ablate.api.try_baseline import LIMIT_S, try_baseline

    screen.say(f"trying: the baseline's first trial, for at most {LIMIT_S:.0f} s, in a temporary folder ...")
    return try_baseline(prepared, slot)


def try_lines(tried: BaselineTry | None) -> list[str]:
    """Say what came of a trial that was tried; what it printed only where it failed."""
    if tried is None:
        return []
    curve = f", {plural(tried.curve_points, 'point')} of the learning curve" if tried.curve_points else ""
    if tried.outcome is OutcomeKind.STOPPED:
        how = "no progress told" if tried.progress is None else f"{tried.progress[0]} of {tried.progress[1]} done"
        return [
            f"try    works so far: stopped after {spoken(tried.seconds)}, {how}{curve}; "
            "metrics are read when a trial has ended"
        ]
    if tried.works:
        found = ", ".join(f"{name} {value:.6g}" for name, value in tried.metrics.items()) or visible(tried.error or "")
        return [f"try    {tried.outcome} in {spoken(tried.seconds)}: {found}{curve}"]
    last = [f"       | {visible(line)}" for line in tried.log]
    return [f"try    {tried.outcome.replace('_', ' ')}: {visible(tried.error or '')}", *last]


def _probe(prepared: PreparedRun, slot: Slot, screen: Screen) -> float | None:
    from ablate.api.probe import probe

    screen.say("probing: the beginning of the baseline's first trial, in a temporary folder ...")
    seconds = probe(prepared, slot)
    if seconds is None:
        screen.say("the probe failed: no progress within 60 s")
    return seconds


def _title(prepared: PreparedRun) -> Text:
    plan = prepared.plan
    if not plan.arms:
        trials = plural(sum(search.trials * search.seeds for search in prepared.searches), "trial")
        return Text(f"{plan.study}: a search of {trials}", style="bold")
    arms = len(plan.arms) if not plan.blocks else len({split_name(arm)[0] for arm in plan.arms})
    parts = [
        plural(arms, "arm"),
        *([plural(len(plan.blocks), "block")] * bool(plan.blocks)),
        plural(plan.seeds, "seed"),
    ]
    title = f"{plan.study}: {' x '.join(parts)} = {plural(plan.replicates, 'trial')}"
    if plan.blocks and arms * len(plan.blocks) * plan.seeds != plan.replicates:  # not every arm in every block
        title = f"{plan.study}: {plural(plan.replicates, 'trial')} of {', '.join(parts)}"
    seeds = sorted({one.seed for one in prepared.replicates})
    if seeds != list(range(len(seeds))):
        title += f"   ({seeds_text(seeds)})"
    looks = f"   (looks at {', '.join(map(str, plan.looks))} seeds)" if len(plan.looks) > 1 else ""
    return Text(title, style="bold").append(looks, style="not bold")


def _method(prepared: PreparedRun) -> list[Text]:
    """How verdicts will be taken, where the study says another thing than the default."""
    method = prepared.study.method
    return [] if method == Method() else [Text(f"  verdicts: {method}")]


def _blocks(prepared: PreparedRun) -> list[Text]:
    """The conditions under which every arm runs, and what they stand for."""
    plan, blocks = prepared.plan, prepared.study.blocks
    if blocks is None:
        return []
    named = ", ".join(visible(name) for name in plan.blocks[:_MOST_BLOCKS])
    more = f" and {len(plan.blocks) - _MOST_BLOCKS} more" if len(plan.blocks) > _MOST_BLOCKS else ""
    return [Text(f"  blocks ({blocks.word}, {blocks.kind}): {named}{more}")]


def _state(prepared: PreparedRun) -> Text:
    plan = prepared.plan
    parts = [f"done {plan.done}", f"to run {plan.to_run}"]
    if plan.failed:
        parts.append(f"failed or stopped {plan.failed} (will run again)")
    if plan.duplicates:
        parts.append(f"same as another {plan.duplicates} (run once)")
    if plan.arms:
        parts.append("baseline complete" if plan.baseline_done else "baseline to run")
    return Text("  " + ", ".join(parts))


def _searches(prepared: PreparedRun) -> list[Text]:
    """One line for each search that comes first, and what follows it."""
    lines = []
    for search, planned in zip(prepared.searches, prepared.plan.searches, strict=True):
        what = f"tune {visible(search.name)}" if search.tunes else search.name
        how = search.sampler if search.pruner == "none" else f"{search.sampler}, {search.pruner}"
        seeds = f" x {plural(search.seeds, 'seed')}" if search.seeds > 1 else ""
        parts = [f"{planned.trials} candidates{seeds} ({how})", f"done {planned.answered}"]
        parts += [f"pruned {planned.pruned}"] if planned.pruned else []
        lines.append(Text(f"  {what}: {', '.join(parts)}, to run {planned.to_run}"))
    if any(search.arm is not None for search in prepared.searches):
        tuned = all(search.tunes for search in prepared.searches)
        then = "every arm at its tuned levels" if tuned else "the best candidate and the baseline"
        lines.append(Text(f"  then: {then}, on {plural(prepared.study.seeds, 'fresh seed')}"))
    return lines


def _disk(prepared: PreparedRun, free: int) -> str:
    """What the folders of what is left take, as far as finished ones tell, and what is free."""
    from ablate.api.plan_cost import needed_bytes

    needed = needed_bytes(prepared) if prepared.plan.to_run else None
    if needed is None:
        return f"disk   {size(free)} free"
    short = "   not enough" if needed[0] > free else ""
    return f"disk   about {size(needed[0])} of {size(free)} free (as {plural(needed[1], 'finished trial')}){short}"


def _factors(prepared: PreparedRun, width: int) -> list[Text]:
    rows = []
    for factor in prepared.plan.factors:
        if factor.arms:
            first, *others = (_shown_level(level) for level in factor.levels)
            rows.append((factor.name, str(factor.arms), ", ".join((f"{first}*", *others))))
    return lay_out(("factor", "arms", "levels (* baseline)"), rows, align="<>~", width=width) if rows else []


def _shown_level(level: JsonValue) -> str:
    """A level as study files write it; one that a search found, in three digits."""
    from ablate.study.factors import level_text

    text = level_text(level)
    return f"{level:.3g}" if isinstance(level, float) and len(text) > _LONGEST_LEVEL else text


def cost_lines(prepared: PreparedRun, slots: tuple[Slot, ...], cost: PlanCost | None) -> list[str]:
    """Return what the rest costs, on what this rests, and what is shared."""
    plan = prepared.plan
    if not plan.to_run:
        return ["cost   nothing: all trials are done"]
    where = _where(slots)
    if cost is None:
        return [
            f"cost   unknown until a trial has finished   ({where})",
            "       --probe measures the beginning of one",
        ]
    work = f"{_seconds(cost.work_s, cost.work_range_s)} of work"
    wall = f"about {_seconds(cost.wall_s, cost.wall_range_s)} on {where}"
    lines = [f"cost   {work}, {wall}"] if len(work + wall) < _NARROW - 9 else [f"cost   {work}", f"       {wall}"]
    lines.append(f"       {_basis(cost)}")
    if cost.most_s is not None:
        lines.append(f"       every arm up to {plan.looks[-1]} seeds: {spoken(cost.most_s)} of work at most")
    shared = [stage for stage in plan.stages if stage.executed_cost < stage.planned_cost]
    if shared and plan.cost > 0:
        saved = (plan.planned_cost - plan.cost) * cost.work_s / plan.cost
        lines.append(f"       shared work saves {spoken(saved)}; computed of asked for:")
        lines += [f"         {_shared(stage)}" for stage in shared]
    return lines


def _seconds(middle: float, between: tuple[float, float] | None) -> str:
    """Return a duration, with its 10th and 90th percentile where they are known and differ on the screen."""
    if between is None or spoken(between[0]) == spoken(between[1]):
        return spoken(middle)
    return f"{spoken(middle)} ({spoken(between[0])} - {spoken(between[1])})"


def _basis(cost: PlanCost) -> str:
    if cost.measured:
        return f"from {plural(cost.measured, 'finished trial')} of this study"
    if cost.probed:
        return "from the beginning of one trial on this machine"
    return "the core's estimate for one thread of a laptop; --probe measures this one"


def _where(slots: tuple[Slot, ...]) -> str:
    """Name the slots: those that are used in any case, and how many there may be."""
    from ablate.engine.workers.slots import certain

    sure = certain(slots)
    if slots[0].place:
        one, whose = _JOBS[slots[0].place.partition("-")[0]]
        device = "GPU" if slots[0].is_gpu else "CPU"
        return f"{plural(sure, f'{device} {one}')} of {whose}, their wait not counted"
    where = plural(sure, "GPU slot" if slots[0].is_gpu else "CPU slot")
    return where if sure == len(slots) else f"{where}, up to {len(slots)} where memory allows"


def _shared(stage: StageSharing) -> str:
    """Return how much of a stage is computed, in stages and in updates of a training."""
    text = f"{stage.name} {stage.executed} of {stage.planned}"
    if not stage.planned_steps:
        return text
    return f"{text}, {stage.executed_steps:,} of {stage.planned_steps:,} updates"


def compile_line(prepared: PreparedRun, slots: tuple[Slot, ...]) -> str | None:
    """Return which trainings may be compiled, None where none is."""
    from ablate.core.programs.compile_rules import LEAST_UPDATES, missing
    from ablate.engine.compile_choice import compilation_of, compilation_within, require_compilable, updates_waiting

    here = prepared.request.where.launcher is Launchers.LOCAL
    wanted = compilation_of(prepared.request.compile, slots if here else ())
    if wanted.mode == "off" or (here and missing(slots[0].device) is not None):
        return None
    stages = [stage for recipe in {one.recipe for one in prepared.plan.todo} for stage in prepared.core.stages(recipe)]
    if prepared.plan.todo and not prepared.study.searches:
        require_compilable(wanted, stages)
    fixed = not (prepared.study.searches or prepared.core.is_time(prepared.study.primary.name))
    found = compilation_within(wanted, prepared.study.name, updates_waiting(stages, len(slots)), fixed=fixed)
    least = LEAST_UPDATES if found.mode == "auto" else 1
    waiting = sorted((updates for updates in found.updates.values() if updates >= least), reverse=True)
    if not waiting:
        return None
    when = "" if found.mode == "on" else ", where a measurement shows that it pays"
    return f"compile networks of {' + '.join(f'{one:,}' for one in waiting)} updates per slot{when}"


def warning_text(problem: Problem, width: int) -> Text:
    """Return a warning on one line with its position, on two where it is long."""
    text = Text.assemble((problem.severity, "yellow"), f": {visible(problem.message)}")
    if problem.file:
        where = place_of(problem)
        gap = "   " if text.cell_len + len(where) + 3 <= width else "\n  --> "
        text.append(gap + where, style="dim")
    if problem.suggestion:
        text.append(f"\n  = {visible(problem.suggestion)}")
    return text
