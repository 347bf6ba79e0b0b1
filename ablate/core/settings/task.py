"""What the models are compared on: the data, what is restored or generated, and how it is scored."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import model_validator

from ablate.core.settings.base import factor
from ablate.core.shared.data_info import FOLDER, check_name, shape_of, with_digest
from ablate.errors import DataError
from ablate.interface import CoreSettings


class TaskSettings(CoreSettings):
    """Task, data and evaluation."""

    task: Literal["restoration", "generation"] = factor(
        "restoration", "what is compared: restoring corrupted held-out images, or generating images from noise"
    )

    data: str = factor(
        "skimage-patches",
        "data set: skimage-patches, digits, mnist, fashion-mnist, cifar10, cifar100, svhn, or folder:PATH",
    )
    image_size: int | None = factor(
        None,
        "folder: height and width that images are brought to, 32 when nothing is stated",
        unit="pixels",
        ge=4,
        le=512,
    )
    greyscale: bool = factor(False, "folder: images in one channel")
    split: Literal["block", "image"] = factor(
        "block", "what is held out: the right-hand block of every photograph, or whole photographs (skimage-patches)"
    )
    cap_per_image: int = factor(3000, "largest number of training patches per photograph", unit="images", ge=1)
    train_images: int = factor(0, "size of a seeded subset of the training images; 0 takes all", unit="images", ge=0)
    horizontal_flip: bool = factor(True, "flip training images left-right with probability 1/2")
    corruption: Literal["noise", "inpainting", "super-resolution-2x", "super-resolution-4x"] = factor(
        "noise",
        "how the images to restore are corrupted, in addition to noise_sigma: missing pixels, or means over 2x2 or "
        "4x4 blocks",
    )
    mask_fraction: float = factor(0.5, "share of missing pixels (inpainting)", gt=0, lt=1)
    noise_sigma: float = factor(25.0, "noise on the observed images, on the 0..255 scale", unit="/255", ge=0, le=255)
    eval_images: int = factor(32, "held-out images that every trial restores", unit="images", ge=1, le=10_000)
    samples: int = factor(
        256,
        "images generated and compared with as many training images (generation)",
        unit="images",
        ge=20,
        le=50_000,
    )
    curve_images: int | None = factor(
        None,
        "images scored at each point of the learning curve; by default 8 restored or 64 generated",
        ge=2,
        le=50_000,
    )
    eval_seeds: int = factor(
        1, "number of evaluations, each with its own noise; eval_sd is their standard deviation", ge=1, le=100
    )
    timing_batch: int = factor(16, "images per batch when the reverse process is timed", unit="images", ge=1, le=4096)
    quality: float | None = factor(
        None,
        "declared quality for steps_to_quality and similar metrics: PSNR in dB (restoration) or gfd78 (generation)",
        gt=0,
    )
    quality_steps: str = factor(
        "5-10-20-50-100-200",
        "sampling steps tried for steps_to_quality, ascending, joined by dashes",
        pattern=r"^[1-9]\d{0,4}(-[1-9]\d{0,4})*$",
    )
    generated_images: int = factor(
        8, "images generated from pure noise for the report (restoration)", unit="images", ge=0, le=256
    )
    generation_steps: int = factor(
        20, "largest number of network evaluations per generated image", unit="steps", ge=1, le=10_000
    )

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, data: Any) -> Any:
        """Name what is in a folder, so that the same recipe means the same images; refuse unknown names."""
        if not isinstance(data, dict) or not isinstance(name := data.get("data"), str):
            return data
        try:
            check_name(name)
            return {**data, "data": with_digest(name)} if name.startswith(FOLDER) else data
        except DataError as error:
            raise ValueError(f"{error.message}; {error.hint}" if error.hint else error.message) from error

    @model_validator(mode="after")
    def _own_size(self) -> Self:
        """Refuse to state what only a folder's images can be."""
        if self.data.startswith(FOLDER):
            return self
        channels, side, _ = self.image_shape
        if self.greyscale:
            kind = "grey" if channels == 1 else "coloured"
            raise ValueError(f"greyscale is for images of folder:PATH; those of {self.data} are {kind} as they come")
        if self.image_size not in (None, side):
            raise ValueError(f"image_size is for images of folder:PATH; those of {self.data} have {side} pixels")
        return self

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the data set's images."""
        return shape_of(self.data, self.image_size, self.greyscale)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        """Refuse a grid of steps that does not ascend."""
        if any(b <= a for a, b in pairwise(self.steps_grid)):
            raise ValueError(f"quality_steps {self.quality_steps} is not ascending")
        return self

    @property
    def steps_grid(self) -> tuple[int, ...]:
        """`quality_steps` as numbers."""
        return tuple(int(part) for part in self.quality_steps.split("-"))

    @property
    def curve_count(self) -> int:
        """Images scored at each point of the learning curve."""
        return self.curve_images or (8 if self.task == "restoration" else 64)
