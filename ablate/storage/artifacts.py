"""Pictures as Optuna artifacts, so that optuna-dashboard shows them beside each trial.

A file is kept under the digest of its content in one folder for all studies, ``results/artifacts`` (what
``optuna-dashboard --artifact-dir`` wants); a trial names it in a system attribute, as `optuna.artifacts` does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX, ArtifactMeta

from ablate.paths import write_atomic

PREFIX: Final = ARTIFACTS_ATTR_PREFIX
_ID_LENGTH = 32


def keep(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Keep `files` in `folder` (made when needed); return the system attributes by which a trial names them.

    Raises OSError when the disk is full or the folder cannot be written.
    """
    named = {}
    for file in files:
        folder.mkdir(exist_ok=True)
        data = file.read_bytes()
        identity = hashlib.sha256(data).hexdigest()[:_ID_LENGTH]
        if not (folder / identity).exists():
            _put(file, data, folder / identity)
        kind, _ = mimetypes.guess_type(file.name)
        meta = ArtifactMeta(identity, file.name, kind or "application/octet-stream", None)
        # Optuna stores JSON text as the attribute's value, which is then stored as JSON once more.
        named[f"{PREFIX}{identity}"] = json.dumps(vars(meta))
    return named


def _put(file: Path, data: bytes, target: Path) -> None:
    """A second name for the same bytes where the file system knows such a thing; files are replaced, never changed."""
    with contextlib.suppress(OSError):
        os.link(file, target)
        return
    write_atomic(target, data)
