"""What generated images are scored against: training images, and the scores of three sets whose quality is known.

A score of a generated set means nothing alone. Beside it stand the same score of other training images (the floor
that a perfect generator reaches at this number of images), of held-out images, and of samples of a Gaussian with the
training images' pixel mean and covariance (what second-order statistics alone are worth).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from ablate.core.data import ImageSet, as_unit, to_uint8
from ablate.core.diffusion.validation import EVALUATION_SEED, fixed_choice
from ablate.core.scores.classifier import SCORES as CLASSIFIED
from ablate.core.scores.classifier import Classifier
from ablate.core.scores.diversity import effective_rank, mean_pairwise_distance
from ablate.core.scores.features import FeatureScale, gabor_features
from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.kid import kernel_distance
from ablate.core.scores.memorisation import LOW_QUANTILE, nearness
from ablate.core.scores.prdc import prdc
from ablate.core.shared.seeding import generator

HELD_OUT = 2000
"""Held-out images, at most, whose distances to the training images say what is usual: half set the quantile."""
SCALE_IMAGES = 4000
"""Training images, at most, that give the features their origin and unit."""
SHOWN = 12
"""Images of a set that are shown."""
_ROWS = 256


_COPYING = ("nn_copies", "carlini_copies", "nn_distance")
SHARES = ("precision", "recall", "density", "coverage")
DISTANCES = {3: "gfd78", 1: "gfd26"}
"""Channels -> the name of the Gabor-Fréchet distance, with the number of its features."""
QUALITY = (*DISTANCES.values(), "kid_gabor", *SHARES, "pairwise_distance", "effective_rank")
"""Scores of a set by its features."""
KNOWN = ("real", "heldout", "gaussian")
"""Suffixes of the scores of the known sets."""


@dataclass(frozen=True)
class Reference:
    """N training images by their features."""

    scale: FeatureScale
    features: Tensor
    """Scaled Gabor features of the N reference images, float64 [N,78 or 26]."""

    @classmethod
    def build(cls, images: ImageSet, count: int) -> Self:
        """Measure `count` training images."""
        scale = FeatureScale.fit(gabor_features(reference_images(images.train, max(2 * count, SCALE_IMAGES))))
        return cls(scale, scale(gabor_features(reference_images(images.train, 2 * count)[:count])))

    def distance(self, images: Tensor) -> float:
        """Return the Gabor-Fréchet distance of uint8 `images` [M,C,H,W] to the first M reference images."""
        return frechet_distance(self.features[: len(images)], self.scale(gabor_features(images)))

    def quality(self, images: Tensor, names: Collection[str] = QUALITY) -> dict[str, float]:
        """Compare uint8 `images` [M,C,H,W] with the reference: those of `names` that are among `QUALITY`.

        M is N where values shall be comparable. A score is the same whatever else is asked for.
        """
        asked = [name for name in QUALITY if name in names]
        if not asked:
            return {}
        features = self.scale(gabor_features(images))
        found: dict[str, float] = {}
        if (distance := DISTANCES[images.shape[1]]) in asked:
            found[distance] = frechet_distance(self.features, features)
        if "kid_gabor" in asked:
            found["kid_gabor"] = kernel_distance(self.features, features)
        if not set(SHARES).isdisjoint(asked):
            shares = prdc(self.features, features)
            found |= {name: getattr(shares, name) for name in SHARES if name in asked}
        if "pairwise_distance" in asked:
            found["pairwise_distance"] = mean_pairwise_distance(features)
        if "effective_rank" in asked:
            found["effective_rank"] = effective_rank(features)
        return found

    def state(self) -> dict[str, Any]:
        """Plain tensors for the stage cache."""
        return {"mean": self.scale.mean, "sd": self.scale.sd, "features": self.features}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device) -> Self:
        """Rebuild a reference from `state`."""
        return cls(FeatureScale(state["mean"].to(device), state["sd"].to(device)), state["features"].to(device))


@dataclass(frozen=True)
class UsualNearness:
    """How near held-out images come to training images: what a copy is told from."""

    low_nn_ratio: float
    """The 1 % quantile of held-out images' NN ratios (see `memorisation`)."""
    low_carlini_ratio: float

    @classmethod
    def build(cls, images: ImageSet, gallery: Tensor) -> Self:
        """Measure one half of the held-out images against `gallery`, the images that were trained on."""
        usual = held_out_images(images.test, HELD_OUT)
        half = nearness(usual[: len(usual) // 2], gallery)
        return cls(_low(half.nn_ratio), _low(half.carlini_ratio))

    def copying(self, images: Tensor, gallery: Tensor, names: Collection[str] = _COPYING) -> dict[str, float]:
        """Shares of uint8 `images` suspiciously near to a training image, and how near they are in the middle.

        Those of `names` that are among these scores.
        """
        asked = [name for name in _COPYING if name in names]
        if not asked:
            return {}
        near = nearness(images, gallery)
        found = {
            "nn_copies": float((near.nn_ratio < self.low_nn_ratio).double().mean()),
            "carlini_copies": float((near.carlini_ratio < self.low_carlini_ratio).double().mean()),
            "nn_distance": float(near.distance.median()),
        }
        return {name: found[name] for name in asked}


def asks_for_copies(names: Collection[str]) -> bool:
    """True when one of `names` is a score of nearness to training images, of samples or of a known set."""
    return any(name.startswith(_COPYING) for name in names)


def known_scores(
    images: ImageSet,
    gallery: Tensor,
    count: int,
    against: Reference,
    usual: UsualNearness | None,
    classifier: Classifier | None,
    names: Collection[str],
) -> dict[str, float]:
    """Return the scores of known sets among `names`, such as ``gfd78_real`` or ``nn_copies_gaussian``.

    `images` holds at least 2 `count` training and `count` held-out images; `usual` is needed for nearness,
    `classifier` for what a classifier says.
    """
    found: dict[str, float] = {}
    for known in KNOWN:
        bare = {name.removesuffix(f"_{known}") for name in names if name.endswith(f"_{known}")}
        if bare.isdisjoint({*QUALITY, *_COPYING, *CLASSIFIED}):
            continue
        chosen = known_set(images, count, known)
        scores = against.quality(chosen, bare)
        if classifier is not None:
            scores |= classifier.scores(chosen, bare)
        if usual is not None and known != "real":
            others = held_out_images(images.test, HELD_OUT)
            near = others[len(others) // 2 :] if known == "heldout" else chosen
            scores |= usual.copying(near, gallery, bare)
        found |= {f"{name}_{known}": value for name, value in scores.items()}
    return found


def known_set(images: ImageSet, count: int, name: str) -> Tensor:
    """Return a set of known quality, uint8 [count,C,H,W]: ``reference``, ``real``, ``heldout`` or ``gaussian``."""
    if name == "heldout":
        return held_out_images(images.test, count)
    if name == "gaussian":
        return gaussian_images(images.train, count)
    drawn = reference_images(images.train, 2 * count)
    return drawn[:count] if name == "reference" else drawn[count:]


def held_out_images(test: Tensor, count: int) -> Tensor:
    """Return the first `count` held-out images of a fixed order, or all of `test`: uint8 [count,3,H,W]."""
    return test[fixed_choice(len(test), count, "held-out-images").to(test.device)]


def reference_images(train: Tensor, count: int) -> Tensor:
    """Return the first `count` images of the reference, or all of `train`: uint8 [count,3,H,W]."""
    return train[fixed_choice(len(train), count, "reference-images").to(train.device)]


def gaussian_images(train: Tensor, count: int) -> Tensor:
    """Return uint8 samples [count,3,H,W] of a Gaussian with the pixel mean and covariance of `train` (uint8).

    Random combinations of the centred images with standard normal weights over the root of N - 1, then clipped.
    """
    flat = as_unit(train).flatten(1)
    mean = flat.mean(0)
    parts = []
    for block, first in enumerate(range(0, count, _ROWS)):
        rows = min(_ROWS, count - first)
        weights = torch.randn(rows, len(flat), generator=generator(EVALUATION_SEED, "gaussian-model", block))
        weights = weights.to(flat.device) / (len(flat) - 1) ** 0.5
        # W (X - 1 m') = W X - (W 1) m', without a second copy of X.
        combined = weights @ flat - weights.sum(1, keepdim=True) * mean
        parts.append(to_uint8((mean + combined).unflatten(1, train.shape[1:])))
    return torch.cat(parts)


def _low(values: Tensor) -> float:
    return float(torch.quantile(values.double(), LOW_QUANTILE))
