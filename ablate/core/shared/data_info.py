"""What is known of a data set without reading its images: shape, counts, where it lies. Imports no torch."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ablate.errors import DataError

FOLDER = "folder:"
"""Images of the user's own: ``folder:PATH``."""
DEFAULT_SIZE = 32
"""Height and width that the images of a folder are brought to, unless `image_size` says so."""
TRAINED, VALIDATED = 0.8, 0.9
"""Shares of a folder's images, by a hash of their names: to train, up to here to validate, the rest is held out."""
SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".jp2", ".j2k", ".pbm", ".pcx", ".pgm"}
    | {".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"}
)
"""Names of image files; whatever else lies in a folder is left alone."""
_RESOLVED = re.compile(r"(?P<path>.+)#(?P<digest>[0-9a-f]{16})", re.DOTALL)


@dataclass(frozen=True)
class DataInfo:
    """Shape and size of a data set that has a name."""

    channels: int
    size: int
    """Height and width in pixels."""
    training: int
    held_out: int
    marker: str = ""
    """A file or folder below the data folder that is there once it was fetched; empty for data that ablate brings."""


KNOWN = {
    "skimage-patches": DataInfo(3, 32, 19_148, 7_026),  # for the default cap and split
    "digits": DataInfo(1, 8, 1_257, 360),
    "mnist": DataInfo(1, 28, 58_000, 10_000, "MNIST/raw"),
    "fashion-mnist": DataInfo(1, 28, 58_000, 10_000, "FashionMNIST/raw"),
    "cifar10": DataInfo(3, 32, 48_000, 10_000, "cifar-10-batches-py"),
    "cifar100": DataInfo(3, 32, 48_000, 10_000, "cifar-100-python"),
    "svhn": DataInfo(3, 32, 71_257, 26_032, "svhn/train_32x32.mat"),
}

LABELLED = tuple(name for name in KNOWN if name != "skimage-patches")
"""Data sets that say which class an image is of."""


def check_name(name: str) -> None:
    """Raise DataError unless `name` is a data set's, or ``folder:PATH``."""
    if name in KNOWN or (name.startswith(FOLDER) and name != FOLDER):
        return
    close = difflib.get_close_matches(name, [*KNOWN, f"{FOLDER}PATH"], n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(KNOWN)}, {FOLDER}PATH"
    raise DataError(f"unknown data set {name!r}", hint=hint)


def shape_of(name: str, image_size: int | None, greyscale: bool) -> tuple[int, int, int]:
    """Return channels, height and width of a data set's images."""
    if name.startswith(FOLDER):
        side = image_size or DEFAULT_SIZE
        return (1 if greyscale else 3), side, side
    info = KNOWN[name]
    return info.channels, info.size, info.size


def folder_path(name: str) -> Path:
    """Return the folder behind ``folder:PATH``, relative to the working directory unless PATH is absolute."""
    return Path(_parts(name)[0])


def folder_digest(name: str) -> str | None:
    """Return the digest of the contents that ``folder:PATH#digest`` asks for, None where it names none."""
    return _parts(name)[1]


def _parts(name: str) -> tuple[str, str | None]:
    text = name.removeprefix(FOLDER)
    match = _RESOLVED.fullmatch(text)
    return (text, None) if match is None else (match["path"], match["digest"])


def with_digest(name: str) -> str:
    """Return ``folder:PATH`` with the digest of what is in the folder, so that a recipe's numbers have one source.

    Raises DataError when there is no such folder, no image in it, or one that cannot be read.
    """
    if folder_digest(name) is not None:
        return name
    return f"{name}#{content_digest(folder_path(name))}"


def images_in(folder: Path) -> list[Path]:
    """Return the image files below `folder`, by name; hidden ones left out. Raises DataError for none."""
    if not folder.is_dir():
        raise DataError(
            f"{FOLDER}{folder}: there is no such folder", hint="its path counts from where ablate is called"
        )
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not found:
        raise DataError(f"{FOLDER}{folder}: no image in it", hint="what Pillow reads: .png, .jpg, .webp, .tif, ...")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def content_digest(folder: Path) -> str:
    """Return 16 hex digits over names and bytes of the images in `folder`; read once while nothing changes."""
    paths = images_in(folder)
    stamps = tuple((path.as_posix(), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    return _content_digest(folder, stamps)


@lru_cache(maxsize=16)
def _content_digest(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for text, _, _ in stamps:
        path = Path(text)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        total.update(hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:16]


def part_of(relative: str) -> str:
    """Return ``train``, ``validation`` or ``test`` for an image of a folder: by a hash of its relative name alone.

    So an image stays in its part when others come or go.
    """
    place = int.from_bytes(hashlib.sha256(relative.encode()).digest()[:8], "big") / 2**64
    return "train" if place < TRAINED else "validation" if place < VALIDATED else "test"


def folder_counts(folder: Path) -> dict[str, int]:
    """Return how many images of a folder are in each part."""
    counts = {"train": 0, "validation": 0, "test": 0}
    for path in images_in(folder):
        counts[part_of(path.relative_to(folder).as_posix())] += 1
    return counts
