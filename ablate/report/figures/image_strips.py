"""Rows of small images for the report: the same images, noise and seed in every arm, never picked by hand."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from ablate.outcome import OutcomeKind
from ablate.paths import StudyPaths, TrialPaths
from ablate.report.data.material import Material
from ablate.report.text import numerals

Images = NDArray[np.uint8]
"""[N,3,H,W] uint8."""

FILE = "restored.npz"
PICTURES = "pictures"
"""Kind of row, and key of a study, of pictures that a command wrote."""
TRAINING_FILE = "training.npz"
"""Images scored at the points of the learning curve: one array per point, named by the training images seen."""
NAMES = ("original", "noisy", "start", "restored", "generated")
"""Arrays a trial may keep; any may be missing."""
MOST_ARMS = 24
"""Arms whose images are shown; more would make a page of pictures only."""
_MOST_IMAGES = 8
_MOST_POINTS = 8
_LARGEST_FILE = 50_000_000
_LARGEST_ROW = (4096, 1024)
"""Width and height of a row of a command's pictures, in pixels; more than a worker makes."""


@dataclass(frozen=True)
class Strip:
    """One labelled row of images."""

    kind: str
    """``restored``, ``generated``, ``training`` or ``pictures``."""
    label: str
    note: str
    caption: str
    alt: str
    pixels: Images
    png: bytes
    share: float = 1.0
    """Of the longest row of its kind: rows of fewer images are drawn narrower, so that all images are of one size."""


def strips_of(material: Material, paths: StudyPaths) -> list[Strip]:
    """Return the rows: original, noisy, then what every arm made of them, and what every arm generates."""
    seed = _shared_seed(material)
    if seed is None:
        return []
    folders = {
        arm.name: paths.trial(arm.name, seed).folder
        for arm in material.shown_arms[:MOST_ARMS]
        if (row := material.results.get((arm.name, seed))) is not None and row.outcome is OutcomeKind.MEASURED
    }
    kept = {arm: found for arm, folder in folders.items() if (found := read_images(folder / FILE))}
    trained = {arm: read_points(folder / TRAINING_FILE) for arm, folder in folders.items()}
    written = _pictures(folders, seed) if material.study.core_parameters.get(PICTURES) else ()
    return _to_scale([*_restored(kept, seed), *_generated(kept, seed), *_over_training(trained, seed), *written])


def _to_scale(strips: Sequence[Strip]) -> list[Strip]:
    def length(strip: Strip) -> int:
        # A command's pictures are one image: of any size, and already side by side.
        return strip.pixels.shape[3] if strip.kind == PICTURES else len(strip.pixels)

    longest: dict[str, int] = {}
    for strip in strips:
        longest[strip.kind] = max(longest.get(strip.kind, 0), length(strip))
    return [replace(strip, share=length(strip) / longest[strip.kind]) for strip in strips]


def _pictures(folders: Mapping[str, Path], seed: int) -> Iterator[Strip]:
    caption = f"Pictures that the command wrote, seed {seed} in every arm: the first ones by name, without selection."
    for arm, folder in folders.items():
        if (pixels := read_row(TrialPaths(folder).samples)) is not None:
            yield _strip(PICTURES, arm, "", caption, pixels)


def read_row(path: Path) -> Images | None:
    """Return a row of pictures as one image [1,3,H,W]; None for a missing or broken file, and for one far too large."""
    from PIL import Image

    try:
        if path.stat().st_size > _LARGEST_FILE:
            return None
        with Image.open(path, formats=["PNG"]) as image:
            if image.width > _LARGEST_ROW[0] or image.height > _LARGEST_ROW[1]:
                return None
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)[None]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _shared_seed(material: Material) -> int | None:
    """The lowest seed the baseline has measured, or else any arm: decided before looking at an image."""
    measured = [key for key, row in material.results.items() if row.outcome is OutcomeKind.MEASURED]
    own = [seed for arm, seed in measured if arm == material.study.baseline.name]
    return min(own or [seed for _, seed in measured], default=None)


def read_images(path: Path) -> dict[str, Images]:
    """Return the known arrays of an image file, the first few images of each."""
    return {name: images[:_MOST_IMAGES] for name, images in _read(path, lambda name: name in NAMES).items()}


def read_points(path: Path) -> dict[int, Images]:
    """Return training images seen -> images scored there, in order; nothing for a missing or broken file."""
    found = {int(name): images for name, images in _read(path, str.isdecimal).items()}
    return dict(sorted(found.items()))


def _read(path: Path, wanted: Callable[[str], bool]) -> dict[str, Images]:
    """The wanted arrays that have the right shape and type; nothing for a missing or broken file."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return {}
        with path.open("rb") as handle:
            stored = np.load(handle, allow_pickle=False)
            if not isinstance(stored, NpzFile):
                return {}
            arrays = {name: stored[name] for name in stored.files if wanted(name)}
            return {name: array for name, array in arrays.items() if _fits(array)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
        return {}


def _fits(array: NDArray[np.generic]) -> bool:
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] == 3 and 0 not in array.shape


def _restored(kept: Mapping[str, Mapping[str, Images]], seed: int) -> Iterator[Strip]:
    first = next((images for images in kept.values() if "original" in images), None)
    if first is None or not any("restored" in images for images in kept.values()):
        return
    count = _images_text(len(first["original"]))
    caption = f"The first {count} of the held-out set, seed {seed}, without selection. Mean PSNR of the images shown."
    original = first["original"]
    yield _strip("restored", "original", "", caption, original)
    if "noisy" in first:
        yield _strip("restored", "noisy input", _quality(first["noisy"], original), caption, first["noisy"])
    starts = list(_different_starts(kept))
    for arm, images in kept.items():
        start = next((label for label, first_arm in starts if first_arm == arm), None)
        if start is not None:
            yield _strip("restored", start, _quality(images["start"], original), caption, images["start"])
        if "restored" in images:
            yield _strip("restored", arm, _quality(images["restored"], original), caption, images["restored"])


def _different_starts(kept: Mapping[str, Mapping[str, Images]]) -> Iterator[tuple[str, str]]:
    """Label and arm of every DIP output that was not shown before: most arms share the baseline's."""
    shown: list[Images] = []
    for arm, images in kept.items():
        start = images.get("start")
        if start is None or any(_same(start, other) for other in (*shown, images.get("noisy"), images.get("restored"))):
            continue
        yield (f"DIP output, {arm}" if shown else "DIP output", arm)
        shown.append(start)


def _generated(kept: Mapping[str, Mapping[str, Images]], seed: int) -> Iterator[Strip]:
    for arm, images in kept.items():
        if "generated" in images:
            caption = (
                f"Generated from pure noise, the same noise in every arm, seed {seed}: the first ones, without "
                "selection."
            )
            yield _strip("generated", arm, "", caption, images["generated"])


def _over_training(trained: Mapping[str, Mapping[int, Images]], seed: int) -> Iterator[Strip]:
    """One row per arm: its first image at some points of the learning curve, evenly over those there are."""
    for arm, points in trained.items():
        if len(points) < 2:
            continue
        places = np.unique(np.linspace(0, len(points) - 1, _MOST_POINTS).round().astype(int))
        counts = [list(points)[place] for place in places]
        if len({points[count].shape[1:] for count in counts}) > 1:
            continue
        caption = (
            f"The first image during training, from left to right, seed {seed}: the same noise at every point "
            "and in every arm. Under the name: training images seen at the first and the last point shown."
        )
        note = f"{counts[0]:,} to {counts[-1]:,} images"
        yield _strip("training", arm, note, caption, np.concatenate([points[count][:1] for count in counts]))


def _images_text(count: int) -> str:
    return numerals.plural(count, "image")


def _same(first: Images, second: Images | None) -> bool:
    return second is not None and first.shape == second.shape and bool(np.array_equal(first, second))


def _quality(images: Images, original: Images) -> str:
    """Mean over the images of 10 log10(255^2 / mean squared error), for example ``27.4 dB``."""
    if images.shape != original.shape:
        return ""
    errors = ((images.astype(np.float64) - original.astype(np.float64)) ** 2).mean(axis=(1, 2, 3))
    if not (errors > 0).all():
        return ""
    return f"{float(np.mean(10 * np.log10(255.0**2 / errors))):.1f} dB"


def _strip(kind: str, label: str, note: str, caption: str, pixels: Images) -> Strip:
    what = {"training": "over training, "}.get(kind, "")
    alt = f"{_images_text(len(pixels))} in a row: {what}{label}{f', {note}' if note else ''}"
    if kind == PICTURES:
        alt = f"Pictures of {label}, side by side"
    return Strip(
        kind, label, note, caption, alt, pixels, _png(np.concatenate(list(pixels.transpose(0, 2, 3, 1)), axis=1))
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode [H,W,3] uint8 as PNG, without loss and without a date."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def sheet(strips: Sequence[Strip], *, enlarge: int = 3, gap: int = 4) -> bytes:
    """Return all rows with their labels as one PNG; every pixel becomes a block, so nothing is smoothed.

    A command's pictures keep their size.
    """
    enlarge = 1 if any(strip.kind == PICTURES for strip in strips) else enlarge
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=13)
    labels = [f"{strip.label}  {strip.note}".strip() for strip in strips]
    margin = max(math.ceil(font.getlength(label)) for label in labels) + 2 * gap
    blocks = [strip.pixels.repeat(enlarge, axis=2).repeat(enlarge, axis=3) for strip in strips]
    height = gap + sum(block.shape[2] + gap for block in blocks)
    width = margin + max(len(block) * (block.shape[3] + gap) for block in blocks)
    canvas = Image.new("RGB", (width, height), (255, 255, 255))
    pen, top = ImageDraw.Draw(canvas), gap
    for label, block in zip(labels, blocks, strict=True):
        pen.text((gap, top + block.shape[2] // 2), label, fill=(32, 32, 32), font=font, anchor="lm")
        for column, image in enumerate(block.transpose(0, 2, 3, 1)):
            canvas.paste(Image.fromarray(np.ascontiguousarray(image)), (margin + column * (block.shape[3] + gap), top))
        top += block.shape[2] + gap
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()
