"""Where a report's numbers come from: code, packages, devices, seeds, settings; with nothing private in it."""

from __future__ import annotations

import getpass
import hashlib
import importlib.metadata
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ablate
from ablate.outcome import OutcomeKind
from ablate.report.data.preregistration import predeclared
from ablate.storage.address import without_password
from ablate.storage.rows import TrialRow, core_versions, versions_text
from ablate.study.spec import Study

PACKAGES = (
    "matplotlib",
    "numba",
    "numpy",
    "optuna",
    "pandas",
    "pydantic",
    "scikit-image",
    "scipy",
    "seaborn",
    "torch",
    "torchvision",
)
"""Declared dependencies whose versions can change a number or a figure."""
_SECRETS = (
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
    re.compile(r"\b(?:ghp|gho|ghs|ghu|github_pat|glpat|hf|xox[abps])[_-][A-Za-z0-9_-]{10,}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bAKIA[0-9A-Z]{12,}"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/-]{8,}=*"),
)
_NAMED_SECRET = re.compile(
    r"(?i)\b([A-Za-z0-9_-]*(?:token|password|passwd|secret|api[_-]?key)[A-Za-z0-9_-]*)([\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,}\]]+)"
)
_HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s:\"']+")
_HIDDEN = "***"


@dataclass(frozen=True)
class Provenance:
    """Facts for the reader, in order; all of them scrubbed."""

    facts: tuple[tuple[str, str], ...]
    """(what, value) lines."""
    study_text: str
    """The study file, scrubbed."""
    sha256: str
    """Of the study file as it is, before scrubbing; empty when its text is not known."""
    commits: tuple[str, ...]
    """Commits that trials were run from."""
    devices: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    """Versions, precision and determinism settings the trials recorded."""
    declared: str = "unknown"
    """Were margins and seeds declared before the first trial: yes, with the commit that shows it, or why not."""


def scrub(text: str) -> str:
    """Return `text` without home folders, the user's name in paths, passwords in URLs, and what looks like a token."""
    text = without_password(text)
    for folder in _home_folders():
        text = text.replace(folder, "~")
    text = _HOMES.sub("~", text)
    if (name := _user_name()) not in ("", "root"):
        text = re.sub(rf"(?<=[/\\]){re.escape(name)}(?=[/\\\s:\"']|$)", "~", text)
    for pattern in _SECRETS:
        text = pattern.sub(_HIDDEN, text)
    return _NAMED_SECRET.sub(rf"\1\2{_HIDDEN}", text)


def _home_folders() -> list[str]:
    try:
        home = str(Path.home())
    except RuntimeError:
        return []
    # The home of a container's root is "/root"; "/" alone would hide every path.
    return [home] if len(home) > 1 else []


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def collect(
    study: Study,
    rows: Sequence[TrialRow],
    *,
    storage: str | None = None,
    attributes: Mapping[str, object] | None = None,
) -> Provenance:
    """Gather everything that is known; what is unknown is said to be unknown, never guessed.

    `attributes` are the study's, as stored.
    """
    sha = hashlib.sha256(study.text.encode()).hexdigest() if study.text else ""
    commits = _texts(row.attributes.get("commit") for row in rows)
    devices = _texts(_device(row) for row in rows if row.outcome is not None)
    declared = scrub(predeclared(study, [row.started_at for row in rows], attributes))
    facts = [
        ("study file", scrub(study.file) or "unknown"),
        ("sha256 of the study file", sha or "unknown"),
        ("margins and seeds declared before the first trial", declared),
        *([("core", _core(study, rows))] if study.core else []),
        ("seeds", _seeds(rows)),
        ("trials", _outcomes(rows)),
        ("started, finished", _span(rows)),
        ("device time", _hours(rows)),
        ("devices", ", ".join(devices) or "unknown"),
        ("commit of the trials", ", ".join(commits) or "not recorded"),
        ("ablate", ablate.__version__),
        ("python of this report", platform.python_version()),
        ("packages of this report", _packages()),
    ]
    if storage is not None:
        facts.append(("storage", scrub(storage)))
    return Provenance(
        facts=tuple((name, scrub(value)) for name, value in facts),
        study_text=scrub(study.text),
        sha256=sha,
        commits=commits,
        devices=devices,
        environment=_environment(rows),
        declared=declared,
    )


def _core(study: Study, rows: Sequence[TrialRow]) -> str:
    versions = core_versions(rows)
    if len(versions) > 1:
        return f"{study.core}, {versions_text(versions)}"
    return f"{study.core}, version {next(iter(versions))}" if versions else study.core


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({scrub(str(value)) for value in values if value}))


def _device(row: TrialRow) -> str:
    name = row.attributes.get("device_name")
    return f"{name} ({row.device})" if name else row.device


def _seeds(rows: Sequence[TrialRow]) -> str:
    seeds = sorted({row.seed for row in rows})
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(str(seed) for seed in seeds) or "none"


def _outcomes(rows: Sequence[TrialRow]) -> str:
    counts = Counter(row.outcome for row in rows)
    words = [f"{counts[kind]} {kind.value.replace('_', ' ')}" for kind in OutcomeKind if counts[kind]]
    if counts[None]:
        words.append(f"{counts[None]} running")
    return ", ".join(words) or "none"


def _span(rows: Sequence[TrialRow]) -> str:
    starts = sorted(row.started_at for row in rows if row.started_at)
    ends = sorted(row.finished_at for row in rows if row.finished_at)
    return f"{starts[0] if starts else 'unknown'}, {ends[-1] if ends else 'unknown'}"


def _hours(rows: Sequence[TrialRow]) -> str:
    seconds = sum(row.seconds or 0.0 for row in rows)
    return f"{seconds / 3600:.2f} h over all trials, including failed and repeated ones; reused work counts in each"


def _packages() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _environment(rows: Sequence[TrialRow]) -> tuple[tuple[str, str], ...]:
    """Every value that any trial recorded, per name; several values mean that the trials did not agree."""
    found: dict[str, set[str]] = {}
    for row in rows:
        recorded = row.attributes.get("environment")
        if isinstance(recorded, dict):
            for name, value in recorded.items():
                found.setdefault(str(name), set()).add(scrub(str(value)))
    return tuple((scrub(name), _some(sorted(values))) for name, values in sorted(found.items()))


def _some(values: Sequence[str]) -> str:
    """Join values; of many different ones (times, memory) only the first and last."""
    return ", ".join(values) if len(values) <= 4 else f"{values[0]} to {values[-1]} ({len(values)} values)"
