"""Gaussian blur, and the blur of a given error."""

from __future__ import annotations

import pytest
import torch

from ablate.core.data import as_unit, load
from ablate.core.diffusion.blur import gaussian_blur, matched_sigma
from ablate.errors import AblateError


def patches() -> torch.Tensor:
    return as_unit(load("skimage-patches", cap_per_image=30).train[:40])


def test_a_constant_stays_and_a_point_becomes_a_gaussian() -> None:
    """Weights sum to 1; the response to a point has variance sigma^2 along each axis."""
    assert torch.allclose(gaussian_blur(torch.full((1, 3, 16, 16), 0.3), 2.0), torch.full((1, 3, 16, 16), 0.3))
    point = torch.zeros(1, 1, 31, 31, dtype=torch.float64)
    point[0, 0, 15, 15] = 1
    spread = gaussian_blur(point, 1.5)[0, 0]
    place = torch.arange(31, dtype=torch.float64) - 15
    assert float(spread.sum()) == pytest.approx(1, abs=1e-12)
    assert float((spread.sum(1) * place**2).sum()) == pytest.approx(1.5**2, rel=2e-3)  # cut off at 4 sigma
    assert torch.allclose(spread, spread.T)


@pytest.mark.parametrize("error", [1e-4, 3e-3, 2e-2])
def test_the_matched_blur_has_the_wanted_error(error: float) -> None:
    images = patches()
    blurred = gaussian_blur(images, matched_sigma(images, error))
    assert float((blurred - images).square().mean()) == pytest.approx(error, rel=2e-3)


def test_an_error_that_no_blur_has_is_refused() -> None:
    with pytest.raises(AblateError, match="than a blur of 7 pixels"):
        matched_sigma(patches(), 10.0)
