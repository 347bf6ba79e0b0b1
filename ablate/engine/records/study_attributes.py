"""Where numbers come from: what is stored with a study so that it can be understood, and run again, years later."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
from pathlib import Path

import ablate
from ablate.json_values import JsonValue
from ablate.study.spec import Study

_PACKAGES = ("torch", "torchvision", "optuna", "numba", "numpy", "pandas", "scipy", "scikit-image")
_GIT_SECONDS = 10.0


def study_attributes(study: Study, command: str) -> dict[str, JsonValue]:
    """Return the user attributes of the study: its plan, its file, and what it was last run with."""
    return {
        "ablate.plan": json.dumps(study.to_dict(), ensure_ascii=False, sort_keys=True),
        "ablate.study_file": study.file,
        "ablate.yaml": study.text,
        "ablate.sha256": hashlib.sha256(study.text.encode()).hexdigest(),
        "ablate.question": study.question,
        "ablate.baseline": study.baseline.name,
        "ablate.alpha": study.alpha,
        "ablate.method": study.method.to_dict(),
        "ablate.looks": list(study.looks),
        "ablate.margins": {metric.name: metric.margin for metric in study.metrics if metric.margin is not None},
        "ablate.packages": dict(packages()),
        "ablate.command": command,
    }


def packages() -> dict[str, str]:
    """Return the versions of ablate, Python and the packages that decide numbers, without importing them."""
    found = {"ablate": ablate.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit_of(folder: Path) -> str | None:
    """Return the git commit of the working tree around `folder`, with ``-dirty`` when files differ; None without."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments
            [git, "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
