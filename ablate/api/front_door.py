"""The Python API: run, plan, load, compare and report. Everything the command line does begins here too.

Each function raises what the command line prints: an `AblateError` with a message and often a hint.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from ablate.api.choices import RESULTS, Launchers, Until
from ablate.api.execution import Audience, execute, prepare_to_run, record_changes, repair_files, view_of
from ablate.api.launch_options import LaunchOptions
from ablate.api.plan_view import StudyPlan, plan_of
from ablate.api.reports import (
    ForeignSource,
    check_formats,
    choose_method,
    compare_two,
    read_foreign_results,
    write_study_report,
)
from ablate.api.request import PreparedRun, Request, seeds_in
from ablate.api.stored_studies import ResultsLocation, name_of
from ablate.api.study_results import StudyResults, WrittenReport
from ablate.api.study_source import StudyDefinition, StudyLike, StudySections, source_of
from ablate.errors import MAX_OUTAGE_S, AblateError, ExitCode
from ablate.paths import REPORT_FORMATS
from ablate.study.verdict_method import FUTILITY

if TYPE_CHECKING:
    import os

    import pandas as pd

    from ablate.display.run_display import Display
    from ablate.engine.display.display_events import DisplayEvent
    from ablate.report.statistics.metric_spec import Metrics
    from ablate.report.statistics.model import Bayes, Comparison
    from ablate.study.blocks import BlockKind
    from ablate.study.verdict_method import Boundaries, Correction, Noise, Test
    from ablate.tracking.background import Tracked

Progress = Literal["auto", "live", "lines", "none"]
"""How a run is shown: a picture that redraws itself, one line per event, or not at all."""
_ALIVE_S = {"live": 10.0, "notebook": 2.0}
"""Time between signs of life; a picture needs them more often than a log."""


def run(
    study: StudyLike | None = None,
    *,
    name: str | None = None,
    seeds: int | None = None,
    seed_range: str | None = None,
    add_seeds: int | None = None,
    until: Literal["decided"] | None = None,
    confirm: bool = False,
    only: str | Sequence[str] = (),
    overrides: Sequence[str] = (),
    results: str | os.PathLike[str] = RESULTS,
    storage: str | None = None,
    slots: int | None = None,
    gpus: str | None = None,
    launcher: str = "local",
    job: Sequence[str] = (),
    listen: str | None = None,
    fuse: str = "auto",
    compile: str = "auto",
    track: str | Sequence[str] = (),
    retry_failed: bool = False,
    fail_fast: bool = False,
    max_outage: float = MAX_OUTAGE_S,
    keep_old: bool = False,
    progress: Progress | Callable[[DisplayEvent], None] = "auto",
    **sections: Unpack[StudySections],
) -> StudyResults:
    """Run a study, or resume it where it stopped, and return what it gave.

    `study` is the path of a study file, the mapping that such a file would hold, or a function that trains and returns
    its metrics: ``run(train, vary={"lr": [0.1, 0.01]}, metrics={"accuracy": "max:0.5%"})``. `sections` (``vary=...``,
    ``metrics=...``) add keys to a mapping or replace them; without a `study` they are all of it:
    ``run(command="python train.py --lr {lr} --seed {seed}", factors={"lr": 0.1}, ...)``, where `command_progress` is
    a command's key ``progress``. The same call resumes: what is done stays done.

    `seeds` is the number of seeds per arm instead of the declared one, `add_seeds` how many more than now.
    ``seed_range="3..5"`` measures these seeds alone, for other machines to measure the rest. ``until="decided"`` goes
    from look to look and gives seeds only to arms without a decision. `only` names the arms to run (patterns such as
    ``"lr=*"``), beside the baseline. `overrides` are ``"key=value"`` texts, as for ``--set``.

    `fail_fast` stops at the first trial that ends without a result. A database or a cluster may be away for
    `max_outage` seconds; then the run saves and stops, and OutageError is raised. A study with results of another
    version of its core is refused; with `keep_old` they stay beside the new ones, and reports say which are which.

    `slots` is how many trials run at a time; `gpus` are indices or UUIDs, ``"none"`` for CPUs. `progress` says how the
    run is shown (``"auto"``: a picture in a terminal or a notebook, else lines), or takes every event. `track` names
    trackers that are told of every trial: ``"mlflow:URI"``, ``"wandb:PROJECT"``, ``"tensorboard:DIR"``, or the name
    alone; what could not be tracked is a warning at the end.

    Trials that fail do not raise: see ``results.summary.errors`` and `StudyResults.complete`. Raises KeyboardInterrupt
    after Ctrl-C or the notebook's stop button, once checkpoints are saved; SystemExit with code 143 after SIGTERM; and
    AblateError for what would have been refused at the command line.
    """
    where = LaunchOptions(_launcher(launcher), tuple(job), listen, gpus, slots)
    source = source_of(study, name, sections)
    request = Request(
        source,
        overrides=tuple(overrides),
        seeds=_count(seeds, "seeds"),
        seed_range=None if seed_range is None else seeds_in(seed_range),
        arms=(only,) if isinstance(only, str) else tuple(only),
        results=Path(results),
        storage=storage,
        name=source.name if isinstance(source, StudyDefinition) else name,
        where=where,
        add_seeds=_count(add_seeds, "add_seeds"),
        until=_until(until),
        confirm=confirm,
        keep_old=keep_old,
        fuse=fuse,
        compile=compile,
        track=(track,) if isinstance(track, str) else tuple(track),
    )
    prepared, places = prepare_to_run(request)
    prepared.check_version()
    for problem in prepared.changed:
        warnings.warn(str(replace(problem, file="")), stacklevel=2)
    if not prepared.plan.to_run:
        record_changes(prepared)
        repair_files(prepared)
        return StudyResults(prepared.place.study(prepared.study.name))
    audience = replace(_audience(progress), tracked=_warn_of)
    prepared, summary = execute(
        prepared, places, audience, retry_failed=retry_failed, fail_fast=fail_fast, max_outage_s=max_outage
    )
    if summary.exit_code is ExitCode.INTERRUPTED:
        raise KeyboardInterrupt("checkpoints are saved; the same call resumes")
    if summary.exit_code is ExitCode.TERMINATED:
        raise SystemExit(int(ExitCode.TERMINATED))
    return StudyResults(prepared.place.study(prepared.study.name), summary)


def plan(
    study: StudyLike | None = None,
    *,
    name: str | None = None,
    seeds: int | None = None,
    seed_range: str | None = None,
    only: str | Sequence[str] = (),
    overrides: Sequence[str] = (),
    results: str | os.PathLike[str] = RESULTS,
    storage: str | None = None,
    slots: int | None = None,
    gpus: str | None = None,
    **sections: Unpack[StudySections],
) -> StudyPlan:
    """Return what `run` with the same arguments would do and cost. Changes nothing on disk.

    Raises AblateError, for a study with mistakes a StudyFileError that has all of them in `problems`.
    """
    source = source_of(study, name, sections)
    request = Request(
        source,
        overrides=tuple(overrides),
        seeds=_count(seeds, "seeds"),
        seed_range=None if seed_range is None else seeds_in(seed_range),
        arms=(only,) if isinstance(only, str) else tuple(only),
        results=Path(results),
        storage=storage,
        name=source.name if isinstance(source, StudyDefinition) else name,
        where=LaunchOptions(gpus=gpus, slots=slots),
    )
    prepared, places = prepare_to_run(request)
    return plan_of(prepared, places)


def load(
    name: str | os.PathLike[str], *, results: str | os.PathLike[str] = RESULTS, storage: str | None = None
) -> StudyResults:
    """Return the results of the study called `name` (or of its file): trials, curves, comparison, verdicts.

    Runs nobody's code and writes nothing. Raises StorageError, with the nearest names, when there is no such study.
    """
    return StudyResults(ResultsLocation.of(Path(results), storage).study(name_of(str(name))))


def compare(
    frame: pd.DataFrame,
    *,
    baseline: str = "baseline",
    metrics: Metrics | None = None,
    alpha: float = 0.05,
    looks: Sequence[int] | None = None,
    arms: Sequence[str] | None = None,
    test: Test = "paired",
    noise: Noise = "own",
    correct: Correction = "holm",
    equivalence: Correction | None = None,
    boundaries: Boundaries = "spending",
    futility: float = FUTILITY,
    bayes: bool = False,
    test_share: float = 0.0,
    blocks: str | None = None,
    blocks_are: BlockKind = "fixed",
) -> Comparison:
    """Compare the arms of anybody's results: one row per trial with `arm`, `seed` and a column per metric.

    `metrics` are texts such as ``"accuracy:max:0.5%"`` (name, better direction, smallest difference that matters),
    or a mapping as for `run`, ``{"accuracy": "max:0.5%"}``; the first is the primary one. With `bayes`, each row
    also says how likely better, equivalent and worse are. With a column ``dataset`` or ``task`` (or one named by
    `blocks`), verdicts are over all of them, and ``comparison.blocks`` has those of each. See
    `ablate.report.statistics.compare.compare` for everything else.

    Raises AblateError for a table that can be read in more than one way, or in none.
    """
    from ablate.report.statistics.compare import compare as compare_frame

    return compare_frame(
        frame,
        baseline=baseline,
        metrics=metrics,
        alpha=alpha,
        looks=looks,
        arms=arms,
        test=test,
        noise=noise,
        correct=correct,
        equivalence=equivalence,
        boundaries=boundaries,
        futility=futility,
        bayes=bayes,
        test_share=test_share,
        blocks=blocks,
        blocks_are=blocks_are,
    )


def report(
    study: str | os.PathLike[str] | StudyResults | None = None,
    *,
    against: str | None = None,
    source: str | None = None,
    baseline: str | None = None,
    metrics: Sequence[str] | Mapping[str, str] = (),
    name: str | None = None,
    pattern: str | None = None,
    seed_key: str | None = None,
    within: str | None = None,
    blocks: str | None = None,
    blocks_are: BlockKind = "fixed",
    formats: Sequence[str] = REPORT_FORMATS,
    figures: bool = True,
    layout: Literal["arms", "components"] = "arms",
    columns: Sequence[str] = (),
    test: Test | None = None,
    noise: Noise | None = None,
    correct: Correction | None = None,
    equivalence: Correction | None = None,
    bayes: bool = False,
    test_share: float = 0.0,
    results: str | os.PathLike[str] = RESULTS,
    storage: str | None = None,
) -> WrittenReport:
    """Write the report of a study: tables, figures, one page with everything. Returns the comparison and the files.

    `study` is a name, a study file, or what `run` or `load` returned. With `against`, every arm is compared with the
    same arm of that other study. `test`, `noise`, `correct` and `equivalence` replace what the study declares, and the
    report says so. With `bayes`, the chances of better, equivalent and worse stand beside every verdict; `test_share`
    is for folds of a cross-validation (see `compare`).

    With `source` instead, results that ablate did not make are reported: ``"csv:runs.csv"``,
    ``"mlflow:URI#experiment"``, ``"tensorboard:runs"``, ``"wandb:export.csv"``, ``"optuna:URL#study"`` or
    ``"hydra:multirun"``. To it belong `baseline`, `metrics` (``"accuracy:max:0.5%"``, or a mapping as for `run`),
    `name`, `pattern` (arm and seed in a run's name), `seed_key` (the parameter that holds the seed), `within` (the
    column that counts episodes or other parts of a run: these are averaged within each arm and seed first),
    `blocks` (the column of data sets or tasks) and `blocks_are` ("fixed", or "random" for a sample of others).

    Raises NothingComparableError after everything that can be written has been, and AblateError for the rest.
    """
    from ablate.report.statistics.metric_spec import metric_texts
    from ablate.report.statistics.posterior import bayes_of

    formats = check_formats(formats)
    place = ResultsLocation.of(Path(results), storage)
    choose = choose_method(test=test, noise=noise, correct=correct, equivalence=equivalence)
    reading = bayes_of(bayes=bayes, test_share=test_share)
    remarks: tuple[str, ...] = ()
    if (study is None) == (source is None):
        raise AblateError("report needs a study or a source, and not both", hint='for example report("schedules")')
    if source is not None:
        asked = ForeignSource(
            source, baseline, metric_texts(metrics), name, pattern, seed_key, within, blocks, blocks_are
        )
        stored, remarks = read_foreign_results(asked, place, choose=choose)
    elif isinstance(study, StudyResults):
        stored = study.stored
    elif against is not None:
        return _report_two(against, str(study), place, formats, choose, reading)
    else:
        stored = place.study(name_of(str(study)))
    from ablate.report.text.answer import lines_of_answer

    material = write_study_report(
        stored, formats=formats, figures=figures, layout=layout, columns=columns, choose=choose, bayes=reading
    )
    files = tuple(path for path in stored.paths.report_files if path.exists())
    sentences = (*lines_of_answer(material, command=material.command), *remarks)
    return WrittenReport(material.comparison, stored.paths.folder, files, sentences, material)


def _report_two(
    before: str,
    after: str,
    place: ResultsLocation,
    formats: tuple[str, ...],
    choose: Callable[..., Any],
    bayes: Bayes | None,
) -> WrittenReport:
    from ablate.report.text.two_studies_page import across_sentences

    across, folder = compare_two((before, after), place, formats=formats, choose=choose, bayes=bayes)
    across.comparison.check_comparable()
    files = tuple(sorted(path for path in folder.iterdir() if path.is_file()))
    return WrittenReport(across.comparison, folder, files, tuple(across_sentences(across)))


def _warn_of(tracked: Tracked) -> None:
    """Say, once all is over, that something did not reach a tracker; the results are what they are without it."""
    if tracked.warning:
        warnings.warn(tracked.warning, stacklevel=4)


def _launcher(word: str) -> Launchers:
    try:
        return Launchers(word)
    except ValueError:
        raise AblateError(f"no launcher {word!r}", hint=f"known: {', '.join(Launchers)}") from None


def _until(word: str | None) -> Until | None:
    if word is None:
        return None
    try:
        return Until(word)
    except ValueError:
        raise AblateError(f"until={word!r} is not known", hint='until="decided" is') from None


def _count(value: object, what: str) -> int | None:
    """Return a whole number of at least 1; what a command line refuses is refused here too."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        hint = 'some of a study\'s seeds: seed_range="3..5"' if isinstance(value, Sequence) else None
        raise AblateError(f"{what} is a whole number of at least 1, not {value!r}", hint=hint)
    return value


def _audience(progress: Progress | Callable[[DisplayEvent], None]) -> Audience:
    """Who watches: a notebook, a terminal, a log, a function, or nobody."""
    from ablate.display.console import Screen
    from ablate.display.notebook import NotebookPicture, in_notebook
    from ablate.display.run_display import Lines, Listening, Picture, Silence

    if callable(progress):
        return Audience(lambda prepared: Listening(progress))
    if progress not in ("auto", "live", "lines", "none"):
        raise AblateError(f"progress={progress!r} is not known", hint="known: auto, live, lines, none, or a function")
    screen = Screen.make()
    if progress == "none":
        return Audience(lambda prepared: Silence(Screen.make(quiet=True)))
    if progress in ("auto", "live") and in_notebook():
        return Audience(lambda prepared: NotebookPicture(view_of(prepared)), alive_s=_ALIVE_S["notebook"])
    if progress == "live" or (progress == "auto" and screen.live):
        return Audience(lambda prepared: Picture(screen, view_of(prepared)), alive_s=_ALIVE_S["live"])

    def lines(prepared: PreparedRun) -> Display:
        return Lines(screen, prepared.study.primary.name)

    return Audience(lines)
