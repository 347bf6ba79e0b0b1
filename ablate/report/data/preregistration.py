"""Were margins and seeds declared before the results were known? Only a commit older than the first trial shows it.

Git was asked when the study was run; a report asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ablate.study.spec import Study

ATTRIBUTE = "ablate.declared"
"""Study attribute; see `ablate.engine.records.preregistration`."""


def predeclared(study: Study, starts: Iterable[str | None], attributes: Mapping[str, object] | None = None) -> str:
    """Return ``yes`` with the commit that shows it, or ``no`` or ``not shown`` with the reason.

    The commit is the newest of the study file that is older than the first of `starts` (ISO 8601, UTC). It has to say
    the same about metrics, margins, seeds, level, method and baseline as the file that was run. Dates of commits are
    those that git recorded: they convince only where the commit was pushed to somebody else. `attributes` are the
    study's, as stored.
    """
    began = min((start for start in starts if start), default=None)
    if all(metric.margin is None for metric in study.metrics):
        return "no: the study declares no margin"
    if not study.core:
        return "not known: the results come from a table and were not run by ablate"
    if began is None:
        return "not shown: no trial has started"
    found = (attributes or {}).get(ATTRIBUTE)
    if not isinstance(found, Mapping):
        return "not shown: nothing about commits was stored when the study was run"
    if not found:
        return "not shown: no commit of the study file is older than the first trial"
    commit, when = str(found.get("commit")), str(found.get("at"))
    if found.get("same") is not True:
        return f"no: commit {commit[:12]}, the last one before the first trial, states others"
    return f"yes: commit {commit} of {when}; the first trial started at {began}"
