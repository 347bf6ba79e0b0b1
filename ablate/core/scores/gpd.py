"""Gabor-map difference of two images: a perceptual distance without learnt weights, in the place of LPIPS.

It compares how much texture of which scale and direction stands where, and forgives a shift of it within a wavelength
(moduli have no phase). It is not LPIPS, and not calibrated against human judgement.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ablate.core.scores.features import SCALES, gabor_maps

_CHUNK = 32


def gpd(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance per image, float64 [N], of images `a` and `b` [N,3,H,W] in [-1,1]; 0 for equal images.

    Mean over Y, Cb, Cr, scales, orientations and positions of (|F a| - |F b|)^2, on [0,1], F of unit norm.
    """
    parts = [_chunk(a[first : first + _CHUNK], b[first : first + _CHUNK]) for first in range(0, len(a), _CHUNK)]
    return torch.cat(parts)


def _chunk(a: Tensor, b: Tensor) -> Tensor:
    maps = [(gabor_maps(a, scale) - gabor_maps(b, scale)).square().mean((1, 2, 3, 4)) for scale in SCALES]
    return torch.stack(maps).mean(0)
