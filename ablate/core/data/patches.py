"""``skimage-patches``: 32x32 patches of seven freely licensed photographs that scikit-image carries in its wheel.

Every photograph is taken at three scales. A column border at 70 % of the width divides it, with a guard band of 32
original pixels, before any patch is cut: no training patch shares a pixel with a test patch at any scale. The files
are checked against the manifest and refused when they differ; what Pillow makes of them is recorded by digest.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
import torch
from PIL import Image

from ablate.core.data.images import ImageSet, digest_of_images
from ablate.core.shared.requirements import manifest as manifest
from ablate.errors import DataError

SIDE = 32
STRIDE = 8
SCALES = (1, 2, 4)
"""Denominators: the photograph itself, half its size, a quarter."""
TRAIN_SHARE = 0.7
GUARD = 16
"""Original pixels kept free on either side of the border; the LANCZOS kernel at scale 1/4 reaches 12."""
LEAST_SD = 4
"""Flatter patches (standard deviation over all values, 0..255) are dropped: sky, retina border."""

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Cells = npt.NDArray[np.int64]
CELLS_PER_PHOTOGRAPH = len(SCALES) << 20


def load(cap_per_image: int, split: str) -> ImageSet:
    """Return the patches; at most `cap_per_image` training patches per photograph, and 3/7 of it to test.

    ``split="block"``: left 70 % of each photograph trains, the right part tests. ``"image"``: the photographs marked
    ``held_out`` in the manifest test, all others train. Raises DataError on a missing or altered source file.
    """
    parts: dict[bool, list[Pixels]] = {True: [], False: []}
    cells: list[Cells] = []
    for entry in manifest()["images"]:
        scaled = list(_scaled(read_photograph(entry)))
        kept = [_not_flat(pixels) for _, pixels in scaled]
        width = scaled[0][1].shape[1]
        for training in (True, False):
            if split == "image" and training == entry["held_out"]:
                continue
            columns = _columns(width, split, training)
            masks = [_between(keep, scale, columns) for (scale, _), keep in zip(scaled, kept, strict=True)]
            cap = cap_per_image if training else cap_per_image * 3 // 7
            cut, places = _cut(scaled, masks, max(cap, 1), entry["name"])
            parts[training].append(cut)
            if training:
                cells.append(places + len(cells) * CELLS_PER_PHOTOGRAPH)
    train, test = (torch.from_numpy(np.concatenate(parts[training])) for training in (True, False))
    digest = digest_of_images(train, test)
    note = _difference(digest, f"{split}-{cap_per_image}")
    return ImageSet(
        "skimage-patches", train, test, test, digest, cells=torch.from_numpy(np.concatenate(cells)), note=note
    )


def source_folder() -> Path:
    """Return scikit-image's data folder."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise DataError(
            "scikit-image, which contains the photographs, is not installed", hint="pip install scikit-image"
        )
    return Path(found.origin).parent / "data"


def read_photograph(entry: Any) -> Image.Image:
    """Open one photograph after checking its bytes."""
    path = source_folder() / entry["file"]
    hint = "reinstall scikit-image: pip install --force-reinstall --no-deps scikit-image"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"skimage-patches: cannot read {path}: {error.strerror}", hint=hint) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != entry["sha256"]:
        raise DataError(
            f"skimage-patches: {path} is not the recorded photograph "
            f"(sha256 {found[:12]}..., expected {entry['sha256'][:12]}...)",
            hint=hint,
        )
    with Image.open(path) as image:
        return image.convert("RGB")


def _scaled(image: Image.Image) -> Iterator[tuple[int, Pixels]]:
    """Yield (denominator, pixels [H,W,3]) at every scale."""
    for scale in SCALES:
        size = (round(image.width / scale), round(image.height / scale))
        resized = image if scale == 1 else image.resize(size, Image.Resampling.LANCZOS)
        yield scale, np.asarray(resized)


def _between(keep: Mask, scale: int, columns: tuple[float, float] | None) -> Mask:
    """Which of the patch origins in `keep` (on the stride grid, [rows, columns]) lie between two original columns."""
    if columns is None:
        return keep
    left = np.arange(keep.shape[1]) * STRIDE
    return keep & (left * scale >= columns[0]) & ((left + SIDE) * scale <= columns[1])


def _columns(width: int, split: str, training: bool) -> tuple[float, float] | None:
    """The original columns that a part may use; None means all of them."""
    if split == "image":
        return None
    return (0, TRAIN_SHARE * width - GUARD) if training else (TRAIN_SHARE * width + GUARD, np.inf)


def _not_flat(pixels: Pixels) -> Mask:
    """True where a patch's standard deviation is at least `LEAST_SD`: exact, from integer summed-area tables."""
    red, green, blue = np.moveaxis(pixels.astype(np.int64), 2, 0)
    total = _window_sums(red + green + blue)
    squares = _window_sums(red * red + green * green + blue * blue)
    count = SIDE * SIDE * 3
    kept: Mask = count * squares - total * total >= (LEAST_SD * count) ** 2
    return kept


def _window_sums(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sums of `values` [H,W] over every SIDE x SIDE window on the stride grid."""
    table = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums: npt.NDArray[np.int64] = (
        table[SIDE:, SIDE:] - table[:-SIDE, SIDE:] - table[SIDE:, :-SIDE] + table[:-SIDE, :-SIDE]
    )
    return sums[::STRIDE, ::STRIDE]


def _cut(scaled: list[tuple[int, Pixels]], masks: list[Mask], cap: int, name: str) -> tuple[Pixels, Cells]:
    """Cut the wanted patches of one photograph, at most `cap` of them, as [N,3,SIDE,SIDE]; and the cell of each [N].

    Cells lie side by side, SIDE pixels wide and high, at every scale anew.
    """
    counts = [int(mask.sum()) for mask in masks]
    chosen = np.split(_choose(sum(counts), cap, name), np.cumsum(counts)[:-1])
    cut, cells = [], []
    for number, ((_, pixels), mask, keep) in enumerate(zip(scaled, masks, chosen, strict=True)):
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE, SIDE), axis=(0, 1))
        rows, columns = (index[keep] for index in np.nonzero(mask))
        cut.append(np.ascontiguousarray(windows[rows * STRIDE, columns * STRIDE]))
        cells.append((number << 20) + (rows * STRIDE // SIDE << 10) + columns * STRIDE // SIDE)
    return np.concatenate(cut), np.concatenate(cells)


def _choose(count: int, cap: int, name: str) -> Mask:
    """Choose `cap` of `count` by a fixed hash of (photograph, index): a larger cap keeps all that a smaller one chose.

    Integer arithmetic only (the splitmix64 finaliser), so the choice depends on no library's random generator.
    """
    offset = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    key = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(offset)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    key ^= key >> np.uint64(31)
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[np.argsort(key, kind="stable")[:cap]] = True
    return chosen


def _difference(digest: str, which: str) -> str:
    """Say so when the patches are not bit for bit the recorded ones (decoding and resizing are Pillow's)."""
    recorded = manifest()["digests"].get(which)
    if recorded is None or recorded == digest:
        return ""
    made_with = manifest()["recorded_with"]["pillow"]
    return f"patches differ in some pixels from the recorded ones: Pillow {PIL.__version__} here, {made_with} there"
