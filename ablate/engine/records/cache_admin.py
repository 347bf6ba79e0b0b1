"""The stage cache seen from outside: how large it is, which studies ask for what, and what can go."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.core.shared.registry import BUILT_IN, core_class
from ablate.engine.records.folders import cannot_write
from ablate.engine.records.lock import StudyLock
from ablate.paths import ResultsPaths, StudyPaths
from ablate.storage.attributes import STAGES
from ablate.storage.rows import TrialRow
from ablate.study.spec import Study

CALIBRATION = "calibration"
"""Stage name of the small records that say which programs pay here."""
_LEAVING = ".leaving-"
"""Prefix of an entry that is being deleted: no stage's digest begins so."""


@dataclass(frozen=True)
class Entry:
    """The folder of one stage."""

    digest: str
    folder: Path
    stage: str
    """Name of the stage; empty while its first computation goes on."""
    bytes: int
    used_at: float
    """When a file of it was last written, in seconds since 1970."""
    studies: tuple[str, ...] = ()
    """Studies with a trial that asks for this stage."""


def entries(results: ResultsPaths, users: Mapping[str, Collection[str]]) -> list[Entry]:
    """Return what the cache holds, latest first. `users` maps a stage's digest to the studies that ask for it."""
    if not results.cache.is_dir():
        return []
    folders = [path for path in results.cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [_entry(folder, tuple(sorted(users.get(folder.name, ())))) for folder in folders]
    return sorted(found, key=lambda entry: (-entry.used_at, entry.digest))


def _entry(folder: Path, studies: tuple[str, ...]) -> Entry:
    stats = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # replaced by a newer one just now
            stats.append(path.stat())
    try:
        stage = str(json.loads((folder / "meta.json").read_text(encoding="utf-8"))["stage"])
    except (OSError, ValueError, KeyError, TypeError):
        stage = ""
    used_at = max((stat.st_mtime for stat in stats), default=folder.stat().st_mtime)
    return Entry(folder.name, folder, stage, sum(stat.st_size for stat in stats), used_at, studies)


def asked_for(study: Study, rows: Sequence[TrialRow]) -> Iterator[str]:
    """Yield the digests of the stages that a stored study asks for; no code of a user's own core is run.

    Those of a built-in core are computed, also for declared seeds that nobody has run yet. Those of a user's own core
    were stored when its trials began; raises UnknownStagesError for trials of an earlier ablate, which stored none.
    """
    if study.core not in BUILT_IN:
        for row in rows:
            kept = row.attributes.get(STAGES)
            if not isinstance(kept, list):
                raise UnknownStagesError(study.name)
            yield from map(str, kept)
        return
    core = core_class(study.core)
    for arm in study.arms:
        for seed in {row.seed for row in rows} | set(study.seed_range(study.looks[-1])):
            for stage in core.stages(study.recipe(arm, seed)):
                yield stage.digest


class UnknownStagesError(Exception):
    """Nobody can say which stages a study asks for."""


def choose(
    found: Sequence[Entry],
    *,
    unused: bool = False,
    older_than_s: float | None = None,
    max_bytes: int | None = None,
    now: float | None = None,
) -> list[Entry]:
    """Return the entries to delete: those no study asks for, those not written for so long, then the oldest of what
    is left until the rest fits into `max_bytes`. Calibrations stay: how a study is computed must not change on the way.
    """
    now = time.time() if now is None else now
    found = [entry for entry in found if entry.stage != CALIBRATION]
    gone = [
        entry
        for entry in found
        if (unused and not entry.studies) or (older_than_s is not None and now - entry.used_at > older_than_s)
    ]
    kept = [entry for entry in found if entry not in gone]
    total = sum(entry.bytes for entry in kept)
    for entry in sorted(kept, key=lambda entry: entry.used_at):
        if max_bytes is None or total <= max_bytes:
            break
        gone.append(entry)
        total -= entry.bytes
    return gone


def delete(chosen: Iterable[Entry]) -> None:
    """Delete entries; each disappears at once. Call it inside `nobody_runs`. Raises ResultsError."""
    for entry in chosen:
        leaving = entry.folder.with_name(f"{_LEAVING}{entry.digest}")
        try:
            entry.folder.rename(leaving)
            shutil.rmtree(leaving)
        except OSError as error:
            raise cannot_write(entry.folder, error) from error


def sweep(results: ResultsPaths) -> None:
    """Delete what an interrupted `delete` left."""
    for path in results.cache.glob(f"{_LEAVING}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def nobody_runs(results: ResultsPaths, watch: str) -> Iterator[None]:
    """Hold the lock of every study in the results folder; raises StudyLockedError when one is being run.

    `watch` is the command that shows such a run.
    """
    with contextlib.ExitStack() as held:
        for lock in sorted(results.folder.glob("*/.lock")):
            held.enter_context(StudyLock(StudyPaths(lock.parent).lock, watch))
        yield
