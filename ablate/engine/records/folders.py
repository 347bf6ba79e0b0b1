"""The results folder as the engine keeps it: made, checked, and never mixed with what is not ours."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ablate.errors import ResultsError
from ablate.outcome import Outcome
from ablate.paths import ResultsPaths, StudyPaths, TrialPaths, write_atomic, write_json
from ablate.recipe import Recipe
from ablate.study.spec import Study

DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a file raises whose content is not what ablate writes."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a failed write below `path` into a ResultsError."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> ResultsError:
    """Return the error that tells what `error` means for `path`."""
    where = error.filename or path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "nothing recorded so far is lost; free some space and run the same command again"
        return ResultsError(f"the disk is full: cannot write {where}", hint=hint)
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return ResultsError(f"{where} is not a folder", hint="choose another results folder with --results")
    return ResultsError(
        f"cannot write {where}: {error.strerror}", hint="make the folder writable, or choose another with --results"
    )


def make_folders(results: ResultsPaths, paths: StudyPaths) -> None:
    """Make the study's folder; raises ResultsError when it cannot be, or when it holds something that is not ours."""
    with writing(results.folder):
        results.folder.mkdir(parents=True, exist_ok=True)
        if paths.folder.is_dir() and any(paths.folder.iterdir()):
            marks = (paths.lock, paths.plan, paths.study_file)
            if not any(mark.exists() for mark in marks):
                raise ResultsError(
                    f"{paths.folder} contains files that are not a study's results",
                    hint="choose another folder with --results, or another name with --name",
                )
        for folder in (paths.folder, paths.workers, paths.trials, results.cache):
            folder.mkdir(exist_ok=True)


def write_study(paths: StudyPaths, study: Study) -> None:
    """Keep the study file as it is run now, and what it resolves to."""
    with writing(paths.folder):
        write_atomic(paths.study_file, study.text)
        write_json(paths.plan, study.to_dict())


def check_recipe(trial: TrialPaths, recipe: Recipe) -> None:
    """Raise ResultsError when the trial's folder holds a result of another recipe; without a result it is set aside.

    So a mistake in a command can be put right: what a trial that failed left behind is kept, out of the way.
    """
    try:
        kept = Recipe.from_dict(json.loads(trial.recipe.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return
    except DAMAGE:
        return  # damaged: it is written anew
    if kept == recipe:
        return
    outcome = read_outcome(trial, kept.digest)
    if outcome is not None and outcome.kind.is_result:
        raise ResultsError(
            f"{trial.folder} contains a trial with other settings",
            hint="give the study another name with --name, or move this folder away",
        )
    trial.set_aside()


def make_trial(trial: TrialPaths, recipe: Recipe) -> None:
    """Prepare the folder for an attempt: the recipe is there, an outcome is not. Damaged files are set aside."""
    trial.folder.mkdir(exist_ok=True)
    if is_damaged(trial.recipe, Recipe.from_dict):
        set_aside(trial.recipe)
    if not trial.recipe.exists():
        write_json(trial.recipe, recipe.to_dict())
    if is_damaged(trial.outcome, Outcome.from_dict):
        set_aside(trial.outcome)
    trial.outcome.unlink(missing_ok=True)


def is_damaged(path: Path, build: Callable[[Any], object]) -> bool:
    """True when there is a file from which nothing can be built."""
    try:
        build(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        return False
    except DAMAGE:
        return True
    return False


def set_aside(path: Path) -> None:
    """Keep a damaged file beside its place, for whoever wants to know what happened to it."""
    number = next(number for number in itertools.count(1) if not path.with_suffix(f".damaged-{number}").exists())
    path.rename(path.with_suffix(f".damaged-{number}"))


def read_outcome(trial: TrialPaths, digest: str) -> Outcome | None:
    """Return the outcome in the trial's folder; None when there is none of this recipe, or the file is damaged."""
    try:
        found = Outcome.from_dict(json.loads(trial.outcome.read_text(encoding="utf-8")))
    except OSError:
        return None
    except DAMAGE:
        return None
    return found if found.recipe_digest == digest else None


def read_new_outcome(trial: TrialPaths, digest: str) -> Outcome | None:
    """Return the outcome that a worker has, or may have, just written, as `read_outcome`.

    A network file system that was asked for a file in vain may say so again for a minute. It looks again when the
    folder changes, and a change of our own it notices at once.
    """
    outcome = read_outcome(trial, digest)
    if outcome is None:
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=trial.folder, prefix=".look-again-"):
            outcome = read_outcome(trial, digest)
    return outcome


def copy_trial(source: TrialPaths, target: TrialPaths, recipe: Recipe, outcome: Outcome) -> None:
    """Give a replicate the files of another one with the same recipe; its outcome is put in place last."""
    make_trial(target, recipe)
    names = [source.curve, source.samples]
    names += [source.folder / outcome.samples] if outcome.samples else []
    for file in names:
        if file.is_file():
            shutil.copyfile(file, target.folder / file.name)
    write_json(target.outcome, outcome.to_dict())
