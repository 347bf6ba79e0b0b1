"""Which data sets there are, and where downloaded ones live."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ablate.core.data.cifar import fetch as fetch_cifar
from ablate.core.data.cifar import load as load_cifar
from ablate.core.data.images import ImageSet
from ablate.core.data.patches import load as load_patches
from ablate.core.data.patches import source_folder
from ablate.core.data.weights import fetch as fetch_weights
from ablate.core.shared.requirements import default_folder
from ablate.errors import DataError

DATA_SETS = ("skimage-patches", "cifar10")
SPLITS = ("block", "image")


def load(name: str, *, cap_per_image: int = 3000, split: str = "block", folder: Path | None = None) -> ImageSet:
    """Return the data set `name`, from memory when this process has loaded it before. Never downloads.

    `cap_per_image` and `split` (``block`` or ``image``) belong to ``skimage-patches``; CIFAR-10 comes as it is split.
    Raises DataError when the data is missing, corrupt, or unknown.
    """
    _require_known(name)
    if name == "cifar10":
        return _load_cifar(folder or default_folder())
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}", hint=f"known: {', '.join(SPLITS)}")
    if cap_per_image < 1:
        raise DataError(f"cap_per_image must be at least 1: {cap_per_image}")
    return _load_patches(cap_per_image, split)


def fetch(name: str, folder: Path | None = None, progress: Callable[[str], None] | None = None) -> Path:
    """Download the data set `name`, or ``inception`` (the weights FID needs), unless a verified copy is there.

    Returns where it is. `progress` is told in words what happens; the bytes themselves are shown on standard error.
    """
    tell = progress or (lambda _: None)
    if name == "inception":
        return fetch_weights(folder or default_folder(), tell)
    _require_known(name)
    if name == "cifar10":
        return fetch_cifar(folder or default_folder(), tell)
    tell(f"{name} comes with ablate's dependencies; there is nothing to download")
    return source_folder()


_load_patches = lru_cache(maxsize=4)(load_patches)
_load_cifar = lru_cache(maxsize=1)(load_cifar)


def _require_known(name: str) -> None:
    if name not in DATA_SETS:
        close = difflib.get_close_matches(name, DATA_SETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(DATA_SETS)}"
        raise DataError(f"unknown data set {name!r}", hint=hint)
