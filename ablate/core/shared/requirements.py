"""Is what a study names here, and is there enough of it? Answered before anything starts, without importing torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ablate.core.shared.data_info import (
    FOLDER,
    KNOWN,
    check_name,
    content_digest,
    folder_counts,
    folder_digest,
    folder_path,
    images_in,
)
from ablate.errors import DataError

_NAMED = 3
"""Broken files that a message names."""

FID_FILE = "weights-inception-2015-12-05-6726825d.pth"
FID_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FID_FILE}"
FID_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the file above; pytorch-fid distributes the same bytes as pt_inception-2015-12-05-6726825d.pth."""
FID_VARIABLE = "ABLATE_FID_WEIGHTS"


def default_folder() -> Path:
    """Where downloaded data sets live: ``$ABLATE_DATA``, else ``data/`` in the working directory."""
    return Path(os.environ.get("ABLATE_DATA") or "data").absolute()


def require_data(name: str) -> None:
    """Raise DataError when the data set `name` has to be fetched first. Its files are verified when they are read.

    For a folder: when it is gone, or holds other images than those that the study was planned with.
    """
    check_name(name)
    if name.startswith(FOLDER):
        planned, folder = folder_digest(name), folder_path(name)
        require_readable(folder)
        empty = [part for part, count in folder_counts(folder).items() if not count]
        if empty:
            raise DataError(
                f"{FOLDER}{folder}: no image falls into the part {empty[0]} (80 % train, 10 % validate)",
                hint="add images",
            )
        if planned is not None and content_digest(folder) != planned:
            raise DataError(
                f"{FOLDER}{folder} holds other images than when the study was planned", hint="call the command again"
            )
    elif (marker := KNOWN[name].marker) and not (default_folder() / marker).exists():
        raise DataError(f"{name} is not in {default_folder()}", hint=fetch_command(name))


def require_readable(folder: Path) -> None:
    """Raise DataError, naming the first few, when files below a folder of images cannot be read."""
    from PIL import Image

    broken = []
    for path in images_in(folder):
        try:
            with Image.open(path) as image:
                image.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow's readers raise
            broken.append(path.relative_to(folder).as_posix())
    if broken:
        raise unreadable(folder, broken)


def unreadable(folder: Path, broken: Sequence[str]) -> DataError:
    """The error that names broken files."""
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    return DataError(
        f"{FOLDER}{folder}: Pillow cannot read {', '.join(broken[:_NAMED])}{more}", hint="repair or remove them"
    )


def fetch_command(name: str) -> str:
    """What downloads the data set."""
    return f"ablate data fetch {name}"


def fid_weights() -> Path:
    """Where the Inception weights are looked for: ``$ABLATE_FID_WEIGHTS``, else among the downloaded data sets."""
    return Path(os.environ.get(FID_VARIABLE) or default_folder() / FID_FILE).absolute()


def require_fid() -> None:
    """Raise DataError unless FID can be computed: the package and the weights are there, and are the right ones."""
    if find_spec("torch_fidelity") is None:
        raise DataError(
            "metric fid needs the package torch-fidelity, which is not installed",
            hint="pip install 'ablate[fid]', or measure gfd78, which needs neither package nor weights",
        )
    path = fid_weights()
    if not path.is_file():
        raise DataError(
            f"metric fid needs the Inception weights of 2015-12-05, but {path} does not exist",
            hint=f"ablate data fetch inception, or set {FID_VARIABLE} to a copy of {FID_FILE} (sha256 {FID_SHA256})",
        )
    found = file_sha256(path)
    if found != FID_SHA256:
        raise DataError(
            f"{path} is not the Inception network that defines FID (sha256 {found[:12]}..., not {FID_SHA256[:12]}...)",
            hint=f"replace it with {FID_FILE}: ablate data fetch inception",
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def image_counts(name: str, split: str, cap_per_image: int) -> tuple[int, int]:
    """Return how many training and held-out images the data set `name` has, for the settings of the same names."""
    if name.startswith(FOLDER):
        counts = folder_counts(folder_path(name))
        return counts["train"], counts["test"]
    if name != "skimage-patches":
        return KNOWN[name].training, KNOWN[name].held_out
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
