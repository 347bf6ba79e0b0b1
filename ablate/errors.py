"""Errors that users see: what happened, where, and what to do about it.

Every expected failure is an [`AblateError`][] with an exit code. The command line prints the message and the hint
and leaves with that code; only an unexpected exception (a bug, exit code 1) ever shows a traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class ExitCode(IntEnum):
    """What the process returns. Appended to, never renumbered."""

    DONE = 0
    """Everything asked for is done. Diverged arms are results, not failures."""
    BUG = 1
    """An unexpected exception: a bug in ablate."""
    USAGE = 2
    """A wrong command line, study file, results folder or storage; nothing was started."""
    INCOMPLETE = 3
    """Finished, but some trials failed for infrastructure reasons; run the same command again to continue."""
    NOTHING_COMPARABLE = 4
    """No verdict is possible: the baseline is missing or diverged, or nothing has been measured."""
    GATE = 5
    """A ``--fail-on`` gate was hit."""
    UNSOUND = 6
    """`ablate audit` found an inconsistency."""
    OUTAGE = 7
    """A database or a cluster was away for longer than ``--max-outage``; state is saved, the same command resumes."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C; state is saved."""
    TERMINATED = 143
    """Stopped by SIGTERM or SIGHUP; state is saved."""


class AblateError(Exception):
    """An expected failure with one clear message."""

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class CompileError(AblateError):
    """A program could not be compiled: the run ends, and no trial counts as failed."""


@dataclass(frozen=True)
class Problem:
    """One error or warning in a study file, with its position.

    `line` and `column` are 1-based; `length` is how many characters the caret line underlines.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    length: int = 1
    source_line: str = ""
    suggestion: str | None = None
    """Printed behind the carets, for example ``did you mean 'noise_schedule'?``."""
    note: str | None = None
    """Printed below, for example ``known: lr, batch_size``."""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.message}{f' ({self.suggestion})' if self.suggestion else ''}"


class StudyFileError(AblateError):
    """A study file (or an override of it) that cannot be run: every problem found, in one pass."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{len(problems)} error{'s' * (len(problems) != 1)}, nothing was started")
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join((self.message, *map(str, self.problems)))


class TableError(AblateError):
    """An ambiguous table of results: every problem with its line, in one pass."""

    def __init__(self, problems: tuple[Problem, ...], *, more: int = 0) -> None:
        count = len(problems) + more
        super().__init__(f"{count} error{'s' * (count != 1)}, nothing was written")
        self.problems = problems
        """The first of them."""
        self.more = more

    def __str__(self) -> str:
        return "\n".join((self.message, *map(str, self.problems)))


class StudyLockedError(AblateError):
    """Another process is running this study."""


class StorageError(AblateError):
    """The Optuna storage cannot be opened, is not ours, is corrupt or cannot be written."""


class UnavailableError(StorageError):
    """The storage does not answer now, or another program holds it: trying again may help.

    `there` is True when it was reached, so that it is certain to exist: it starts up, is full, is locked.
    """

    exit_code = ExitCode.OUTAGE

    def __init__(self, message: str, *, hint: str | None = None, there: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.there = there


MAX_OUTAGE_S = 3600.0
"""How long a database or a cluster may be away during a run, in seconds, when nobody says another time."""


class OutageError(AblateError):
    """A database or a cluster that a run needs was away for too long. Nothing is lost; the same command resumes."""

    exit_code = ExitCode.OUTAGE


class ResultsError(AblateError):
    """The results folder cannot be written, is full, or holds something else."""


class DataError(AblateError):
    """A data set is missing, corrupt or cannot be reached. Data is never substituted."""


class StudyChangedError(AblateError):
    """The study file does not match the stored study (changed baseline, changed metric direction)."""


class NothingComparableError(AblateError):
    """There is nothing to compare: no baseline, or nothing measured."""

    exit_code = ExitCode.NOTHING_COMPARABLE


class DamagedError(ValueError):
    """Something that was read back is not what ablate writes; the message says which part of it.

    Whoever knows where it was read makes an AblateError of it.
    """


class CoreError(AblateError, ValueError):
    """A core that does not keep to its interface: its trial ends as failed, with this sentence, and is not retried."""


class StoppedError(Exception):
    """Raised by a core after it saved its checkpoint because `TrialContext.stop_requested` was true. Not a failure."""


class DivergedError(Exception):
    """Raised by a core at the first non-finite loss or metric. Divergence is an outcome, not a failure.

    `images_seen` counts training images up to and including the batch that gave the non-finite value.
    """

    def __init__(self, message: str, *, images_seen: int = 0) -> None:
        super().__init__(message)
        self.images_seen = images_seen
