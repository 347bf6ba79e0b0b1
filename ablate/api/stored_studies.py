"""What is stored, as the reading commands need it. Nothing here writes, and nothing makes a missing database."""

from __future__ import annotations

import difflib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ablate.api.stored_commands import run_command, stored_words
from ablate.errors import AblateError, DamagedError, StorageError, UnavailableError
from ablate.outcome import OutcomeKind
from ablate.paths import ResultsPaths, StudyPaths
from ablate.storage import read
from ablate.storage.address import shown, sqlite_path
from ablate.storage.commands import command_at, without
from ablate.storage.rows import TrialRow
from ablate.study.spec import Study

PLAN_ATTRIBUTE = "ablate.plan"
"""Study attribute that holds `Study.to_dict` as JSON text."""
COMMAND_ATTRIBUTE = "ablate.command"
"""Study attribute that holds the command line of the last run."""


@dataclass(frozen=True)
class StoredStudy:
    """One study as the storage has it."""

    study: Study
    rows: tuple[TrialRow, ...]
    paths: StudyPaths
    url: str
    command: str = ""
    """The command line of the last run as it is typed from here, empty where nobody knows."""
    attributes: Mapping[str, object] = field(default_factory=dict)
    """Of the study, as stored."""

    @property
    def place(self) -> ResultsLocation:
        """Where it is."""
        return ResultsLocation(ResultsPaths(self.paths.folder.parent), self.url)


@dataclass(frozen=True)
class Unread:
    """A study that is stored and cannot be read."""

    name: str
    error: StorageError

    @property
    def state(self) -> str:
        """What is wrong with it, in one word."""
        return "damaged" if isinstance(self.error.__cause__, ValueError) else "unreadable"


@dataclass(frozen=True)
class ResultsLocation:
    """Where results are: a folder and a storage."""

    results: ResultsPaths
    url: str

    @classmethod
    def of(cls, results: Path, storage: str | None) -> ResultsLocation:
        """The place that ``--results`` and ``--storage`` name."""
        paths = ResultsPaths(results)
        return cls(paths, storage or paths.default_storage)

    @property
    def database(self) -> Path | None:
        """The SQLite file behind the storage, None for a database server."""
        return sqlite_path(self.url)

    def command(self, *words: str) -> str:
        """The words of a command as one line that goes to this place; see `command_at`."""
        return command_at(words, self.results.folder, self.url)

    def study(self, name: str, depth: read.Depth = "whole") -> StoredStudy:
        """One study and its trials; an AblateError with the nearest names when there is none of that name.

        `depth` says how much of every trial is read.
        """
        from ablate.study.stored_plan import study_of_text  # only here: it needs pydantic, and help does not

        row, trials = read.read_study(self.url, name, depth)
        text = row.attributes.get(PLAN_ATTRIBUTE)
        if not isinstance(text, str):
            raise StorageError(f"study {name!r} in {shown(self.url)} holds no plan", hint="run it again: ablate run")
        try:
            study = study_of_text(text)
        except DamagedError as error:
            raise StorageError(
                f"the plan of study {name!r} in {shown(self.url)} is damaged or was written by another version of "
                f"ablate: {error}",
                hint="read it with that version, or run the study again under another --name",
            ) from error
        words = stored_words(str(row.attributes.get(COMMAND_ATTRIBUTE, "")))
        command = self.command(*words) if words else ""
        return StoredStudy(study, tuple(trials), self.results.study(name), self.url, command, row.attributes)

    def find(self, study: str | None, depth: read.Depth = "whole") -> tuple[list[StoredStudy], list[Unread]]:
        """The study called `study` (a name or the path of its file), or all of ablate's when None.

        One of several that is damaged hides no other: it comes back as the second of the pair. An AblateError where
        there is none, and for the only one that there is.
        """
        if study is not None:
            return [self.study(name_of(study), depth)], []
        found, unread = self.find_any(depth)
        if not (found or unread):
            raise read.no_study(self.url)
        if len(unread) == 1 and not found:
            raise unread[0].error
        return found, unread

    def find_any(self, depth: read.Depth = "whole") -> tuple[list[StoredStudy], list[Unread]]:
        """All of ablate's studies, of which there may be none, and those that cannot be read."""
        found, unread = [], []
        for name in read.study_names(self.url):
            try:
                found.append(self.study(name, depth))
            except UnavailableError:
                raise
            except StorageError as error:
                unread.append(Unread(name, error))
        return found, unread

    def known(self, name: str, depth: read.Depth = "whole") -> StoredStudy | None:
        """The study called `name`, or None when it was never run here."""
        if self.database is not None and not self.database.exists():
            return None
        return self.study(name, depth) if name in read.study_names(self.url) else None


def base_command(stored: StoredStudy) -> str:
    """The command line of the last run without what said how far it goes: the study as it is meant.

    It keeps ``--set`` and ``--name``, without which a study would be taken for a changed one, and goes to its place.
    """
    words = without(shlex.split(stored.command or run_command("", stored.study)), *_HOW_FAR)
    return stored.place.command(*words) if stored.url else shlex.join(words)


_HOW_FAR = ("--arms", "--seeds", "--seed-range", "--add-seeds", "--until")


def seeds_asked(stored: StoredStudy) -> dict[str, int]:
    """Arm -> seeds that the last run was asked for with ``--seeds``, which may be more than are declared."""
    from ablate.study.plan import replicates  # only here: it needs pydantic, and help does not

    words = shlex.split(stored.command)
    values = {option: [after for word, after in pairwise(words) if word == option] for option in ("--seeds", "--arms")}
    if not values["--seeds"] or not values["--seeds"][-1].isdecimal():
        return {}
    try:
        return Counter(
            one.arm for one in replicates(stored.study, seeds=int(values["--seeds"][-1]), arms=values["--arms"])
        )
    except AblateError:  # The command is from another state of the study, in which its arms had other names.
        return {}


def name_of(study: str) -> str:
    """The name a study goes by: itself, or the stem of its file."""
    return Path(study).stem if study.endswith((".yaml", ".yml")) else study


def latest(rows: Sequence[TrialRow]) -> dict[tuple[str, int], TrialRow]:
    """Per (arm, seed) the trial that counts: its result if it has one, else the last try."""
    found: dict[tuple[str, int], TrialRow] = {}
    for row in sorted(rows, key=lambda row: row.number):
        known = found.get((row.arm, row.seed))
        if known is None or known.outcome is None or not known.outcome.is_result:
            found[(row.arm, row.seed)] = row
    return found


def outcome_kinds(rows: Sequence[TrialRow]) -> dict[tuple[str, int], OutcomeKind]:
    """Per (arm, seed) how it ended, as far as it did."""
    return {key: row.outcome for key, row in latest(rows).items() if row.outcome is not None}


def unknown_arm(word: str, study: Study) -> AblateError:
    """The error for an arm that a study does not have, with the nearest names."""
    names = [arm.name for arm in study.arms]
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.4)
    hint = f"did you mean {close[0]!r}?" if close else f"arms: {', '.join(names)}"
    return AblateError(f"no arm or trial {word!r} in study {study.name!r}", hint=hint)
