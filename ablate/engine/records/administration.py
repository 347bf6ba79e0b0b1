"""A study's life after its runs: another name, its end, and results that come from another machine.

Everything here holds the study's lock, so that nothing happens to a study that is being run, and is done in an order
in which an interruption leaves something that the same command completes.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.engine.records.archive import Archive
from ablate.engine.records.folders import cannot_write, make_folders, write_study, writing
from ablate.engine.records.lock import StudyLock
from ablate.engine.records.study_attributes import study_attributes
from ablate.engine.rules.events_actions import Key
from ablate.errors import AblateError, ResultsError
from ablate.paths import ResultsPaths, StudyPaths, folder_name, is_study_name, sync_folder
from ablate.search import second_objective
from ablate.storage.artifacts import keep
from ablate.storage.commands import command_at
from ablate.storage.levels import ParamKind
from ablate.storage.rows import MixedTexts, TrialRow, core_versions, mixed_texts
from ablate.storage.store import Store
from ablate.storage.studies import remove_study, rename_study
from ablate.study.changes import check_against_stored, with_seeds_of
from ablate.study.core_facts import CoreFacts
from ablate.study.import_differences import ImportDifference, differences_of, with_differences
from ablate.study.spec import Study


def check_name(name: str) -> None:
    """Raise AblateError for a name that no study can have."""
    if not is_study_name(name):
        raise AblateError(
            f"{name!r} cannot be a study's name",
            hint="use up to 100 letters, digits and ' _.+-', beginning with a letter or digit",
        )


def rename(results: ResultsPaths, url: str, study: Study, new_name: str, command: str) -> StudyPaths:
    """Give a study another name, in the storage and as a folder; return its new paths.

    `command` is what runs it under its new name. The folder is moved first: the same command, typed again after an
    interruption, finds it moved and goes on.
    """
    check_name(new_name)
    results = ResultsPaths(results.folder.absolute())
    before, after = results.study(study.name), results.study(new_name)
    moved = not before.folder.exists() and _belongs_to(after, study.name)
    if after.folder.exists() and not moved:
        raise ResultsError(f"{after.folder} already exists", hint="choose another name, or move that folder away")
    renamed = replace(study, name=new_name)
    with writing(results.folder):
        here = after if moved else before
        here.folder.mkdir(parents=True, exist_ok=True)
        with StudyLock(here.lock, _watch(results, url)):
            if not moved:
                before.folder.rename(after.folder)
                sync_folder(results.folder)
            attributes = study_attributes(renamed, command)
            kept = {name: attributes[name] for name in ("ablate.plan", "ablate.command")}
            old, new = str(before.folder), str(after.folder)
            rename_study(url, study.name, new_name, attributes=kept, folder=old, new_folder=new)
            write_study(after, renamed)
    return after


def _watch(results: ResultsPaths, url: str) -> str:
    """The command that shows a run which holds a study's lock."""
    return command_at(("ablate", "status"), results.folder, url)


def _belongs_to(paths: StudyPaths, name: str) -> bool:
    """True when the folder was made for the study `name`."""
    try:
        return bool(json.loads(paths.plan.read_text(encoding="utf-8"))["name"] == name)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def remove(results: ResultsPaths, url: str, name: str, *, keep_files: bool = False) -> int:
    """Remove a study from the storage, then its folder; return how many trials it had.

    The stage cache is shared with other studies and stays (`ablate cache` prunes it). The folder goes last: the same
    command, typed again after an interruption, no longer finds the study, but `remove_folder` its folder.
    """
    paths = results.study(name)
    with writing(results.folder):
        paths.folder.mkdir(parents=True, exist_ok=True)
        with StudyLock(paths.lock, _watch(results, url)):
            removed = remove_study(url, name)
            for identity in removed.artifacts:
                (results.artifacts / identity).unlink(missing_ok=True)
            if not keep_files:
                remove_folder(paths)
    return removed.trials


def remove_folder(paths: StudyPaths) -> None:
    """Delete a study's folder; raises ResultsError when something in it cannot be deleted."""
    try:
        shutil.rmtree(paths.folder)
    except OSError as error:
        raise cannot_write(paths.folder, error) from error


@dataclass(frozen=True)
class Imported:
    """What an import brought."""

    study: str
    added: int
    """Trials that are in the storage now and were not before."""
    known: int
    """Trials that had been imported, or run here, already."""
    answered: int
    """Results left out because their replicate has a result here."""
    differing: tuple[Key, ...]
    """Of those, the replicates whose metrics differ from what is here."""
    arms: tuple[str, ...]
    """Arms that the study did not have here."""
    versions: Mapping[str, Mapping[str, Sequence[int]]]
    """Version of the core -> arm -> seeds of the results that are here now."""
    texts: MixedTexts
    """The same for files and functions of which there are several texts, see `mixed_texts`."""


def bring_in(
    archive: Archive,
    study: Study,
    stored: Study | None,
    rows_here: Sequence[TrialRow],
    *,
    results: ResultsPaths,
    url: str,
    kinds: Mapping[str, ParamKind],
    command: str,
) -> Imported:
    """Add the trials of `archive`, as trials of `study`, to what is stored under that name (`stored`, or nothing).

    A replicate that has a result here keeps it. Bringing in the same archive twice adds nothing. The files come before
    the storage: after an interruption the same command, or a run, takes them up. Raises StudyChangedError when the
    archive's study is not the stored one.
    """
    check_name(study.name)
    merged = study if stored is None else merge(stored, study)
    chosen = _choose(archive, merged, rows_here)
    differing = [*differences_of(archive.attributes), *chosen.differing]
    results = ResultsPaths(results.folder.absolute())
    paths = results.study(study.name)
    make_folders(results, paths)
    attributes = study_attributes(merged, command) | dict(archive.attributes)
    with (
        StudyLock(paths.lock, _watch(results, url)),
        writing(paths.folder),
        Store.open(
            url,
            merged.name,
            kinds=kinds,
            primary=merged.primary.name,
            direction=merged.primary.direction,
            attributes=attributes,
            second=second_objective(merged.searches),
            ranges=[one for search in merged.searches for one in search.ranges],
        ) as store,
    ):
        _unpack(archive, paths, chosen.new, everything=stored is None)
        write_study(paths, merged)
        pictures = [keep(paths.trial(row.arm, row.seed).pictures(), results.artifacts) for row in chosen.new]
        store.adopt([_at_home(row, paths, archive) for row in chosen.new], pictures)
        if stored is not None:
            plan = {name: attributes[name] for name in ("ablate.plan", "ablate.looks")}
            store.set_attributes(plan | with_differences(store.attributes(), differing))
        rows = store.rows()
        versions, texts = core_versions(rows), mixed_texts(rows)
    fresh = tuple(arm.name for arm in merged.arms if stored is None or arm.name not in {a.name for a in stored.arms})
    keys = tuple((one.arm, one.seed) for one in chosen.differing)
    return Imported(study.name, len(chosen.new), chosen.known, len(chosen.answered), keys, fresh, versions, texts)


def merge(stored: Study, other: Study) -> Study:
    """Return `stored` with the arms, seeds, factors and metrics of `other` that it lacks.

    Raises StudyChangedError.
    """
    check_against_stored(stored, other)
    arms = {arm.name for arm in stored.arms}
    metrics = {metric.name for metric in stored.metrics}
    more = (replace(metric, primary=False) for metric in other.metrics if metric.name not in metrics)
    return replace(
        with_seeds_of(stored, other),
        arms=(*stored.arms, *(arm for arm in other.arms if arm.name not in arms)),
        factors=tuple(dict.fromkeys((*stored.factors, *other.factors))),
        metrics=(*stored.metrics, *more),
    )


@dataclass(frozen=True)
class _Choice:
    new: tuple[TrialRow, ...]
    known: int
    answered: tuple[TrialRow, ...]
    differing: tuple[ImportDifference, ...]


def _choose(archive: Archive, study: Study, here: Sequence[TrialRow]) -> _Choice:
    """Sort the rows of an archive into new ones, known ones, and results of replicates that have one here."""
    known = {_identity(row) for row in here}
    results = {(row.arm, row.seed): row for row in here if row.outcome is not None and row.outcome.is_result}
    new, answered, same = [], [], 0
    for row in archive.rows:
        if _identity(row) in known:
            same += 1
        elif row.outcome is not None and row.outcome.is_result and (row.arm, row.seed) in results:
            answered.append(row)
        else:
            new.append(row)
    times = _durations(archive, study)
    pairs = ((results[(row.arm, row.seed)], row) for row in answered)
    differing = (_difference(ours, theirs, archive.path.name, times) for ours, theirs in pairs)
    return _Choice(tuple(new), same, tuple(answered), tuple(one for one in differing if one is not None))


def _durations(archive: Archive, study: Study) -> set[str]:
    """Metrics that are durations: two measurements of one never agree."""
    facts = CoreFacts.stored(archive.attributes)
    known = {metric.name for metric in facts.metrics if metric.is_time} if facts is not None else set()
    return known | {metric.name for metric in study.metrics if metric.unit == "s"}


def _difference(here: TrialRow, there: TrialRow, archive: str, times: Collection[str]) -> ImportDifference | None:
    """Return how two results of one replicate differ; None when they do not, but for durations (`times`)."""
    names = sorted((here.metrics.keys() | there.metrics.keys()) - set(times))
    pairs = {name: (here.metrics.get(name), there.metrics.get(name)) for name in names}
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if not differing and here.outcome is there.outcome:
        return None
    return ImportDifference(archive=archive, arm=here.arm, seed=here.seed, metrics=differing)


def _identity(row: TrialRow) -> tuple[object, ...]:
    """What tells a trial from every other one, on whatever machine it was run."""
    return (row.arm, row.seed, row.recipe_digest, row.outcome, row.started_at)


def _at_home(row: TrialRow, paths: StudyPaths, archive: Archive) -> TrialRow:
    """The row as it is stored here: its log lies in this results folder, and it says where it came from."""
    log = str(paths.trial(row.arm, row.seed).log)
    return replace(row, attributes={**row.attributes, "log": log, "imported_from": archive.path.name})


def _unpack(archive: Archive, paths: StudyPaths, new: Sequence[TrialRow], *, everything: bool) -> None:
    """Put files in place: all of a study that is new here, else the folders of trials that give a new result.

    Everything is unpacked aside first, so that a trial's folder is complete as soon as it is there.
    """
    with tempfile.TemporaryDirectory(prefix=".import-", dir=paths.folder) as aside:
        archive.unpack(Path(aside), below="" if everything else "trials/")
        if everything:
            for path in Path(aside).iterdir():
                if path.name != paths.trials.name:
                    _replace(path, paths.folder / path.name)
        paths.trials.mkdir(exist_ok=True)
        for row in new:
            name = folder_name(row.arm, row.seed)
            packed = Path(aside) / paths.trials.name / name
            if packed.is_dir() and not (paths.trials / name / "outcome.json").exists():
                _replace(packed, paths.trials / name)


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(source, target)
