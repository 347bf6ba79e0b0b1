"""Image grids for the report: labelled rows of small images, enlarged without interpolation, as lossless PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ablate.core.data.images import to_uint8
from ablate.paths import write_atomic

DRAWN, MOST = 96, 6
"""About how many pixels an image is high in a grid, and how many times it is enlarged at most."""
GAP = 4
"""Pixels between images and around the grid."""
INK, PAPER = (32, 32, 32), (255, 255, 255)


def save_grid(path: Path, rows: Sequence[tuple[str, Tensor]]) -> None:
    """Write a PNG with one row of images per (label, [N,C,H,W] in [-1,1]), C 3 or 1, all of one height and width.

    Values are clipped. Every pixel becomes a block of pixels (3x3 in images of 32x32), so nothing is smoothed. The same
    rows give the same bytes (with one version of Pillow). Rows may differ in length. Raises ValueError for no rows or
    rows of different sizes.
    """
    sizes = {tuple(images.shape[1:]) for _, images in rows}
    if len(sizes) != 1:
        raise ValueError(f"a grid needs rows of images of one shape, got {sorted(sizes)}")
    _, *sides = sizes.pop()
    times = enlargement(max(sides))
    height, width = (side * times for side in sides)
    font = ImageFont.load_default(size=13)
    margin = max(int(np.ceil(font.getlength(label))) for label, _ in rows) + 2 * GAP
    most = max(len(images) for _, images in rows)
    canvas = Image.new("RGB", (margin + most * (width + GAP), GAP + len(rows) * (height + GAP)), PAPER)
    pen = ImageDraw.Draw(canvas)
    for row, (label, images) in enumerate(rows):
        top = GAP + row * (height + GAP)
        pen.text((GAP, top + height // 2), label, fill=INK, font=font, anchor="lm")
        for column, pixels in enumerate(as_colour(to_uint8(images.detach().cpu())).permute(0, 2, 3, 1).numpy()):
            enlarged = pixels.repeat(times, axis=0).repeat(times, axis=1)
            canvas.paste(Image.fromarray(np.ascontiguousarray(enlarged)), (margin + column * (width + GAP), top))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=False)
    write_atomic(path, buffer.getvalue())


def enlargement(side: int) -> int:
    """How many pixels wide a pixel of an image of `side` pixels is drawn."""
    return min(max(round(DRAWN / side), 1), MOST)


def as_colour(images: Tensor) -> Tensor:
    """Return images [N,1,H,W] as [N,3,H,W], three equal channels; those of three as they are."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def save_arrays(path: Path, arrays: Mapping[str, Tensor]) -> None:
    """Write images [N,C,H,W] in [-1,1] as a compressed npz of uint8 arrays [N,3,H,W], for the report."""
    pixels: dict[str, Any] = {name: as_colour(to_uint8(images)).cpu().numpy() for name, images in arrays.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **pixels)
    write_atomic(path, buffer.getvalue())
