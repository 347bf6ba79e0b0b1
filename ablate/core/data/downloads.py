"""CIFAR-10, CIFAR-100, MNIST, FashionMNIST and SVHN as torchvision knows them: explicit downloads, always verified.

torchvision is imported inside the functions: the embedded data sets must work without it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.core.data.images import ImageSet, Labels, digest_of_images
from ablate.core.shared.requirements import fetch_command
from ablate.errors import DataError

VALIDATION = 2000
"""The last training images, kept for validation; the test images are scored only at the end."""
_IDX_DIMENSIONS = {2049: 1, 2051: 3}
"""Magic numbers of the MNIST files: labels, images."""

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images [N,C,H,W] and classes [N]."""


@dataclass(frozen=True)
class Source:
    """How torchvision names a data set, and how its files are read."""

    class_name: str
    read: Callable[[Any, Path, bool], Part]
    """(torchvision's class, data folder, training images or the test images); RuntimeError for damaged files."""
    download: Callable[[Any, Path], object]


def _cifar(data_set: Any, folder: Path, training: bool) -> Part:
    found = data_set(root=folder, train=training)
    return found.data.transpose(0, 3, 1, 2), np.asarray(found.targets, dtype=np.int64)


def _svhn(data_set: Any, folder: Path, training: bool) -> Part:
    found = data_set(root=folder / "svhn", split="train" if training else "test")
    return found.data, found.labels.astype(np.int64)


def _mnist(data_set: Any, folder: Path, training: bool) -> Part:
    """The gzip files themselves: torchvision verifies them at the download only, and reads the unpacked ones."""
    raw = folder / data_set.__name__ / "raw"
    sums = dict(data_set.resources)
    start = "train" if training else "t10k"
    images = _idx(raw / f"{start}-images-idx3-ubyte.gz", sums)
    return images[:, None], _idx(raw / f"{start}-labels-idx1-ubyte.gz", sums).astype(np.int64)


def _idx(path: Path, sums: dict[str, str]) -> NDArray[np.uint8]:
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise RuntimeError(f"{path}: {error.strerror}") from error
    if hashlib.md5(packed, usedforsecurity=False).hexdigest() != sums[path.name]:
        raise RuntimeError(f"{path} has another checksum")
    content = gzip.decompress(packed)
    dimensions = _IDX_DIMENSIONS[int.from_bytes(content[:4], "big")]
    shape = [int.from_bytes(content[4 * place : 4 * place + 4], "big") for place in range(1, dimensions + 1)]
    return np.frombuffer(content, np.uint8, offset=4 * (dimensions + 1)).reshape(shape).copy()


def _whole(data_set: Any, folder: Path) -> None:
    data_set(root=folder, download=True)


def _both_parts(data_set: Any, folder: Path) -> None:
    for split in ("train", "test"):
        data_set(root=folder / "svhn", split=split, download=True)


SOURCES = {
    "cifar10": Source("CIFAR10", _cifar, _whole),
    "cifar100": Source("CIFAR100", _cifar, _whole),
    "mnist": Source("MNIST", _mnist, _whole),
    "fashion-mnist": Source("FashionMNIST", _mnist, _whole),
    "svhn": Source("SVHN", _svhn, _both_parts),
}


def load(name: str, folder: Path) -> ImageSet:
    """Return the data set `name` from `folder`, every file verified by its MD5 sum.

    Raises DataError when a file is missing or altered. Never downloads.
    """
    source = SOURCES[name]
    data_set = _torchvision(name, source)
    try:
        parts = [source.read(data_set, folder, training) for training in (True, False)]
    except RuntimeError as error:
        raise DataError(f"{name} is not in {folder}, or a file of it is corrupt", hint=fetch_command(name)) from error
    (train, classes), (test, test_classes) = ((_tensor(images), torch.from_numpy(kinds)) for images, kinds in parts)
    kept, validation = train[:-VALIDATION], train[-VALIDATION:]
    labels = Labels(classes[:-VALIDATION], test_classes)
    return ImageSet(name, kept, test, validation, digest_of_images(kept, validation, test), labels=labels)


def fetch(name: str, folder: Path, tell: Callable[[str], None]) -> Path:
    """Download the data set `name` into `folder` unless a verified copy is there; return `folder`.

    Raises DataError with the reason when the server cannot be reached, the download is corrupt, or the folder cannot
    be written.
    """
    source = SOURCES[name]
    data_set = _torchvision(name, source)
    try:
        load(name, folder)
    except DataError:
        tell(f"downloading {name} from {_origin(data_set)} to {folder}")
    else:
        tell(f"{name} is already in {folder}, verified")
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source.download(data_set, folder)
        load(name, folder)
    except OSError as error:  # URLError is one
        reason = getattr(error, "reason", None) or error.strerror or error
        raise DataError(f"cannot download {name}: {reason}", hint=_bring(name, data_set, folder)) from error
    except RuntimeError as error:
        hint = _bring(name, data_set, folder)
        if "Error downloading" in str(error):  # all mirrors were tried in vain
            reason = " ".join(str(error).split())
            raise DataError(f"cannot download {name}: {reason}", hint=hint) from error
        raise DataError(f"the downloaded {name} archive is corrupt", hint=hint) from error
    tell(f"{name} is in {folder}, verified")
    return folder


def _origin(data_set: Any) -> str:
    if hasattr(data_set, "url"):
        return str(data_set.url)
    return str(data_set.mirrors[0] if hasattr(data_set, "mirrors") else data_set.split_list["train"][0])


def _bring(name: str, data_set: Any, folder: Path) -> str:
    """How to go on without a network."""
    if name.startswith("cifar"):
        return f"unpack {data_set.filename} so that {folder / data_set.base_folder} exists, then run this command again"
    if name == "svhn":
        return f"bring train_32x32.mat and test_32x32.mat to {folder / 'svhn'}, then run this command again"
    names = ", ".join(file for file, _ in data_set.resources)
    return f"bring {names} to {folder / data_set.__name__ / 'raw'}, then run this command again"


def _torchvision(name: str, source: Source) -> Any:
    """Return torchvision's class; DataError when torchvision cannot be imported."""
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise DataError(f"{name} needs torchvision, which cannot be imported: {error}") from error
    return getattr(datasets, source.class_name)


def _tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images))
