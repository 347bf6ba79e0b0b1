"""How errors look: what happened, where it stands, and what to do, without colour being needed to understand it."""

from __future__ import annotations

import sys
import tempfile
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ablate.errors import AblateError, Problem, StudyFileError, TableError
from ablate.human_units import plural, visible
from ablate.storage.address import without_password

_STYLES = {"error": "bold red", "warning": "bold yellow"}


def show_error(error: AblateError, console: Console) -> None:
    """Print an expected failure: ``error: message``, a blank line, ``hint: what to do``."""
    if isinstance(error, StudyFileError):
        show_problems(error.problems, console)
        console.print(Text(count_of(error.problems) + ", nothing was started"))
        return
    if isinstance(error, TableError):
        show_problems(error.problems, console)
        console.print(Text(error.message))
        return
    console.print(Text.assemble(("error", "bold red"), f": {_multiline(error.message)}"), soft_wrap=True)
    if error.hint:
        console.print()
        console.print(Text.assemble(("hint", "bold cyan"), f": {_multiline(error.hint)}"), soft_wrap=True)


def show_problems(problems: Sequence[Problem], console: Console) -> None:
    """Print each problem with its place, source line, carets and note."""
    for problem in problems:
        console.print(problem_text(problem, console.width), soft_wrap=True)


def count_of(problems: Sequence[Problem]) -> str:
    """Return ``2 errors, 1 warning``."""
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    return ", ".join(plural(count, word) for count, word in ((errors, "error"), (warnings, "warning")) if count)


def problem_text(problem: Problem, width: int) -> Text:
    """Return one problem as printed: the message line, then what is known of where and why."""
    style = _STYLES[problem.severity]
    gutter = " " * (max(1, len(str(problem.line))) + 2)
    text = Text.assemble((problem.severity, style), (f": {visible(problem.message)}\n", "bold"))
    if problem.file:
        text.append(f"{gutter[1:]}--> {place(problem)}\n", "blue")
    if problem.line and problem.source_line:
        text.append_text(_source(problem, gutter, style))
    elif problem.suggestion:
        text.append(f"{gutter}= {visible(problem.suggestion)}\n")
    if problem.note:
        text.append_text(_note(problem.note, gutter, width))
    return text


def place(problem: Problem) -> str:
    """Return ``file:line:column`` as far as it is known."""
    return visible(problem.file) + (f":{problem.line}:{problem.column}" if problem.line else "")


def _source(problem: Problem, gutter: str, style: str) -> Text:
    """The source line with its number, and carets under what is meant."""
    line = visible(problem.source_line.replace("\t", " "))
    before = cell_len(line[: problem.column - 1])
    carets = "^" * max(1, cell_len(line[problem.column - 1 : problem.column - 1 + problem.length]))
    suggestion = f" {visible(problem.suggestion)}" if problem.suggestion else ""
    return Text.assemble(
        (f"{gutter}|\n", "blue"),
        (f" {problem.line} | ", "blue"),
        f"{line}\n",
        (f"{gutter}| ", "blue"),
        " " * before,
        (carets + suggestion, style),
        "\n",
    )


def _note(note: str, gutter: str, width: int) -> Text:
    """The note below, wrapped with its continuation under its own text."""
    lead = f"{gutter}= "
    body = textwrap.fill(
        visible(note),
        max(40, width),
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return Text.assemble((f"{gutter}|\n", "blue"), body, "\n")


def _multiline(text: str) -> str:
    """Keep line breaks of a message, make everything else printable; no URL keeps its password."""
    return "\n".join(visible(line) for line in without_password(text).splitlines())


def report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say that ablate has a bug and where the traceback is (installed as ``sys.excepthook``; Python then exits 1)."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    whole = without_password("".join(traceback.format_exception(kind, error, trace)))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="ablate-", suffix=".log", delete=False, encoding="utf-8") as log:
            log.write(f"{' '.join(map(without_password, sys.argv))}\n\n{whole}")
            where = f"traceback: {Path(log.name)}"
    except OSError:
        where = whole
    summary = without_password("".join(traceback.format_exception_only(kind, error)).strip())
    sys.stderr.write(f"error: a bug in ablate: {summary}\n\nhint: please report it with the file below\n{where}\n")
