"""What git says about when a study's margins and seeds were declared: asked when it is run, and kept with it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from ablate.engine.records.git import ask
from ablate.json_values import JsonValue
from ablate.study.spec import Study

ATTRIBUTE = "ablate.declared"
"""Study attribute: the commit of the study file before the first trial, its time, and whether it states the same."""
_DECLARED = ("metrics", "seeds", "alpha", "baseline", "report")
"""Keys of a study file that decide which verdict a result gets."""


def declaration(
    study: Study, starts: Iterable[str | None], stored: Mapping[str, JsonValue]
) -> dict[str, dict[str, JsonValue]]:
    """Return the attribute to keep: the newest commit of the study file that is older than the first of `starts`.

    `starts` are ISO 8601 in UTC; without any the study begins now. What is stored of the same file stays where git
    shows nothing (any more). Dates of commits are those that git recorded.
    """
    before = stored.get(ATTRIBUTE)
    kept = before if isinstance(before, dict) and stored.get("ablate.yaml") == study.text else {}
    file = Path(study.file) if study.file else None
    if file is None or not study.text or not file.is_file():
        return {ATTRIBUTE: kept}
    now = datetime.datetime.now(datetime.UTC).isoformat()
    began = min((start for start in starts if start), default=now)
    folder = file.absolute().parent
    words = ("rev-list", "-1", "--no-commit-header", "--format=%H %ct", f"--before={began}")
    found = ask(folder, *words, "HEAD", "--", f"./{file.name}").split()
    if len(found) != 2:
        return {ATTRIBUTE: kept}
    commit, when = found[0], datetime.datetime.fromtimestamp(int(found[1]), datetime.UTC).isoformat()
    same = _stated(ask(folder, "cat-file", "blob", f"{commit}:./{file.name}")) == _stated(study.text)
    return {ATTRIBUTE: {"commit": commit, "at": when, "same": same}}


def _stated(text: str) -> object:
    """What a study file says about the keys that decide verdicts; None for a text that is no study file."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return {key: data.get(key) for key in _DECLARED} if isinstance(data, dict) else None
