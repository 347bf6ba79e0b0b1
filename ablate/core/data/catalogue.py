"""Which data sets there are, and where downloaded ones live."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ablate.core.data.digits import load as load_digits
from ablate.core.data.downloads import SOURCES
from ablate.core.data.downloads import fetch as fetch_download
from ablate.core.data.downloads import load as load_download
from ablate.core.data.folder import load as load_folder
from ablate.core.data.images import ImageSet
from ablate.core.data.patches import load as load_patches
from ablate.core.data.patches import source_folder
from ablate.core.data.weights import fetch as fetch_weights
from ablate.core.shared.data_info import DEFAULT_SIZE, FOLDER, KNOWN, check_name, folder_path
from ablate.core.shared.requirements import default_folder
from ablate.errors import DataError

DATA_SETS = tuple(KNOWN)
SPLITS = ("block", "image")


def load(
    name: str,
    *,
    cap_per_image: int = 3000,
    split: str = "block",
    folder: Path | None = None,
    image_size: int | None = None,
    greyscale: bool = False,
) -> ImageSet:
    """Return the data set `name`, from memory when this process has loaded it before. Never downloads.

    `cap_per_image` and `split` (``block`` or ``image``) belong to ``skimage-patches``, `image_size` and `greyscale` to
    ``folder:PATH``; others come as they are. Raises DataError when the data is missing, corrupt, or unknown.
    """
    check_name(name)
    if name.startswith(FOLDER):
        return _load_folder(name, image_size or DEFAULT_SIZE, greyscale)
    if name == "digits":
        return _load_digits()
    if name in SOURCES:
        return _load_download(name, folder or default_folder())
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
    check_name(name)
    if name in SOURCES:
        return fetch_download(name, folder or default_folder(), tell)
    if name.startswith(FOLDER):
        tell(f"{name} is a folder of your own; there is nothing to download")
        return folder_path(name)
    if name == "digits":
        tell("digits comes with ablate; there is nothing to download")
        return Path(__file__).parent
    tell(f"{name} comes with ablate's dependencies; there is nothing to download")
    return source_folder()


_load_patches = lru_cache(maxsize=4)(load_patches)
_load_download = lru_cache(maxsize=1)(load_download)
_load_folder = lru_cache(maxsize=2)(load_folder)
_load_digits = lru_cache(maxsize=1)(load_digits)
