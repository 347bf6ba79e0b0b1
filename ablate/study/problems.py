"""Where something stands in a study file, and the list of everything found wrong there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from ablate.errors import Problem

_SHORT_LIST = 20
"""Known words that are listed beside the nearest one; the paragraph of a longer list would hide it."""


@dataclass(frozen=True, eq=False)
class Source:
    """A text that positions point into: the study file, or one override."""

    file: str
    lines: tuple[str, ...] = ()

    def line(self, number: int) -> str:
        """The text of line `number` (1-based), empty when there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


@dataclass(frozen=True)
class Mark:
    """A piece of one line of a source; `line` and `column` are 1-based, line 0 means the source as a whole."""

    source: Source
    line: int = 0
    column: int = 0
    length: int = 1

    def __str__(self) -> str:
        return f"{self.source.file}:{self.line}:{self.column}" if self.line else self.source.file


class BadValueError(Exception):
    """A value that cannot be read; whoever knows where it stands turns it into a `Problem`.

    `mark` is the place of a part of the value, where only that part is wrong.
    """

    def __init__(
        self, message: str, *, suggestion: str | None = None, note: str | None = None, mark: Mark | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.note = note
        self.mark = mark


@dataclass
class Problems:
    """Collects errors and warnings, so that a reader sees all of them at once."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, mark: Mark, message: str, *, suggestion: str | None = None, note: str | None = None) -> None:
        """Record an error at `mark`."""
        self.errors.append(_problem(mark, message, suggestion, note, warning=False))

    def warn(self, mark: Mark, message: str, *, suggestion: str | None = None, note: str | None = None) -> None:
        """Record a warning at `mark`."""
        self.warnings.append(_problem(mark, message, suggestion, note, warning=True))

    def bad(self, mark: Mark, value: BadValueError, *, subject: str = "") -> None:
        """Record `value` as an error at `mark`, or where it says itself; `subject` says what the value is of."""
        message = f"{subject}: {value.message}" if subject else value.message
        self.error(value.mark or mark, message, suggestion=value.suggestion, note=value.note)

    def unknown(self, mark: Mark, what: str, word: str, known: Iterable[str]) -> None:
        """Record an unknown `word` with the nearest known one, or (also) the list of all where that is short."""
        words = tuple(known)
        near = did_you_mean(word, words)
        note = known_words(words) if near is None or len(words) <= _SHORT_LIST else None
        self.error(mark, f"unknown {what} {word!r}", suggestion=near, note=note)


def _problem(mark: Mark, message: str, suggestion: str | None, note: str | None, *, warning: bool) -> Problem:
    return Problem(
        message=message,
        file=mark.source.file,
        line=mark.line,
        column=mark.column,
        length=mark.length,
        source_line=mark.source.line(mark.line),
        suggestion=suggestion,
        note=note,
        severity="warning" if warning else "error",
    )


def in_file_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sort by line and column; what stands outside the study file (``--set``) comes after it."""
    return tuple(sorted(problems, key=lambda problem: (problem.file.startswith("--"), problem.line, problem.column)))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word` (case and ``-``/``_`` do not matter), or None when none is close."""
    plain = {_plain(name): name for name in known}
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def _plain(word: str) -> str:
    # Only the beginning counts: difflib is quadratic, and no known word is that long.
    return word[:80].casefold().replace("-", "_").replace(" ", "_")


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return ``did you mean 'x'?`` for the nearest known word, or None."""
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close is not None else None


def known_words(words: Iterable[str]) -> str:
    """Return the line that lists what would have been accepted."""
    return f"known: {', '.join(words) or 'none'}"
