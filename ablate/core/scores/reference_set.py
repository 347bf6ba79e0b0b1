"""What generated images are scored against: training images, and the scores of three sets whose quality is known.

A score of a generated set means nothing alone. Beside it stand the same score of other training images (the floor
that a perfect generator reaches at this number of images), of held-out images, and of samples of a Gaussian with the
training images' pixel mean and covariance (what second-order statistics alone are worth).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from ablate.core.data import ImageSet, as_unit, to_uint8
from ablate.core.diffusion.validation import EVALUATION_SEED, fixed_choice
from ablate.core.scores.diversity import effective_rank, mean_pairwise_distance
from ablate.core.scores.features import FeatureScale, gabor_features
from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.kid import kernel_distance
from ablate.core.scores.memorisation import LOW_QUANTILE, Nearness, nearness
from ablate.core.scores.prdc import prdc
from ablate.core.shared.seeding import generator

HELD_OUT = 2000
"""Held-out images, at most, whose distances to the training images say what is usual: half set the quantile."""
SCALE_IMAGES = 4000
"""Training images, at most, that give the features their origin and unit."""
SHOWN = 12
"""Images of a set that are shown."""
_ROWS = 256


@dataclass(frozen=True)
class Reference:
    """N training images by their features, how usual a near neighbour is, and the scores of the known sets."""

    scale: FeatureScale
    features: Tensor
    """Scaled Gabor features of the N reference images, float64 [N,78]."""
    low_nn_ratio: float
    """The 1 % quantile of held-out images' NN ratios (see `memorisation`)."""
    low_carlini_ratio: float
    gaussian: Tensor
    """A few images of the Gaussian control, to be looked at: uint8 [SHOWN,3,H,W]."""
    known: Mapping[str, float]
    """Scores of the known sets, each named with its suffix: ``_real``, ``_heldout``, ``_gaussian``."""

    @classmethod
    def build(cls, images: ImageSet, gallery: Tensor, count: int) -> Self:
        """Measure `count` training images against as many others; `gallery` holds the images that were trained on.

        `images` holds at least 2 `count` training and `count` held-out images.
        """
        sets = known_sets(images, count)
        scale = FeatureScale.fit(gabor_features(reference_images(images.train, max(2 * count, SCALE_IMAGES))))
        usual = held_out_images(images.test, HELD_OUT)
        half = nearness(usual[: len(usual) // 2], gallery)
        features = {name: scale(gabor_features(chosen)) for name, chosen in sets.items()}
        own = features.pop("reference")
        bare = cls(scale, own, _low(half.nn_ratio), _low(half.carlini_ratio), sets["gaussian"][:SHOWN], {})
        known: dict[str, float] = {}
        for name, found in features.items():
            known |= _named(f"_{name}", bare.quality(found))
        known |= _named("_heldout", bare.copying(nearness(usual[len(usual) // 2 :], gallery)))
        known |= _named("_gaussian", bare.copying(nearness(sets["gaussian"], gallery)))
        return replace(bare, known=known)

    def score(self, images: Tensor, gallery: Tensor) -> dict[str, float]:
        """Return every score of generated uint8 `images` [M,3,H,W]; M is N where values shall be comparable."""
        return {
            **self.quality(self.scale(gabor_features(images))),
            **self.copying(nearness(images, gallery)),
        }

    def distance(self, images: Tensor) -> float:
        """Return the Gabor-Fréchet distance of uint8 `images` [M,3,H,W] to the first M reference images."""
        return frechet_distance(self.features[: len(images)], self.scale(gabor_features(images)))

    def quality(self, features: Tensor) -> dict[str, float]:
        """Compare scaled `features` [M,78] with those of the reference."""
        shares = prdc(self.features, features)
        return {
            "gfd78": frechet_distance(self.features, features),
            "kid_gabor": kernel_distance(self.features, features),
            "precision": shares.precision,
            "recall": shares.recall,
            "density": shares.density,
            "coverage": shares.coverage,
            "pairwise_distance": mean_pairwise_distance(features),
            "effective_rank": effective_rank(features),
        }

    def copying(self, near: Nearness) -> dict[str, float]:
        """Shares of images suspiciously near to a training image, and how near they are in the middle."""
        return {
            "nn_copies": float((near.nn_ratio < self.low_nn_ratio).double().mean()),
            "carlini_copies": float((near.carlini_ratio < self.low_carlini_ratio).double().mean()),
            "nn_distance": float(near.distance.median()),
        }

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers for the stage cache."""
        return {
            "mean": self.scale.mean,
            "sd": self.scale.sd,
            "features": self.features,
            "low_nn_ratio": self.low_nn_ratio,
            "low_carlini_ratio": self.low_carlini_ratio,
            "gaussian": self.gaussian,
            "known": dict(self.known),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device) -> Self:
        """Rebuild a reference from `state`."""
        scale = FeatureScale(state["mean"].to(device), state["sd"].to(device))
        low = float(state["low_nn_ratio"]), float(state["low_carlini_ratio"])
        known = {str(name): float(value) for name, value in state["known"].items()}
        return cls(scale, state["features"].to(device), *low, state["gaussian"].to(device), known)


def known_sets(images: ImageSet, count: int) -> dict[str, Tensor]:
    """Return the N reference images and the sets scored against them, each uint8 [N,3,H,W], by name."""
    drawn = reference_images(images.train, 2 * count)
    return {
        "reference": drawn[:count],
        "real": drawn[count:],
        "heldout": held_out_images(images.test, count),
        "gaussian": gaussian_images(images.train, count),
    }


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


def _named(suffix: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {name + suffix: value for name, value in scores.items()}
