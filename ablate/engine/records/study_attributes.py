"""Where numbers come from: what is stored with a study so that it can be understood, and run again, years later."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform

import ablate
from ablate.json_values import JsonValue
from ablate.study.core_facts import ATTRIBUTE as CORE_FACTS
from ablate.study.core_facts import CoreFacts
from ablate.study.spec import Study

_PACKAGES = ("torch", "torchvision", "optuna", "numba", "numpy", "pandas", "scipy", "scikit-image")


def study_attributes(study: Study, command: str, facts: CoreFacts | None = None) -> dict[str, JsonValue]:
    """Return the user attributes of the study: its plan, its file, what it was last run with, and facts of its core."""
    known = {} if facts is None else {CORE_FACTS: facts.model_dump(mode="json")}
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
        **known,
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
