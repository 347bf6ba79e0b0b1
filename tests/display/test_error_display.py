"""Errors look the same everywhere, letter by letter."""

from __future__ import annotations

import io

from rich.console import Console

from ablate.display.error_display import problem_text, show_error
from ablate.errors import AblateError, Problem, StudyFileError


def shown(error: AblateError, width: int = 80) -> str:
    stream = io.StringIO()
    show_error(error, Console(file=stream, width=width, markup=False, highlight=False))
    return stream.getvalue()


def test_a_plain_error_has_a_message_and_a_hint() -> None:
    expected = "error: no study 'x'\n\nhint: stored: a, b\n"
    assert shown(AblateError("no study 'x'", hint="stored: a, b")) == expected


def test_an_error_without_hint_is_one_line() -> None:
    assert shown(AblateError("odd [bold]text[/bold]")) == "error: odd [bold]text[/bold]\n"


def test_long_messages_are_not_broken_by_us() -> None:
    """A terminal wraps by itself; a path that we broke could not be copied."""
    assert shown(AblateError("x" * 200), width=40) == f"error: {'x' * 200}\n"


def test_study_file_problems_point_at_the_source() -> None:
    unknown = Problem(
        message="unknown factor 'shedule'",
        file="studies/schedules.yaml",
        line=6,
        column=3,
        length=7,
        source_line="  shedule: [cosine, exponential]",
        suggestion="did you mean 'schedule'?",
        note="known: lr, schedule, batch_size, epochs, dip_epochs, dip_learning_rate, dip_depth",
    )
    doubtful = Problem(
        message="no margin for metric ssim: 'equivalent' will not be available",
        file="studies/schedules.yaml",
        line=122,
        column=5,
        length=4,
        source_line="    ssim: {}",
        severity="warning",
    )
    override = Problem(message="'x' is not a number", file="--set lr=x", suggestion="a number above 0")
    expected = """\
error: unknown factor 'shedule'
  --> studies/schedules.yaml:6:3
   |
 6 |   shedule: [cosine, exponential]
   |   ^^^^^^^ did you mean 'schedule'?
   |
   = known: lr, schedule, batch_size, epochs, dip_epochs, dip_learning_rate,
     dip_depth

warning: no margin for metric ssim: 'equivalent' will not be available
    --> studies/schedules.yaml:122:5
     |
 122 |     ssim: {}
     |     ^^^^

error: 'x' is not a number
  --> --set lr=x
   = a number above 0

2 errors, 1 warning, nothing was started
"""
    assert shown(StudyFileError((unknown, doubtful, override))) == expected


def test_carets_stand_below_wide_characters() -> None:
    problem = Problem("odd", "a.yaml", line=1, column=5, length=2, source_line="日本: xy")
    lines = problem_text(problem, 80).plain.splitlines()
    assert lines[3:5] == [" 1 | 日本: xy", "   |       ^^"]


def test_a_tab_is_one_column_wide() -> None:
    problem = Problem("odd", "a.yaml", line=1, column=2, length=1, source_line="\tx")
    assert problem_text(problem, 80).plain.splitlines()[3:5] == [" 1 |  x", "   |  ^"]


def test_escape_sequences_of_a_study_file_are_shown_not_obeyed() -> None:
    problem = Problem("odd \x1b[31m", "a.yaml", line=1, column=1, source_line="\x1b[2J: 1")
    assert "\x1b" not in problem_text(problem, 80).plain
