"""``ablate``: the commands, and how the process ends."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ablate import __version__
from ablate.cli.commands import (
    archive,
    audit,
    cache,
    claims,
    data,
    doctor,
    export,
    init,
    measure,
    plan,
    rename_remove,
    report,
    run,
    show,
    sql,
    status,
)
from ablate.display.console import console
from ablate.display.error_display import report_bug, show_error
from ablate.display.lasting import lasting
from ablate.errors import AblateError

app = typer.Typer(
    name="ablate",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ablate {__version__}")
        raise typer.Exit


@app.callback()
def ablate(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Ablation studies that hold up: plan every (arm, seed), run them on the devices you have, get verdicts.

    \b
    Example:
      ablate run studies/schedules.yaml
      ablate report
    """


for function in (
    plan.plan,
    run.run,
    status.status,
    show.show,
    report.report,
    measure.measure,
    claims.claims,
    export.export,
    sql.sql,
    init.init,
    doctor.doctor,
    audit.audit,
    rename_remove.rename,
    rename_remove.remove,
    archive.archive,
):
    app.command()(function)
app.command("import")(archive.import_study)
app.add_typer(cache.app, name="cache")
app.add_typer(data.app, name="data")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with an exit code of [`ExitCode`][ablate.errors.ExitCode]."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="replace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="ablate")
    except AblateError as error:
        show_error(error, console(lasting(sys.stderr)))
        sys.exit(int(error.exit_code))
    except Exception:
        sys.excepthook = report_bug  # Typer has put its own in the place of it
        raise
