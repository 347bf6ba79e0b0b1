"""``folder:PATH``: the user's own images, in any format that Pillow reads, below a folder.

Every image is turned as its EXIF data says, cropped at the centre to a square and resized to it by LANCZOS, which
averages over all pixels (antialiasing). A hash of its name decides whether it trains, validates or is held out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ablate.core.data.images import ImageSet, digest_of_images
from ablate.core.shared.data_info import FOLDER, content_digest, folder_digest, folder_path, images_in, part_of
from ablate.core.shared.requirements import unreadable
from ablate.errors import DataError


def load(name: str, size: int, greyscale: bool) -> ImageSet:
    """Return the images below the folder as uint8 [N,3,size,size], [N,1,size,size] for `greyscale`.

    Raises DataError when the folder is not there, holds other images than `name` says, when a file is broken, or when
    a part of the split is empty.
    """
    folder = folder_path(name)
    found: dict[str, list[Tensor]] = {"train": [], "validation": [], "test": []}
    broken: list[str] = []
    for path in images_in(folder):
        relative = path.relative_to(folder).as_posix()
        try:
            found[part_of(relative)].append(_read(path, size, "L" if greyscale else "RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow's readers raise
            broken.append(relative)
    if broken:
        raise unreadable(folder, broken)
    if empty := [part for part, images in found.items() if not images]:
        raise DataError(f"{FOLDER}{folder}: no image falls into the part {empty[0]}", hint="add images")
    planned = folder_digest(name)
    if planned is not None and content_digest(folder) != planned:
        raise DataError(f"{FOLDER}{folder} holds other images than when the study was planned", hint="call it again")
    train, validation, test = (torch.stack(images) for images in found.values())
    return ImageSet(f"{FOLDER}{folder}", train, test, validation, digest_of_images(train, validation, test))


def _read(path: Path, size: int, mode: str) -> Tensor:
    """One image as uint8 [C,size,size]."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.mode.startswith(("I", "F")):  # 16 bits and more: what Pillow would clip at 255
            upright = _to_bytes(upright)
        pixels = np.asarray(ImageOps.fit(_opaque(upright).convert(mode), (size, size), Image.Resampling.LANCZOS))
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.array(planes, order="C"))


def _to_bytes(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    most = 65_535.0 if values.max() > 255 else 255.0
    return Image.fromarray(np.round(values.clip(0, most) * (255 / most)).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """Transparent pixels stand on black."""
    if not image.has_transparency_data:
        return image
    upper = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", upper.size, (0, 0, 0, 255)), upper)
