"""A function that no worker can import (of a notebook, of a script, inside another function) as a file.

The file is a pickle, and reading one runs code. Only workers read it, and only one that the process which started them
has just written: they are told its SHA-256. Commands that read results never do.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablate.errors import AblateError
from ablate.paths import write_atomic

MOST_BYTES = 256 * 1024 * 1024
"""A larger function has caught data that should be loaded inside it."""


def write_function(function: Callable[..., Any], who: str, folder: Path) -> dict[str, str]:
    """Write `function` into `folder`, in place of what is there; return what `read_function` needs, as plain data.

    Raises AblateError when it cannot be pickled or has caught too much, OSError when nothing can be written.
    """
    import cloudpickle

    hint = "put the function into a module of its own in the script's folder, and load data inside it"
    try:
        data = cloudpickle.dumps(function)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise AblateError(f"{who} cannot be sent to workers: {text}", hint=hint) from error
    if len(data) > MOST_BYTES:
        size = f"{len(data) / 2**20:.0f} MB"
        raise AblateError(f"{who} cannot be sent to workers: with what it refers to it has {size}", hint=hint)
    digest = hashlib.sha256(data).hexdigest()
    name = re.sub(r"\W+", "_", getattr(function, "__name__", "")) or "function"
    file = folder / f"{name}-{digest[:12]}.pkl"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.pkl"):
        if old != file:
            old.unlink(missing_ok=True)
    if not file.exists():
        write_atomic(file, data)
    return {"file": str(file), "sha256": digest}


def read_function(stored: Mapping[str, str], who: str) -> Callable[..., Any]:
    """Return the function that `write_function` wrote. Raises AblateError for any other file, before looking inside."""
    try:
        data = Path(stored["file"]).read_bytes()
    except OSError as error:
        raise AblateError(f"{who}: cannot read {stored['file']}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != stored["sha256"]:
        raise AblateError(f"{who}: {stored['file']} was changed while the run was starting")
    try:
        found = pickle.loads(data)  # noqa: S301 - written by the process that started this one, as its digest shows
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise AblateError(
            f"{who} cannot be made again in a worker: {text}",
            hint="put the function into a module of its own in the script's folder",
        ) from error
    if not callable(found):
        raise AblateError(f"{who}: {stored['file']} holds no function")
    return found  # type: ignore[no-any-return]
