"""Pictures that a command writes into its folder: checked, made small, and put side by side for the report."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.core.command.follow import Stamp, stamp_of
from ablate.core.command.spec.template import Template
from ablate.paths import write_atomic

if TYPE_CHECKING:
    from PIL import Image

MOST = 8
"""Pictures of a trial that are shown: the first by name."""
SIDE = 256
"""Longest side of a picture in the report, in pixels; larger ones are made smaller."""
_GAP = 2
_LARGEST_FILE = 50_000_000
_MOST_PIXELS = 64_000_000
"""Of a picture before it is made smaller: what is read takes at most this much times four bytes."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


class CommandPictures:
    """The pictures of one trial. `patterns` are paths or globs in the trial's `folder`, relative to it."""

    def __init__(self, patterns: Iterable[Template], values: Mapping[str, object], folder: Path) -> None:
        self._folder = folder
        self._patterns = [text for one in patterns if (text := one.fill({**values, "folder": "."})) is not None]
        self._before: dict[Path, Stamp] = {}

    def forget_older(self) -> None:
        """Take no picture of an earlier attempt for one of this attempt."""
        self._before = {path: stamp_of(path, "csv") for path in self._found()}

    def write(self, target: Path) -> tuple[str | None, list[str]]:
        """Put the pictures side by side into a PNG; return its name, None without any, and what is to be said."""
        if not self._patterns:
            return None, []
        found = [path for path in self._found() if self._before.get(path) != stamp_of(path, "csv")]
        pictures, notes = [], []
        for path in found[:MOST]:
            try:
                pictures.append(small(path))
            except ValueError as error:
                notes.append(f"picture {path.name}: {error}")
        if not found:
            notes.append(f"no picture matches {', '.join(self._patterns).replace('./', '{folder}/')}")
        if not pictures:
            return None, notes
        write_atomic(target, _row(pictures))
        return target.name, notes

    def _found(self) -> list[Path]:
        """The files that match, by pattern and then by name; none that a link leads out of the folder to."""
        home = self._folder.resolve()
        found: dict[Path, None] = {}
        for pattern in self._patterns:
            relative = pattern.removeprefix("./").lstrip("/")
            # A level such as [16] in a name is no set of characters: a file of exactly that name comes first.
            exact = self._folder / relative
            for path in [exact] if exact.is_file() else sorted(self._folder.glob(relative or "*")):
                if path.is_file() and home in path.resolve().parents:
                    found[path] = None
        return list(found)


def small(path: Path) -> Image.Image:
    """Return a picture as RGB, its sides at most `SIDE` pixels. Raises ValueError for any other file."""
    from PIL import Image, UnidentifiedImageError

    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"the file is larger than {_LARGEST_FILE // 1_000_000} MB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of a file is said by what becomes of it
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels are too many")
                whole = _on_white(image)
    except UnidentifiedImageError:
        raise ValueError("it is none that Pillow reads") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be read: {' '.join(str(error).split())}") from error
    whole.thumbnail((SIDE, SIDE))
    return whole


def _on_white(image: Image.Image) -> Image.Image:
    """The first frame in RGB; what is transparent shows white, as in figures."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _row(pictures: list[Image.Image]) -> bytes:
    from PIL import Image

    size = sum(one.width for one in pictures) + _GAP * (len(pictures) - 1), max(one.height for one in pictures)
    canvas, left = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        canvas.paste(picture, (left, 0))
        left += picture.width + _GAP
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
