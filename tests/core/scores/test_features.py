"""Gabor features: the fast products against plain convolution, and what each filter and colour moment sees."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ablate.core.scores.features import (
    FEATURES,
    ORIENTATIONS,
    SCALES,
    FeatureScale,
    gabor_features,
    gabor_kernels,
    gabor_maps,
    ycbcr,
)


def _random(count: int, height: int = 32, width: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def _unit(images: Tensor) -> Tensor:
    return images.double() / 127.5 - 1


def _convolved(channel: Tensor, scale: float) -> Tensor:
    """Moduli [4,H,W] of one channel [H,W] by direct convolution after mirroring the borders pixel by pixel."""
    radius = len(gabor_kernels(scale, 0)[0]) // 2

    def index(side: int) -> Tensor:
        inner = list(range(side))
        return torch.tensor([(inner + inner[::-1])[i % (2 * side)] for i in range(-radius, side + radius)])

    padded = channel[index(channel.shape[0])][:, index(channel.shape[1])]
    filters = torch.stack([kernel for angle in ORIENTATIONS for kernel in gabor_kernels(scale, angle)])
    responses = torch.nn.functional.conv2d(padded[None, None], filters[:, None])[0]
    return responses.square().reshape(4, 2, *channel.shape).sum(1).sqrt()


def _wave(angle: float, wavelength: float) -> Tensor:
    """A grey grating, uint8 [1,3,32,32], whose wave vector points along `angle` (degrees from the columns' axis)."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    along = columns * math.cos(math.radians(angle)) + rows * math.sin(math.radians(angle))
    grey = 127.5 + 100 * torch.cos(2 * math.pi * along / wavelength)
    return grey.round().to(torch.uint8).expand(1, 3, 32, 32)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("angle", ORIENTATIONS)
def test_filters_have_no_mean_unit_norm_and_are_in_quadrature(scale: float, angle: int) -> None:
    even, odd = gabor_kernels(scale, angle)
    for kernel in (even, odd):
        assert float(kernel.sum()) == pytest.approx(0, abs=1e-12)
        assert float(kernel.norm()) == pytest.approx(1, abs=1e-12)
    assert float((even * odd).sum()) == pytest.approx(0, abs=1e-12)
    assert torch.allclose(even, even.flip(0, 1))
    assert torch.allclose(odd, -odd.flip(0, 1))


@pytest.mark.parametrize("scale", SCALES)
def test_matrix_products_are_the_convolution(scale: float) -> None:
    """On an image that is not square, so that rows and columns cannot be confused; filters may exceed the image."""
    images = _unit(_random(2, 16, 24))
    maps = gabor_maps(images, scale)
    assert maps.shape == (2, 3, 4, 16, 24)
    expected = torch.stack([torch.stack([_convolved(c, scale) for c in image]) for image in ycbcr(images)])
    assert torch.allclose(maps, expected, rtol=1e-10, atol=1e-12)


def test_features_are_pooled_maps_in_the_stated_order() -> None:
    images = _random(3)
    features = gabor_features(images)
    assert features.shape == (3, FEATURES) == (3, 78)
    assert features.dtype == torch.float64
    maps = torch.stack([gabor_maps(_unit(images), scale) for scale in SCALES], 2).flatten(-2)
    colours = ycbcr(_unit(images)).flatten(-2)
    pooled = [part.flatten(1) for part in (maps.mean(-1), maps.std(-1, correction=0))]
    expected = torch.cat([*pooled, colours.mean(-1), colours.std(-1, correction=0)], 1)
    assert torch.allclose(features, expected, rtol=1e-6, atol=1e-8)  # bytes become float32 first


def test_an_image_is_measured_alone() -> None:
    images = _random(70)
    assert torch.allclose(gabor_features(images)[65], gabor_features(images[65:66])[0], rtol=1e-12)
    assert gabor_features(images[:0]).shape == (0, 78)


@pytest.mark.parametrize("scale", SCALES[:2])
@pytest.mark.parametrize("angle", ORIENTATIONS)
def test_a_grating_excites_the_filter_of_its_scale_and_direction(scale: float, angle: int) -> None:
    features = gabor_features(_wave(angle, 2.5 * scale))[0]
    luminance = features[:12].reshape(3, 4)
    strongest = int(luminance.argmax())
    assert (SCALES[strongest // 4], ORIENTATIONS[strongest % 4]) == (scale, angle)
    assert float(features[12:36].abs().max()) < 1e-3 * float(luminance.max())  # grey: no colour response


def test_turning_an_image_exchanges_directions() -> None:
    """A quarter turn maps 0 to 90 degrees and 45 to 135, and leaves colour moments alone."""
    images = _random(4)
    straight, turned = (gabor_features(part) for part in (images, images.rot90(1, (2, 3))))
    maps = straight[:, :72].reshape(4, -1, 4)
    assert torch.allclose(turned[:, :72].reshape(4, -1, 4), maps[..., [2, 3, 0, 1]], rtol=1e-9)
    assert torch.allclose(turned[:, 72:], straight[:, 72:], rtol=1e-9)


def test_brightness_moves_only_the_mean_of_y() -> None:
    images = _random(2) // 2
    difference = gabor_features(images + 51) - gabor_features(images)
    changed = torch.zeros(78, dtype=torch.float64)
    changed[72] = 0.2
    assert torch.allclose(difference, changed.expand(2, -1), atol=1e-6)


def test_colours_of_pure_red() -> None:
    """BT.601: Y 0.299, Cb -0.168736, Cr 0.5."""
    red = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    red[:, 0] = 255
    assert gabor_features(red)[0, 72:].tolist() == pytest.approx([0.299, -0.168736, 0.5, 0, 0, 0], abs=1e-6)


def test_floats_are_refused() -> None:
    """Samples are rounded to bytes by the caller: a missing rounding would be seen as a texture."""
    with pytest.raises(ValueError, match="uint8"):
        gabor_features(torch.zeros(1, 3, 32, 32))


def test_units_come_from_the_reference() -> None:
    features = gabor_features(_random(50))
    scale = FeatureScale.fit(features)
    assert scale(features).std(0).tolist() == pytest.approx([1.0] * 78)
    assert scale(features).mean(0).tolist() == pytest.approx([0.0] * 78, abs=1e-9)
    with pytest.raises(ValueError, match="constant"):
        FeatureScale.fit(features[:1].expand(3, -1))
