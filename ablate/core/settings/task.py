"""What the models are compared on: the data, what is restored or generated, and how it is scored."""

from __future__ import annotations

from typing import Literal

from ablate.core.settings.base import factor
from ablate.interface import CoreSettings


class TaskSettings(CoreSettings):
    """Task, data and evaluation."""

    task: Literal["restoration"] = factor("restoration", "what the models are compared on: denoising held-out images")

    data: Literal["skimage-patches", "cifar10"] = factor("skimage-patches", "data set of 32x32 colour images")
    split: Literal["block", "image"] = factor(
        "block", "held out: the right-hand block of every photograph, or whole photographs (skimage-patches)"
    )
    cap_per_image: int = factor(3000, "at most this many training patches per photograph", unit="images", ge=1)
    train_images: int = factor(0, "size of a seeded subset of the training images; 0 takes all", unit="images", ge=0)
    horizontal_flip: bool = factor(True, "flip training images left-right with probability 1/2")
    noise_sigma: float = factor(25.0, "noise on the images to restore, on the 0..255 scale", unit="/255", gt=0, le=255)
    eval_images: int = factor(32, "held-out images that every trial restores", unit="images", ge=1, le=10_000)
    generated_images: int = factor(8, "images generated from pure noise for the report", unit="images", ge=0, le=256)
    generation_steps: int = factor(
        20, "network evaluations per generated image, at most", unit="steps", ge=1, le=10_000
    )
