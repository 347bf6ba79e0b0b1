"""Proof that a study's results are what its plan asked for: each once, whole, and left by nobody else.

Everything is read, nothing is changed, no lock is taken: an audit may look at a study that is being run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.core.shared.cache_names import NAME, is_intact
from ablate.engine.records.folders import DAMAGE
from ablate.engine.records.lock import Holder, read_holder
from ablate.engine.records.stored_outcome import stored_outcome
from ablate.engine.rules.events_actions import Key
from ablate.outcome import Outcome
from ablate.paths import ResultsPaths, StudyPaths, TrialPaths, folder_name
from ablate.recipe import Recipe
from ablate.storage.rows import TrialRow, core_versions, mixed_text, mixed_texts, versions_text
from ablate.study.import_differences import ImportDifference, differences_of
from ablate.study.spec import Study


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it should be."""

    kind: str
    """What kind of thing, as one word for programs."""
    what: str
    """What is wrong, for people."""
    where: str = ""
    """Path, or arm and seed."""
    hint: str = ""


@dataclass
class Audit:
    """What an audit found."""

    study: str
    planned: int = 0
    """Replicates that the study has or shall have."""
    done: int = 0
    """Of these, with exactly one result that holds."""
    files: int = 0
    """Files whose content was compared with what it should be."""
    running: bool = False
    """True when a run of the study goes on."""
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    """What to know, and no fault."""


def audit(
    study: Study,
    rows: Sequence[TrialRow],
    results: ResultsPaths,
    *,
    attributes: Mapping[str, object] | None = None,
    deep: bool = False,
) -> Audit:
    """Compare plan, storage, files and processes of a study; `deep` reads the whole stage cache as well.

    `attributes` are the study's, as stored.
    """
    paths = results.study(study.name)
    holder = read_holder(paths.lock)
    found = Audit(study.name, running=holder is not None and holder.alive is not False)
    keys = planned_keys(study, rows)
    by_key: dict[Key, list[TrialRow]] = defaultdict(list)
    for row in rows:
        by_key[(row.arm, row.seed)].append(row)
    found.planned = len(keys)
    for key in [*keys, *(key for key in by_key if key not in keys)]:
        before = len(found.faults)
        found.faults += _replicate(study, key, by_key[key], paths, found)
        whole = len(found.faults) == before and any(_is_result(row) for row in by_key[key])
        found.done += key in keys and whole
    found.faults += _versions(study, rows)
    found.notes += _texts(study, rows)
    found.faults += [_differing(one) for one in differences_of(attributes or {})]
    found.faults += _processes(paths, holder, rows)
    found.faults += _strangers(paths, {folder_name(*key) for key in {*keys, *by_key}})
    if deep:
        found.faults += _cache(results, found)
    return found


def planned_keys(study: Study, rows: Iterable[TrialRow]) -> dict[Key, None]:
    """Return the replicates of the plan: candidates of searches; every arm with the declared seeds and those on top."""
    candidates = {
        (search.candidate(number), seed): None
        for search in study.searches
        for number in range(search.trials)
        for seed in search.seed_indices
    }
    if study.searches and len(study.arms) == 1:
        return dict(candidates)  # with nothing to compare it with (yet), the baseline is not run
    arms = {arm.name for arm in study.arms}
    declared = {(arm.name, seed): None for seed in study.seed_range() for arm in study.arms}
    return candidates | declared | {(row.arm, row.seed): None for row in rows if row.arm in arms}


_ASIDE = "the next `ablate run` sets it aside"


def _is_result(row: TrialRow) -> bool:
    return row.outcome is not None and row.outcome.is_result


def _replicate(study: Study, key: Key, rows: Sequence[TrialRow], paths: StudyPaths, found: Audit) -> Iterator[Fault]:
    """Compare one replicate's plan, trials and files."""
    name = f"{key[0]}, seed {key[1]}"
    arm = next((arm for arm in study.arms if arm.name == key[0]), None)
    results = [row for row in rows if _is_result(row)]
    running = [row for row in rows if row.state == "RUNNING"]
    if len(running) > 1:
        yield Fault("running-twice", f"{len(running)} of its trials are running", name)
    digest = study.recipe(arm, key[1]).digest if arm is not None else None
    ours = [row for row in results if digest in (None, row.recipe_digest)]
    for row in results:
        if row not in ours:
            yield Fault("other-recipe", f"trial {row.number} is a result of settings that differ from the plan", name)
    if len(ours) > 1:
        numbers = ", ".join(str(row.number) for row in ours)
        yield Fault("double", f"{len(ours)} results, trials {numbers}; expected one", name)
    hints = {
        "recipe": _recipe_hint(known=digest is not None, results=results, ours=ours),
        "outcome": _outcome_hint(rows, digest),
    }
    yield from _files(paths.trial(*key), digest, ours, running=bool(running), found=found, hints=hints)


def _recipe_hint(*, known: bool, results: Sequence[TrialRow], ours: Sequence[TrialRow]) -> str:
    """What the next run does with a damaged recipe."""
    if known and (ours or not results):
        return f"{_ASIDE} and writes it again"
    return "nobody can write it again; the storage has the settings and the result" if results else _ASIDE


def _outcome_hint(rows: Sequence[TrialRow], digest: str | None) -> str:
    """What the next run does with a damaged outcome."""
    if stored_outcome(rows, digest) is not None:
        return f"{_ASIDE} and writes it again from the storage"
    if any(_is_result(row) for row in rows):
        return f"{_ASIDE}; it cannot be written again: the storage has no whole outcome of these settings"
    return f"{_ASIDE}; the storage has no outcome to write it from"


def _files(
    trial: TrialPaths,
    digest: str | None,
    results: Sequence[TrialRow],
    *,
    running: bool,
    found: Audit,
    hints: Mapping[str, str],
) -> Iterator[Fault]:
    """Compare the files of a replicate with its recipe and its stored result."""
    expected = digest or (results[0].recipe_digest if results else None)
    recipe = _read(trial.recipe, Recipe.from_dict, found, hints["recipe"])
    if isinstance(recipe, Fault):
        yield recipe
    elif recipe is not None and expected is not None and recipe.digest != expected:
        yield Fault("recipe", "the recipe differs from the plan", str(trial.recipe))
    elif recipe is None and results:
        yield Fault("recipe", "there is a result but no recipe", str(trial.recipe))
    outcome = _read(trial.outcome, Outcome.from_dict, found, hints["outcome"])
    if isinstance(outcome, Fault):
        yield outcome
    elif outcome is None and results and not running:
        hint = "the storage has the numbers; the file is not written again"
        yield Fault("no-file", f"trial {results[0].number} has a result, but no file", str(trial.outcome), hint)
    elif outcome is not None:
        yield from _outcome(trial, outcome, expected, results, running=running)


def _outcome(
    trial: TrialPaths, outcome: Outcome, expected: str | None, results: Sequence[TrialRow], *, running: bool
) -> Iterator[Fault]:
    where = str(trial.outcome)
    if expected is not None and outcome.recipe_digest != expected:
        yield Fault("outcome", "the outcome belongs to another recipe", where)
    elif not results:
        if outcome.kind.is_result and not running:
            yield Fault("unrecorded", "a result is missing from the storage", where, "the next `ablate run` records it")
    elif outcome.kind is not results[0].outcome:
        stored = results[0].outcome
        yield Fault(
            "outcome", f"the file says {outcome.kind}, trial {results[0].number} in the storage {stored}", where
        )
    elif dict(outcome.metrics) != dict(results[0].metrics):
        names = sorted(dict(outcome.metrics.items() ^ results[0].metrics.items()))
        yield Fault("numbers", f"file and storage differ in {', '.join(names)}", where)
    if outcome.samples and not (trial.folder / outcome.samples).is_file():
        yield Fault("samples", f"the pictures {outcome.samples} are missing", where)


def _read(path: Path, build: Any, found: Audit, hint: str) -> Any:
    """Return what `build` makes of a JSON file: None when there is none, a Fault with `hint` when it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Fault("damaged", f"cannot be read: {error}", str(path))
    except ValueError as error:
        return Fault("damaged", f"is no text: {error}", str(path), hint)
    found.files += 1
    try:
        return build(json.loads(text))
    except DAMAGE as error:
        return Fault("damaged", f"is not what ablate writes: {error}", str(path), hint)


def _versions(study: Study, rows: Sequence[TrialRow]) -> Iterator[Fault]:
    """Results of several versions of the core in one study."""
    versions = core_versions(rows)
    if len(versions) > 1:
        hint = "measure all of it with one version under another --name"
        what = f"its results are of {len(versions)} versions of core {study.core}: {versions_text(versions)}"
        yield Fault("core-versions", what, f"study {study.name}", hint)


def _texts(study: Study, rows: Sequence[TrialRow]) -> Iterator[Fault]:
    """Results of several texts of the user's code: no fault, since another text may do the same."""
    if mixed := mixed_texts(rows):
        hint = "if numbers changed with it: measure all of it again under another --name"
        yield Fault("code-texts", f"its results are of {mixed_text(mixed)}", f"study {study.name}", hint)


def _differing(found: ImportDifference) -> Fault:
    """A result that an import left out although it differs from the one that counts."""
    values = ", ".join(f"{name} {here} here, {there} there" for name, (here, there) in found.metrics.items())
    hint = "each with its own baseline: import that archive under another --name"
    what = f"{found.archive} has another result, which does not count: {values or 'another outcome'}"
    return Fault("import-differs", what, f"{found.arm}, seed {found.seed}", hint)


def _processes(paths: StudyPaths, holder: Holder | None, rows: Sequence[TrialRow]) -> Iterator[Fault]:
    """Trials that nobody runs, and workers that nobody waits for."""
    if holder is not None and holder.alive is not False:
        return
    go_on = "the next `ablate run` settles it"
    for row in rows:
        if row.state == "RUNNING":
            yield Fault(
                "left-running",
                f"trial {row.number} is marked as running, but no run is",
                f"{row.arm}, seed {row.seed}",
                go_on,
            )
    for mark in holder.workers if holder is not None else ():
        yield Fault("orphan-process", f"process {mark.pid} is a worker of a run that has ended", str(paths.lock), go_on)


def _strangers(paths: StudyPaths, known: set[str]) -> Iterator[Fault]:
    """Folders among the trials that belong to no trial."""
    if paths.trials.is_dir():
        for folder in sorted(paths.trials.iterdir()):
            if folder.name not in known:
                yield Fault("orphan-folder", "belongs to no trial of the study", str(folder))


def _cache(results: ResultsPaths, found: Audit) -> Iterator[Fault]:
    """Files of the stage cache whose content is not what was written. They are passed over when a trial reads them."""
    hint = "delete the file; trials compute it again"
    for path in sorted(results.cache.glob("*/*.pt")):
        if NAME.fullmatch(path.name) is None:
            continue
        try:
            found.files += 1
            if not is_intact(path):
                yield Fault("cache", "the content does not match its checksum", str(path), hint)
        except FileNotFoundError:
            continue  # replaced by a newer one just now
        except OSError as error:
            yield Fault("cache", f"cannot be read: {error.strerror}", str(path), hint)
