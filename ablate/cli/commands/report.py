"""``ablate report``: the comparison, its verdicts, and the files that hold the evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.api.choices import RESULTS
from ablate.api.reports import (
    ForeignSource,
    check_formats,
    choose_method,
    read_foreign_results,
    write_study_report,
    write_study_reports,
)
from ablate.api.stored_studies import ResultsLocation, StoredStudy, Unread
from ablate.cli.commands.report_two import write_versus
from ablate.cli.options import Json, NoColor, Quiet, Results, Storage
from ablate.cli.unread import leave_unread, show_unread
from ablate.display.console import Screen
from ablate.display.error_display import show_error
from ablate.errors import AblateError, ExitCode, NothingComparableError
from ablate.paths import REPORT_FORMATS

if TYPE_CHECKING:
    from ablate.report.data.material import Material
    from ablate.report.statistics.model import Bayes, Comparison

Studies = Annotated[
    list[str] | None,
    typer.Argument(metavar="STUDY", help="A study's name or file (all when left out), or two to compare."),
]


class TestName(StrEnum):
    """Tests that ``--test`` knows."""

    PAIRED = "paired"
    WELCH = "welch"
    PERMUTATION = "permutation"
    SKEWED = "skewed"


class NoiseName(StrEnum):
    """What ``--noise`` knows."""

    OWN = "own"
    POOLED = "pooled"


class CorrectName(StrEnum):
    """What ``--correct`` and ``--equivalence`` know."""

    HOLM = "holm"
    BH = "bh"
    NONE = "none"


class BlockKindName(StrEnum):
    """What ``--blocks-are`` knows."""

    FIXED = "fixed"
    RANDOM = "random"


class Layout(StrEnum):
    """What the rows of the table begin with."""

    ARMS = "arms"
    COMPONENTS = "components"


class Gate(StrEnum):
    """Verdicts that ``--fail-on`` can watch for."""

    WORSE = "worse"
    DIVERGED = "diverged"
    UNDECIDED = "undecided"


def report(
    studies: Studies = None,
    form: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Which files to write, separated by commas.")
    ] = ",".join(REPORT_FORMATS),
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Write no figures; seconds faster.")] = False,
    fail_on: Annotated[
        list[Gate] | None,
        typer.Option(
            "--fail-on",
            metavar="VERDICT",
            help="Leave with exit code 5 when an arm is worse, diverged or undecided; repeatable.",
        ),
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(help="Of the table in report.md and table.tex; components gives boolean factors check marks."),
    ] = Layout.ARMS,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Columns of the table behind arm and verdict, separated by commas: n, diff, p, time, compute, rho, "
            "diverged, wins, mean, posterior, and names of metrics. Without it, what fits.",
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Report on this table (arm, seed, metrics) instead: not made by ablate."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="KIND:PLACE",
            help="Report on results of another tool: mlflow:URI#EXPERIMENT, tensorboard:DIR, wandb:FILE.csv, "
            "optuna:URL#STUDY, hydra:DIR#FILE, csv:FILE.",
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="With --from: arm and seed in a run's name, as groups (?P<arm>...) and (?P<seed>...)."
        ),
    ] = None,
    seed_key: Annotated[
        str | None, typer.Option("--seed-key", metavar="NAME", help="With --from: the parameter that holds the seed.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="ARM", help="With --csv or --from: the arm to compare with (default: baseline)."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:max:MARGIN",
            help="With --csv or --from: a metric, which way is better, and a margin (0.1 or 2%); repeatable, "
            "the first decides.",
        ),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="With --csv or --from: rows are parts of a run (episodes, images) that this column counts; average "
            "them within each arm and seed first.",
        ),
    ] = None,
    blocks: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="With --csv or --from: the data set or task of each row (default: a column dataset, task or block); "
            "a verdict in each, and one over all.",
        ),
    ] = None,
    blocks_are: Annotated[
        BlockKindName | None,
        typer.Option("--blocks-are", help="With --csv or --from: these blocks alone (fixed), or a sample of others."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --csv or --from: folder of the report.")
    ] = None,
    test: Annotated[
        TestName | None,
        typer.Option(
            help="paired t; welch where seeds are not shared; exact sign flips. Without it, as the study file says "
            "under 'report' (paired); the report states a change made after the run."
        ),
    ] = None,
    noise: Annotated[
        NoiseName | None, typer.Option(help="Seed noise: of each arm, or pooled over alike arms. As --test.")
    ] = None,
    correct: Annotated[
        CorrectName | None, typer.Option(help="For the number of arms: Holm, false discovery rate, or not. As --test.")
    ] = None,
    equivalence: Annotated[
        CorrectName | None,
        typer.Option(
            help="How the word equivalent is corrected for the number of arms. Without it, as the study file says, or "
            "as --correct."
        ),
    ] = None,
    bayes: Annotated[
        bool,
        typer.Option(
            "--bayes",
            help="Show beside every verdict how likely better, equivalent and worse are by these seeds alone (flat "
            "prior). It changes no verdict.",
        ),
    ] = False,
    test_share: Annotated[
        float,
        typer.Option(
            "--test-share",
            metavar="SHARE",
            help="With --bayes: seeds are folds of a cross-validation, and each tests on this share of the data.",
        ),
    ] = 0.0,
    results: Results = RESULTS,
    storage: Storage = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Compare arms, print verdicts, write tables and figures.

    Everything goes to the study's folder: report.html, report.md, table.tex, arms.csv, trials.csv, curves.csv.
    With two studies, every arm of the second is compared with the same arm of the first, seed by seed: for a change
    of the code, or of the data. DIR/NAME is a study in another folder of results.

    \b
    Example:
      ablate report schedules --format html,csv
      ablate report schedules --columns n,diff,p,ssim,compute,rho
      ablate report before/schedules schedules --fail-on worse
      ablate report --csv runs.csv --baseline plain --metric accuracy:max:0.5% --bayes
      ablate report --from mlflow:sqlite:///m.db#sweep --baseline "lr=0.1"
    """
    screen = Screen.make(json=json, quiet=quiet, no_color=no_color)
    gates = set(fail_on or ())
    formats = check_formats([word.strip() for word in form.split(",") if word.strip()])
    place = ResultsLocation.of(results, storage)
    prepared = tuple(studies or ())
    shown = tuple(word.strip() for word in columns.split(",") if word.strip()) if columns is not None else ()
    if csv is not None and source is not None:
        raise AblateError("--csv and --from do not go together", hint="--csv FILE is --from csv:FILE")
    source = source if csv is None else f"csv:{csv}"
    only = {
        "--baseline": baseline,
        "--metric": metric,
        "--within": within,
        "--blocks": blocks,
        "--blocks-are": blocks_are,
        "--name": name,
        "--pattern": pattern,
        "--seed-key": seed_key,
    }
    _check_words(prepared, source, shown, only_foreign=only)
    choose = choose_method(test=test, noise=noise, correct=correct, equivalence=equivalence)
    reading = _reading(bayes=bayes, test_share=test_share)
    failure: NothingComparableError | None = None
    unread: list[Unread] = []
    found: list[Comparison] = []
    if len(prepared) == 2:
        found.append(
            write_versus((prepared[0], prepared[1]), place, screen, choose=choose, formats=formats, bayes=reading)
        )
        sources: list[StoredStudy] = []
    elif source is not None:
        asked = ForeignSource(
            source, baseline, tuple(metric or ()), name, pattern, seed_key, within, blocks, blocks_are or "fixed"
        )
        stored, remarks = read_foreign_results(asked, place, choose=choose)
        sources = [stored]
        for remark in remarks:
            screen.say(f"note: {remark}")
    else:
        sources, unread = place.find(prepared[0] if prepared else None)
    written = write_study_reports(
        sources,
        formats=formats,
        figures=not no_figures,
        layout=layout,
        columns=shown,
        choose=choose,
        bayes=reading,
    )
    for number, (stored, material) in enumerate(zip(sources, written, strict=True)):
        if number and not json:
            screen.tell("")
        if not isinstance(material, NothingComparableError):
            found.append(_show(stored, material, screen, formats=formats, columns=shown))
        elif len(sources) == 1 and not unread:
            raise material
        else:
            failure = material
            show_error(failure, screen.err)
    show_unread(unread, screen)
    _leave(found, gates, failure, unread, screen)


def _reading(*, bayes: bool, test_share: float) -> Bayes | None:
    if not bayes and not test_share:
        return None
    from ablate.report.statistics.posterior import bayes_of

    return bayes_of(bayes=bayes, test_share=test_share)


def _check_words(
    studies: tuple[str, ...], source: str | None, columns: tuple[str, ...], only_foreign: Mapping[str, object]
) -> None:
    """Refuse words that do not go together."""
    if len(studies) > 2:
        raise AblateError(
            f"{len(studies)} studies were named: one is reported, two are compared", hint="leave out the others"
        )
    if source is not None and studies:
        raise AblateError(f"{source} and the study {studies[0]!r} do not go together", hint="leave out one of them")
    if len(studies) == 2 and columns:
        raise AblateError("--columns goes with one study", hint="leave it out: two studies have a table of their own")
    given = [option for option, value in only_foreign.items() if value]
    if source is None and given:
        raise AblateError(
            f"{given[0]} goes with --csv or --from", hint="a study's file says what its baseline and metrics are"
        )


def _leave(
    found: Sequence[Comparison],
    gates: set[Gate],
    failure: NothingComparableError | None,
    unread: Sequence[Unread],
    screen: Screen,
) -> None:
    """End with the exit code that fits what was found."""
    if gates & {row.verdict for comparison in found for row in _primary_rows(comparison)}:
        screen.say("an arm has a verdict that --fail-on names")
        raise typer.Exit(int(ExitCode.GATE))
    leave_unread(unread)
    if failure is not None:
        raise typer.Exit(int(failure.exit_code))


def write(stored: StoredStudy, screen: Screen, *, figures: bool = True) -> None:
    """Write the report of one study, print its table and sentences, and say where the files are."""
    _show(stored, write_study_report(stored, figures=figures), screen)


def _show(
    stored: StoredStudy,
    material: Material,
    screen: Screen,
    *,
    formats: tuple[str, ...] = REPORT_FORMATS,
    columns: Sequence[str] = (),
) -> Comparison:
    from ablate.report.formats.terminal import block_table, comparison_table
    from ablate.report.text.answer import lines_of_answer
    from ablate.report.text.search_sentences import search_lines

    study = stored.study
    comparison = material.comparison
    if screen.json:
        for row in comparison.rows.values():
            screen.emit("comparison", {"study": study.name, **dataclasses.asdict(row)})
    else:
        for line in search_lines(material.searched):
            screen.out.print(line, soft_wrap=True)
    if not screen.json and len(study.arms) > 1:
        times = {arm: cost.ratio for arm, cost in material.costs.items()}
        screen.tell(comparison_table(comparison, times, totals=material.totals, columns=columns))
        screen.tell("")
        for text in block_table(comparison, screen.out.width):
            screen.out.print(text, soft_wrap=True)
        if comparison.blocks is not None:
            screen.tell("")
        for sentence in lines_of_answer(material, command=material.command):
            screen.out.print(sentence, soft_wrap=sentence.startswith(" "))
    written = stored.paths.report_html if "html" in formats else stored.paths.folder
    screen.say(f"report:  {written}")
    return comparison


def _primary_rows(comparison: Comparison) -> list[Any]:
    """Rows on the primary metric, those that are decided in a single block too."""
    own = [row for (_, metric), row in comparison.rows.items() if metric == comparison.primary.name]
    parts = comparison.blocks.comparisons.values() if comparison.blocks is not None else ()
    inner = [row for part in parts for row in _primary_rows(part)]
    return own + [row for row in inner if row.verdict != Gate.UNDECIDED]
