"""Is the data a study names here? Answered before anything starts, and without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

from ablate.errors import DataError

CIFAR_FOLDER = "cifar-10-batches-py"
FETCH = "ablate data fetch cifar10"


def default_folder() -> Path:
    """Where downloaded data sets live: ``$ABLATE_DATA``, else ``data/`` in the working directory."""
    return Path(os.environ.get("ABLATE_DATA") or "data").absolute()


def require_data(name: str) -> None:
    """Raise DataError when the data set `name` has to be fetched first. Its files are verified when they are read."""
    if name == "cifar10" and not (default_folder() / CIFAR_FOLDER).is_dir():
        raise DataError(f"cifar10 is not in {default_folder()}", hint=FETCH)
