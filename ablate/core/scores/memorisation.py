"""Are generated images copies of training images? Two ratios of distances in pixels, and how real images score.

A copy is much nearer to its original than to anything else. How much nearer a new image happens to be depends on the
data, so both ratios are judged by those of held-out real images: the share of generated images below the held-out
1 % quantile is 0.01 for a generator that copies no more than a camera does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ablate.core.scores.distances import nearest

NEIGHBOURS = 50
LOW_QUANTILE = 0.01


@dataclass(frozen=True)
class Nearness:
    """Distances to a gallery of training images, one value per image, float64 [N]."""

    distance: Tensor
    """Euclidean distance to the nearest training image, per pixel value, in levels of 0..255 (root mean square)."""
    nn_ratio: Tensor
    """Distance to the nearest over distance to the second nearest: 0 for a copy, 1 when two are equally near."""
    carlini_ratio: Tensor
    """Distance to the nearest over half the mean distance to the 50 nearest (Carlini et al. 2023)."""


def gallery_of(images: Tensor, cells: Tensor | None) -> Tensor:
    """Return the training images that others are compared with: of overlapping patches the first one in each cell.

    Among patches that share most of their pixels the second nearest is as near as the nearest, and no copy would
    stand out. `images` is uint8 [N,3,H,W], `cells` int64 [N] or None where no images overlap.
    """
    if cells is None:
        return images
    _, first = np.unique(cells.cpu().numpy(), return_index=True)
    return images[torch.from_numpy(np.sort(first)).to(images.device)]


def nearness(images: Tensor, gallery: Tensor, neighbours: int = NEIGHBOURS) -> Nearness:
    """Compare uint8 `images` [N,3,H,W] with the uint8 training images `gallery` [M,3,H,W], exactly.

    A gallery smaller than `neighbours` is used whole; it has at least two images.
    """
    k = min(neighbours, len(gallery))
    if k < 2:
        raise ValueError("a ratio of distances needs a gallery of at least two images")
    distances = nearest(images.flatten(1), gallery.flatten(1), k)
    first = distances[:, 0]
    return Nearness(
        distance=first / images[0].numel() ** 0.5,
        nn_ratio=_ratio(first, distances[:, 1]),
        carlini_ratio=_ratio(first, distances.mean(1) / 2),
    )


def share_below(values: Tensor, held_out: Tensor, quantile: float = LOW_QUANTILE) -> float:
    """Return the share of `values` [N] below the `quantile` of the same statistic of held-out images [M]."""
    return float((values < torch.quantile(held_out.double(), quantile)).double().mean())


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where both vanish: a copy of an image that the gallery holds twice is a copy."""
    return torch.where(b > 0, a / b.clamp(min=torch.finfo(b.dtype).tiny), torch.zeros_like(a))
