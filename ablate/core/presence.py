"""Is what a study names here, and is there enough of it? Answered before anything starts, without importing torch."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

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


def image_counts(name: str, split: str, cap_per_image: int) -> tuple[int, int]:
    """Return how many training and held-out images the data set `name` has, for the settings of the same names."""
    if name == "cifar10":
        return 48_000, 10_000
    training = held_out = 0
    for entry in manifest()["images"]:
        patches = entry["patches"]
        if split == "block":
            here = (patches["left"], patches["right"])
        else:
            here = (0, patches["whole"]) if entry["held_out"] else (patches["whole"], 0)
        training += min(here[0], cap_per_image)
        held_out += min(here[1], max(cap_per_image * 3 // 7, 1))
    return training, held_out


@cache
def manifest() -> Any:
    """Return the manifest of the photographs: name, file, size, SHA-256, licence, patches, and recorded digests."""
    return json.loads(resources.files("ablate.core.data").joinpath("manifest.json").read_text(encoding="utf-8"))
