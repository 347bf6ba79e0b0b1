"""The shape all data sets have, and the one exact way from bytes to [-1,1] and back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Labels:
    """Classes int64 [N], counted from 0, in the order of the images."""

    train: Tensor
    test: Tensor

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.train.max()) + 1


@dataclass(frozen=True)
class ImageSet:
    """Images of one data set, split before anything was cut or drawn.

    All images are uint8 [N,C,H,W] of one shape, contiguous, and are shared between callers: never change them in place.
    """

    name: str
    train: Tensor
    test: Tensor
    """Held out: scored at the end, nothing is chosen on it."""
    validation: Tensor
    """For curves during training: the last of what others call training images, and `test` itself for photographs."""
    digest: str
    """64 hex digits over every pixel of train, validation and test."""
    cells: Tensor | None = None
    """int64 [N]: the 32x32 cell of its photograph that each training patch begins in; None where no images overlap."""
    labels: Labels | None = None
    """Which class every image is of, where the data set says so."""
    note: str = ""
    """Not empty when the pixels differ from those recorded in the manifest: which package does it differently."""

    def to(self, device: str | torch.device) -> ImageSet:
        """Return the set with its tensors on `device`."""
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in ("train", "test")}
        same = self.validation is self.test
        if self.labels is not None:
            moved["labels"] = Labels(*(part.to(device) for part in (self.labels.train, self.labels.test)))
        return replace(self, **moved, validation=moved["test"] if same else self.validation.to(device))


def digest_of_images(*parts: Tensor) -> str:
    """Return the SHA-256 over shapes and pixels of uint8 tensors on the CPU."""
    total = hashlib.sha256()
    for part in parts:
        total.update(repr(tuple(part.shape)).encode())
        total.update(part.contiguous().numpy().data)
    return total.hexdigest()


# Division by 255, then (x - 0.5) / 0.5, each rounded to float32: what ToTensor and Normalize(0.5, 0.5) do. The 256
# results are computed once on the CPU and looked up, because a GPU may divide by multiplying with a reciprocal.
_UNIT = torch.arange(256, dtype=torch.float32).div_(255).sub_(0.5).div_(0.5)


def as_unit(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [-1,1], same shape: bitwise ToTensor followed by Normalize(0.5, 0.5)."""
    # index_select on a flat index is five times faster on CPU than indexing by the images' own shape.
    return _unit_on(images.device).index_select(0, images.reshape(-1).int()).view(images.shape)


@cache
def _unit_on(device: torch.device) -> Tensor:
    """The table on `device`, copied there once: a step recorded as a CUDA graph may not copy from the host."""
    return _UNIT.to(device)


def to_uint8(unit: Tensor) -> Tensor:
    """Return images in [-1,1] (clipped) as uint8, rounded to the nearest level; undoes `as_unit` exactly."""
    return unit.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
