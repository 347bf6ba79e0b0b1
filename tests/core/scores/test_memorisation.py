"""Memorisation: copies are found, real images are not accused; the optimal denoiser of few images is a copier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ablate.core.data import as_unit, load, to_uint8
from ablate.core.diffusion.samplers import Reverse, reverse
from ablate.core.schedules import make_schedule
from ablate.core.scores.memorisation import LOW_QUANTILE, nearness, share_below


@pytest.fixture(scope="module")
def patches() -> tuple[Tensor, Tensor]:
    """Training and held-out patches of the photographs, shuffled."""
    images = load("skimage-patches", cap_per_image=300)
    train, test = (
        part[torch.randperm(len(part), generator=torch.Generator().manual_seed(0))]
        for part in (images.train, images.test)
    )
    return train, test[:600]


def test_ratios_by_hand() -> None:
    """Distances 1, 2 and 4 levels: 1/2, and 1 over half of 7/3."""
    gallery = torch.stack([torch.full((3, 4, 4), v, dtype=torch.uint8) for v in (11, 12, 14)])
    found = nearness(torch.full((1, 3, 4, 4), 10, dtype=torch.uint8), gallery)
    assert float(found.distance) == pytest.approx(1.0)
    assert float(found.nn_ratio) == pytest.approx(0.5)
    assert float(found.carlini_ratio) == pytest.approx(6 / 7)


def test_copies_score_exactly_zero(patches: tuple[Tensor, Tensor]) -> None:
    """Integers are exact; a copy of an image that the gallery holds twice is still a copy."""
    train, _ = patches
    for gallery in (train, torch.cat([train, train[:100]])):
        found = nearness(train[:100], gallery)
        assert float(found.distance.max()) == float(found.nn_ratio.max()) == float(found.carlini_ratio.max()) == 0


def test_copies_are_flagged_and_held_out_images_are_not(patches: tuple[Tensor, Tensor]) -> None:
    """Slightly noisy copies, too; another sample of held-out images is flagged about as often as the quantile says."""
    train, test = patches
    known, fresh = nearness(test[:300], train), nearness(test[300:], train)
    noise = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 / 127.5
    copies = nearness(to_uint8(as_unit(train[:200]) + noise), train)
    assert share_below(copies.nn_ratio, known.nn_ratio) > 0.9
    assert share_below(copies.carlini_ratio, known.carlini_ratio) > 0.9
    # At the 10 % quantile, where 300 images say enough: 0.1 expected, standard error 0.024 with both samples counted.
    assert share_below(fresh.nn_ratio, known.nn_ratio, 0.1) < 0.2
    assert share_below(fresh.carlini_ratio, known.carlini_ratio, 0.1) < 0.2


@pytest.mark.acceptance("G5")
@pytest.mark.parametrize("steps", [10, 50])
def test_the_optimal_denoiser_of_few_images_copies_all_of_them(patches: tuple[Tensor, Tensor], steps: int) -> None:
    """E[x_0 | x_t] for the empirical distribution of 50 images: every sample is a training image, many different."""
    train, test = patches
    known = as_unit(train[:50]).double().flatten(1)
    schedule = make_schedule("linear", 1000)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        a = float(schedule.alpha_bars[int(t[0]) - 1])
        weights = torch.softmax(-torch.cdist(x.flatten(1), a**0.5 * known).square() / (2 * (1 - a)), 1)
        return (weights @ known).reshape(x.shape)

    start = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    samples = reverse(
        denoise,
        start,
        start=1000,
        schedule=schedule,
        prediction="x0",
        settings=Reverse("ddim", steps),
        noise=lambda t: torch.zeros_like(start),
    )
    nearest_distance = torch.cdist(samples.flatten(1), known).min(1)
    assert float(nearest_distance.values.max()) < 1e-3
    assert 25 < len(set(nearest_distance.indices.tolist())) <= 50
    found = nearness(to_uint8(samples), train[:50])
    held_out = nearness(test, train[:50])
    assert share_below(found.nn_ratio, held_out.nn_ratio) == 1.0
    assert share_below(found.carlini_ratio, held_out.carlini_ratio) == 1.0


def test_share_below_a_quantile() -> None:
    held_out = torch.arange(1001, dtype=torch.float64)
    assert share_below(torch.arange(1001, dtype=torch.float64), held_out) == pytest.approx(LOW_QUANTILE, abs=2e-3)
    assert share_below(torch.tensor([-1.0, 500.0]), held_out) == 0.5


def test_a_gallery_of_one_image_gives_no_ratio() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="at least two images"):
        nearness(images, images[:1])
