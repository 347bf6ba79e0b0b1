"""Were margins and seeds declared before the results were known? Only a commit older than the first trial shows it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

import yaml

from ablate.report.data.git import git
from ablate.study.spec import Study

_DECLARED = ("metrics", "seeds", "alpha", "baseline", "report")
"""Keys of a study file that decide which verdict a result gets."""


def predeclared(study: Study, starts: Iterable[str | None]) -> str:
    """Return ``yes`` with the commit that shows it, or ``no`` or ``not shown`` with the reason.

    The commit is the newest of the study file that is older than the first of `starts` (ISO 8601, UTC). It has to say
    the same about metrics, margins, seeds, level, method and baseline as the file that was run. Dates of commits are
    those that git recorded: they convince only where the commit was pushed to somebody else.
    """
    began = min((start for start in starts if start), default=None)
    if all(metric.margin is None for metric in study.metrics):
        return "no: the study declares no margin"
    if not study.core:
        return "not known: the results come from a table, and ablate did not run them"
    if began is None:
        return "not shown: no trial has started"
    file = Path(study.file) if study.file else None
    if file is None or not study.text or not file.is_file():
        return "not shown: the study file is not where it was"
    found = git(file.parent, "log", "-1", "--format=%H %ct", f"--before={began}", "--", f"./{file.name}").split()
    if len(found) != 2:
        return "not shown: no commit of the study file is older than the first trial"
    commit, when = found[0], datetime.datetime.fromtimestamp(int(found[1]), datetime.UTC).isoformat()
    if _stated(git(file.parent, "show", f"{commit}:./{file.name}")) != _stated(study.text):
        return f"no: commit {commit[:12]}, the last one before the first trial, states others"
    return f"yes: commit {commit} of {when}; the first trial started at {began}"


def _stated(text: str) -> object:
    """What a study file says about the keys that decide verdicts; None for a text that is no study file."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return {key: data.get(key) for key in _DECLARED} if isinstance(data, dict) else None
