"""``ablate report``: the comparison, its verdicts, and the files that hold the evidence."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.options import RESULTS, Json, NoColor, Quiet, Results, Storage, StudyName
from ablate.cli.problems import show_error
from ablate.cli.screen import Screen
from ablate.cli.stored import Place, Stored, base_command
from ablate.errors import AblateError, ExitCode, NothingComparableError

if TYPE_CHECKING:
    from ablate.report.comparison import Comparison

FORMATS = ("html", "md", "csv", "tex", "json")


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
    study: StudyName = None,
    form: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Which files to write, separated by commas.")
    ] = ",".join(FORMATS),
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
    results: Results = RESULTS,
    storage: Storage = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Compare arms, print verdicts, write tables and figures.

    Everything goes to the study's folder: report.html, report.md, table.tex, arms.csv, trials.csv, curves.csv.

    \b
    Example:
      ablate report schedules --format html,csv
    """
    screen = Screen.make(json=json, quiet=quiet, no_color=no_color)
    formats = formats_of(form)
    failure: NothingComparableError | None = None
    hit = False
    for number, stored in enumerate(Place.of(results, storage).find(study)):
        if number and not json:
            screen.tell("")
        try:
            comparison = write(stored, screen, formats=formats, figures=not no_figures, layout=layout)
        except NothingComparableError as error:
            if study is not None:
                raise
            failure = error
            show_error(error, screen.err)
            continue
        hit |= bool(set(fail_on or ()) & {row.verdict for row in _primary_rows(comparison)})
    if hit:
        screen.say("an arm has a verdict that --fail-on names")
        raise typer.Exit(int(ExitCode.GATE))
    if failure is not None:
        raise typer.Exit(int(failure.exit_code))


def formats_of(text: str) -> tuple[str, ...]:
    """Return the formats of a comma-separated list; AblateError for a word that is none."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found or (unknown := [word for word in found if word not in FORMATS]):
        raise AblateError(
            f"unknown format {unknown[0]!r}" if found else "no format", hint=f"known: {', '.join(FORMATS)}"
        )
    return found


def write(
    stored: Stored,
    screen: Screen,
    *,
    formats: tuple[str, ...] = FORMATS,
    figures: bool = True,
    layout: str = Layout.ARMS,
) -> Comparison:
    """Write the report of one study, print its table and sentences, and say where the files are."""
    from ablate.report.build import build_report
    from ablate.report.material import costs_of, results_of
    from ablate.report.terminal import comparison_table
    from ablate.report.text import sentences

    study = stored.study
    command = base_command(stored)
    comparison = build_report(
        study,
        stored.rows,
        stored.paths,
        formats=formats,
        figures=figures,
        layout=layout,
        storage=stored.url,
        command=command,
    )
    if screen.json:
        for row in comparison.rows.values():
            screen.emit("comparison", {"study": study.name, **dataclasses.asdict(row)})
    else:
        times = {arm: cost.ratio for arm, cost in costs_of(study, stored.rows, results_of(stored.rows)).items()}
        screen.tell(comparison_table(comparison, times))
        screen.tell("")
        for sentence in sentences(study, comparison, times, command=command):
            screen.out.print(sentence, soft_wrap=sentence.startswith(" "))
    written = stored.paths.report_html if "html" in formats else stored.paths.folder
    screen.say(f"report:  {written}")
    return comparison


def _primary_rows(comparison: Comparison) -> list[Any]:
    return [row for (_, metric), row in comparison.rows.items() if metric == comparison.primary.name]
