"""``cifar10`` through torchvision: an explicit, verified download, or a folder that is already there.

torchvision is imported inside the functions: the embedded data set must work without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate.core.data.images import ImageSet, digest_of_images
from ablate.core.shared.requirements import FETCH
from ablate.errors import DataError

VALIDATION = 2000
"""The last training images, kept for validation; the test images are scored only at the end."""


def load(folder: Path) -> ImageSet:
    """Return CIFAR-10 from `folder` (it holds ``cifar-10-batches-py``), every file verified by its MD5 sum.

    Raises DataError when a file is missing or altered. Never downloads.
    """
    try:
        train, test = (_planes(_torchvision()(root=folder, train=part).data) for part in (True, False))
    except RuntimeError as error:
        raise DataError(f"cifar10 is not in {folder}, or a file of it is corrupt", hint=FETCH) from error
    kept, validation = train[:-VALIDATION], train[-VALIDATION:]
    return ImageSet("cifar10", kept, test, validation, digest_of_images(kept, validation, test))


def fetch(folder: Path, tell: Callable[[str], None]) -> Path:
    """Download CIFAR-10 (170 MB) into `folder` unless a verified copy is there; return `folder`.

    Raises DataError with the reason when the server cannot be reached, the download is corrupt, or the folder cannot
    be written.
    """
    data_set = _torchvision()
    try:
        load(folder)
    except DataError:
        tell(f"downloading cifar10 from {data_set.url} to {folder}")
    else:
        tell(f"cifar10 is already in {folder}, verified")
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data_set(root=folder, download=True)
        load(folder)
    except OSError as error:  # URLError is one
        reason = getattr(error, "reason", None) or error.strerror or error
        raise DataError(f"cannot download cifar10: {reason}", hint=_bring(data_set, folder)) from error
    except RuntimeError as error:
        raise DataError("the downloaded cifar10 archive is corrupt", hint=_bring(data_set, folder)) from error
    tell(f"cifar10 is in {folder}, verified")
    return folder


def _bring(data_set: Any, folder: Path) -> str:
    """How to go on without a network."""
    return f"unpack {data_set.filename} so that {folder / data_set.base_folder} exists, then run this command again"


def _torchvision() -> Any:
    """Return torchvision's CIFAR10 class; DataError when torchvision cannot be imported."""
    try:
        from torchvision.datasets import CIFAR10
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise DataError(f"cifar10 needs torchvision, which cannot be imported: {error}") from error
    return CIFAR10


def _planes(images: Any) -> Tensor:
    """Turn torchvision's [N,32,32,3] array into a contiguous uint8 [N,3,32,32] tensor."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
