"""The page on commands: the help of every command, and the exit codes."""

from __future__ import annotations

from typing import Any

import typer
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.cli.reference.markdown import head, table
from ablate.errors import ExitCode

WIDTH = 80
"""Columns of the help texts."""

_INTRO = """
Results go to stdout, everything else (progress, warnings, errors) to stderr.
On a terminal `ablate run` shows a picture that redraws itself; elsewhere, and with `--plain`, one line per event.
With `--json` there is one JSON object per line on stdout, each with `event` and `schema_version`.
Colour follows `NO_COLOR`, `FORCE_COLOR` and `--no-color`; nothing is said by colour alone.
"""

_MEANINGS = {
    ExitCode.DONE: "everything asked for is done; diverged arms are results, not failures",
    ExitCode.BUG: "a bug in ablate; the file with the traceback is named",
    ExitCode.USAGE: "a wrong command line, study file, results folder or storage; nothing was started",
    ExitCode.INCOMPLETE: "finished, but some trials failed; the same command tries them again",
    ExitCode.NOTHING_COMPARABLE: "no verdict is possible: the baseline is missing or diverged, or nothing is measured",
    ExitCode.GATE: "an arm has a verdict that `--fail-on` names",
    ExitCode.UNSOUND: "`ablate audit` found an inconsistency",
    ExitCode.OUTAGE: "a database or cluster does not answer (in a run: for `--max-outage`); the same command resumes",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C; the same command resumes it",
    ExitCode.TERMINATED: "stopped by SIGTERM or SIGHUP; the same command resumes it",
}


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command, the program itself first."""
    found: list[tuple[str, ...]] = [()]
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        words, group = waiting.pop(0)
        for name, command in getattr(group, "commands", {}).items():
            found.append((*words, name))
            waiting.append(((*words, name), command))
    return found


def help_of(words: tuple[str, ...]) -> str:
    """Return the help text of a command, `WIDTH` columns wide whatever the terminal."""
    runner = CliRunner(env={"COLUMNS": str(WIDTH), "NO_COLOR": "1"})
    return runner.invoke(app, [*words, "--help"], prog_name="ablate").output.rstrip()


def page() -> str:
    """Return docs/reference/cli.md."""
    codes = table(("exit code", "meaning"), [(str(int(one)), text) for one, text in _MEANINGS.items()], align="rl")
    sections = [f"\n## {' '.join(('ablate', *words))}\n\n```text\n{help_of(words)}\n```\n" for words in commands()]
    return f"{head('Commands', _INTRO)}\n## Exit codes\n\n{codes}{''.join(sections)}"
