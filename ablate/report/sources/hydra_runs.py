"""``hydra:MULTIRUN``: the jobs of a Hydra multirun; their config files give the factors."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ablate.errors import AblateError
from ablate.human_units import plural
from ablate.report.sources.runs import ForeignRun, flat

METRICS_FILE = "metrics.json"
_LARGEST_BYTES = 8_000_000
_SHOWN = 5
"""Files of jobs that a hint names."""


def hydra_runs(folder: Path, metrics_file: str | None) -> list[ForeignRun]:
    """Return one run per job folder below `folder` (those with ``.hydra/config.yaml``), named by its path.

    Metrics are the numbers of the JSON file `metrics_file` in the job's folder (default ``metrics.json``); with a last
    line per step (``.jsonl``), the last line's, and the lines are the learning curve. A job without it is failed.
    Raises AblateError where there are no jobs, where none of them has the file, and for files that cannot be read.
    """
    if not folder.is_dir():
        raise AblateError(f"there is no folder {folder}")
    configs = sorted(folder.rglob(".hydra/config.yaml"))
    if not configs:
        raise AblateError(f"no job of Hydra below {folder}", hint="a job's folder holds .hydra/config.yaml")
    jobs, name = [path.parents[1] for path in configs], metrics_file or METRICS_FILE
    if not any((job / name).exists() for job in jobs):
        raise _no_metrics(jobs, folder, name)
    return [_run(job, folder, name) for job in jobs]


def _no_metrics(jobs: Sequence[Path], folder: Path, name: str) -> AblateError:
    """Return the error for jobs none of which has the file `name`; it says what they have instead."""
    files = Counter(
        path.relative_to(job).as_posix()
        for job in jobs
        for path in sorted(job.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(job).parts)
    )
    if not files:
        hint = f"the jobs hold no files; each writes its metrics as {METRICS_FILE}, or as a file that #FILE names"
    else:
        # Files of every job first, and those that can be read.
        order = sorted(files, key=lambda one: (not _may_be_read(one), -files[one], one))
        more = f" and {len(order) - _SHOWN} more" if len(order) > _SHOWN else ""
        hint = f"the jobs hold {', '.join(order[:_SHOWN])}{more}"
        if _may_be_read(order[0]):
            hint += f"; name one behind #: {shlex.quote(f'hydra:{folder}#{order[0]}')}"
        else:
            hint += "; metrics are read from a file .json or .jsonl, which #FILE names"
    return AblateError(f"no job below {folder} has {name} ({plural(len(jobs), 'job')})", hint=hint)


def _may_be_read(name: str) -> bool:
    return name.endswith((".json", ".jsonl"))


def _run(job: Path, root: Path, metrics_file: str) -> ForeignRun:
    config = _yaml(job / ".hydra" / "config.yaml")
    name = job.relative_to(root).as_posix() if job != root else job.name
    params = {key: text for key, text in flat(config).items() if not key.startswith("hydra.")}
    path = job / metrics_file
    if not path.exists():
        return ForeignRun(name, params, outcome="failed", error=f"no {metrics_file} in {job}")
    lines = _json_lines(path)
    numbers = [_numbers(line) for line in lines]
    curves: dict[str, list[tuple[int, float]]] = {}
    for at, values in enumerate(numbers if len(numbers) > 1 else ()):
        step = int(values.get("step", values.get("epoch", at)))
        for key, value in values.items():
            curves.setdefault(key, []).append((step, value))
    return ForeignRun(name, params, numbers[-1] if numbers else {}, curves)


def _yaml(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_BYTES:
        raise AblateError(f"{path} is too large for a configuration")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AblateError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _json_lines(path: Path) -> list[Mapping[str, Any]]:
    text = path.read_text(encoding="utf-8")
    parts = [line for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else [text]
    try:
        found = [json.loads(part) for part in parts]
    except ValueError as error:
        raise AblateError(f"{path} is not JSON: {error}") from error
    if not all(isinstance(one, Mapping) for one in found):
        raise AblateError(f"{path} holds something else than an object of numbers")
    return found


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in line.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
