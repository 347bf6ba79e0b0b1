"""Gabor features: 78 numbers per image that need no learnt weights, so that anybody can recompute them.

Every image is turned into Y, Cb and Cr (ITU-R BT.601, full range, on [0,1]) and filtered at 3 scales and 4
orientations with quadrature pairs. With u the pixel offset, s the scale and k = 2 pi / (2.5 s) along the orientation:

    even(u) = exp(-|u|^2 / 2 s^2) (cos k.u - c) / norm,    odd(u) = exp(-|u|^2 / 2 s^2) sin k.u / norm,

cut off at 3 s; c makes the even filter blind to brightness, and each filter has unit L2 norm. The modulus
sqrt(even^2 + odd^2) is pooled by its mean and its standard deviation over all positions: 3 x 3 x 4 x 2 = 72 features;
mean and standard deviation of Y, Cb and Cr are the other six. Borders are mirrored (half-sample symmetric). Images
of one channel are Y alone: 3 x 4 x 2 + 2 = 26 features.

A product of a function of rows with a function of columns needs two small matrix products instead of a convolution,
and all these filters are sums of such products; the mirrored borders are part of the matrices. Everything is float64:
the numbers do not depend on the device or its reduced precisions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from ablate.core.data import as_unit

SCALES = (1.5, 3.0, 6.0)
"""Standard deviations of the envelopes, in pixels; the wavelength is 2.5 times that."""
ORIENTATIONS = (0, 45, 90, 135)
"""Directions of the wave vector in degrees, from the columns' axis."""
WAVELENGTH = 2.5
CUT_OFF = 3.0
FEATURES = 3 * len(SCALES) * len(ORIENTATIONS) * 2 + 6
"""Of images of three channels."""
_CHUNK = 32
"""Images filtered at a time: the maps of one scale then fit a processor's cache."""

_TO_YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=torch.float64
)


@dataclass(frozen=True)
class FeatureScale:
    """Origin and unit of every feature: mean and standard deviation over the reference training set, float64 [78].

    Only the kernel distance depends on the origin; without one, it would see little but the features' offsets.
    """

    mean: Tensor
    sd: Tensor

    @classmethod
    def fit(cls, features: Tensor) -> Self:
        """Take the moments of `features` [N,78]; raises ValueError when one is zero."""
        sd = features.std(0)
        if not bool((sd > 0).all()):
            raise ValueError("a feature is constant over the reference images")
        return cls(features.mean(0), sd)

    def __call__(self, features: Tensor) -> Tensor:
        """Return `features` [N,78] less the reference's mean, in units of its standard deviation."""
        return (features - self.mean.to(features.device)) / self.sd.to(features.device)


def gabor_features(images: Tensor) -> Tensor:
    """Return the features float64 [N,78] of uint8 images [N,3,H,W], [N,26] of [N,1,H,W], a few images at a time.

    Order: means then standard deviations of the moduli, each by channel, scale and orientation; then the means and the
    standard deviations of Y, Cb and Cr. Bytes are asked for because real images are bytes too: unrounded samples would
    be recognised by their missing rounding.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"features are those of uint8 images, not {images.dtype}")
    parts = [_pooled(as_unit(images[first : first + _CHUNK])) for first in range(0, len(images), _CHUNK)]
    return (
        torch.cat(parts)
        if parts
        else torch.empty(0, feature_count(images.shape[1]), dtype=torch.float64, device=images.device)
    )


def feature_count(channels: int) -> int:
    """Return how many features images of so many channels have."""
    return FEATURES * channels // 3


def _pooled(images: Tensor) -> Tensor:
    channels = ycbcr(images)
    means, sds = [], []
    for scale in SCALES:
        modulus = _moduli(channels, scale).flatten(-2)
        # [N,3,4]; the two-pass variance is not worth its time in float64.
        mean = modulus.mean(-1)
        means.append(mean)
        sds.append((modulus.square().mean(-1) - mean.square()).clamp(min=0).sqrt())
    flat = channels.flatten(-2)
    gabor = [torch.stack(parts, 2).flatten(1) for parts in (means, sds)]
    return torch.cat([*gabor, flat.mean(-1), flat.std(-1, correction=0)], 1)


def gabor_maps(images: Tensor, scale: float) -> Tensor:
    """Return the moduli float64 [N,C,4,H,W] (Y, Cb, Cr; orientations) of images [N,C,H,W] in [-1,1] at one scale."""
    return _moduli(ycbcr(images), scale).transpose(-1, -2)


def ycbcr(images: Tensor) -> Tensor:
    """Return Y in [0,1] and Cb, Cr in [-0.5,0.5], float64 [N,3,H,W], of images in [-1,1] (clipped); Y of grey ones."""
    unit = images.double().clamp(-1, 1).add(1).div(2)
    if images.shape[1] == 1:
        return unit
    return torch.einsum("cr,nrhw->nchw", _TO_YCBCR.to(unit.device), unit)


def gabor_kernels(scale: float, orientation: float) -> tuple[Tensor, Tensor]:
    """Return the even and the odd filter, float64 [K,K] (rows, columns), as the module's formula has them."""
    even, odd, _ = _unscaled(scale, orientation)
    return even / even.norm(), odd / odd.norm()


def _unscaled(scale: float, orientation: float) -> tuple[Tensor, Tensor, float]:
    """Even and odd filter before the division by their norms, and the constant c."""
    offsets, angle = _offsets(scale), math.radians(orientation)
    phase = _frequency(scale) * (math.sin(angle) * offsets[:, None] + math.cos(angle) * offsets[None, :])
    envelope = torch.outer(_envelope(scale), _envelope(scale))
    constant = float((envelope * phase.cos()).sum() / envelope.sum())
    return envelope * (phase.cos() - constant), envelope * phase.sin(), constant


def _frequency(scale: float) -> float:
    """Radians per pixel."""
    return 2 * math.pi / (WAVELENGTH * scale)


def _offsets(scale: float) -> Tensor:
    radius = math.ceil(CUT_OFF * scale)
    return torch.arange(-radius, radius + 1, dtype=torch.float64)


def _envelope(scale: float) -> Tensor:
    return torch.exp(-_offsets(scale).square() / (2 * scale**2))


@dataclass(frozen=True)
class _Bank:
    """One scale's filters as matrices, image side x output side; what is multiplied from the right.

    Profiles along one axis: g, the envelope alone; c and s, times cosine and sine at full frequency; C and S, at the
    frequency's component along a diagonal.
    """

    columns: Tensor
    """g, c, s, C, S side by side: [W, 5 W]."""
    rows_straight: Tensor
    """g, c, s: [H, 3 H]."""
    rows_diagonal: Tensor
    """C, S: [H, 2 H]."""
    constants: tuple[float, ...]
    even_norms: tuple[float, ...]
    odd_norms: tuple[float, ...]


@lru_cache(maxsize=32)
def _bank(scale: float, height: int, width: int, device: torch.device) -> _Bank:
    offsets, envelope, frequency = _offsets(scale), _envelope(scale), _frequency(scale)
    profiles = {"g": envelope}
    for names, along in (("cs", frequency), ("CS", frequency / math.sqrt(2))):
        profiles[names[0]] = envelope * (along * offsets).cos()
        profiles[names[1]] = envelope * (along * offsets).sin()

    def matrices(names: str, side: int) -> Tensor:
        return torch.cat([_mirrored(profiles[name], side) for name in names], 1).to(device)

    filters = [_unscaled(scale, orientation) for orientation in ORIENTATIONS]
    return _Bank(
        columns=matrices("gcsCS", width),
        rows_straight=matrices("gcs", height),
        rows_diagonal=matrices("CS", height),
        constants=tuple(constant for _, _, constant in filters),
        even_norms=tuple(float(even.norm()) for even, _, _ in filters),
        odd_norms=tuple(float(odd.norm()) for _, odd, _ in filters),
    )


def _mirrored(taps: Tensor, side: int) -> Tensor:
    """Return [side, side]: column o holds the weights of the input that give output o, the border mirrored."""
    radius = len(taps) // 2
    outputs = torch.arange(side)[None, :].expand(len(taps), -1)
    inputs = (outputs + torch.arange(-radius, radius + 1)[:, None]) % (2 * side)
    inputs = torch.minimum(inputs, 2 * side - 1 - inputs)
    matrix = torch.zeros(side, side, dtype=torch.float64)
    return matrix.index_put_((inputs, outputs), taps[:, None].expand(-1, side), accumulate=True)


def _moduli(channels: Tensor, scale: float) -> Tensor:
    """Moduli of all orientations, [N,3,4,W,H] (rows and columns exchanged), of float64 [N,3,H,W]."""
    height, width = channels.shape[-2:]
    bank = _bank(scale, height, width, channels.device)
    across = (
        (channels @ bank.columns).reshape(*channels.shape[:3], 5, width).permute(3, 0, 1, 4, 2).contiguous()
    )  # [5,N,3,W,H]
    gg, cg, sg = (
        (across[0] @ bank.rows_straight).reshape(*across.shape[1:4], 3, height).unbind(-2)
    )  # named rows, then columns
    gc, gs = across[1:3] @ bank.rows_straight[:, :height]
    diagonal = (across[3:] @ bank.rows_diagonal).reshape(2, *across.shape[1:4], 2, height)
    (cc, sc), (cs, ss) = (part.unbind(-2) for part in diagonal)
    # cos(a + b) and sin(a + b) of the phases along rows and columns; 135 degrees turns the columns' sign.
    pairs = ((gc, gs), (cc - ss, sc + cs), (cg, sg), (cc + ss, sc - cs))
    moduli = torch.empty((*channels.shape[:2], len(pairs), width, height), dtype=torch.float64, device=channels.device)
    for i, (even, odd) in enumerate(pairs):
        balanced = (even - bank.constants[i] * gg) / bank.even_norms[i]
        moduli[:, :, i] = (balanced.square_() + (odd / bank.odd_norms[i]).square_()).sqrt_()
    return moduli
