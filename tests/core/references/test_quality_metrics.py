"""PSNR, SSIM, kernel and Fréchet distances against torchmetrics and torch-fidelity; needs the extra `references`.

What differs by convention is measured here too, and stands in the table "Same name, other number" of
docs/explanation/metrics.md.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.kid import kernel_distance, kernel_distance_subsets
from ablate.core.scores.psnr_ssim import psnr, ssim

BORDER = 5  # of an 11-tap window


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    """Images [4,3,32,32] in [-1,1] and noisy ones, each noisier than the one before."""
    draw = torch.Generator().manual_seed(0)
    clean = torch.rand(4, 3, 32, 32, generator=draw, dtype=torch.float64) * 2 - 1
    noise = torch.randn(clean.shape, generator=draw, dtype=torch.float64)
    return clean, (clean + torch.tensor([0.05, 0.1, 0.3, 0.6])[:, None, None, None] * noise).clamp(-1, 1)


@pytest.fixture(scope="module")
def features() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(300, 16, generator=draw), 1.1 * torch.randn(300, 16, generator=draw) + 0.1


def unit(images: Tensor) -> Tensor:
    return (images + 1) / 2


def test_ssim_is_that_of_torchmetrics_away_from_the_border(images: tuple[Tensor, Tensor]) -> None:
    """They mirror the border and count it; ablate and scikit-image leave it out, as Wang et al. do."""
    functional = pytest.importorskip("torchmetrics.functional.image", reason="needs ablate[references]")
    clean, noisy = images
    theirs, whole = functional.structural_similarity_index_measure(
        unit(clean), unit(noisy), data_range=1.0, reduction="none", return_full_image=True
    )
    inside = whole[..., BORDER:-BORDER, BORDER:-BORDER].mean((1, 2, 3))
    torch.testing.assert_close(ssim(clean, noisy), inside, rtol=0, atol=1e-12)
    assert float((theirs - ssim(clean, noisy)).abs().max()) > 0.002


def test_the_kernel_size_of_torchmetrics_is_not_that_of_its_gaussian(images: tuple[Tensor, Tensor]) -> None:
    """There the window follows from sigma alone, so a small image is no reason for a smaller one."""
    functional = pytest.importorskip("torchmetrics.functional.image", reason="needs ablate[references]")
    clean, noisy = (unit(each) for each in images)
    eleven, seven = (
        functional.structural_similarity_index_measure(clean, noisy, data_range=1.0, kernel_size=size)
        for size in (11, 7)
    )
    assert eleven == seven
    assert float((ssim(*images, 7) - ssim(*images)).abs().max()) > 1e-3


def test_psnr_of_a_batch_is_the_mean_of_images_not_of_errors(images: tuple[Tensor, Tensor]) -> None:
    functional = pytest.importorskip("torchmetrics.functional.image", reason="needs ablate[references]")
    clean, noisy = images

    def theirs(a: Tensor, b: Tensor) -> float:
        return float(functional.peak_signal_noise_ratio(unit(a), unit(b), data_range=1.0))

    single = [theirs(a[None], b[None]) for a, b in zip(noisy, clean, strict=True)]
    assert psnr(noisy, clean).tolist() == pytest.approx(single, rel=1e-6)
    assert theirs(noisy, clean) < float(psnr(noisy, clean).mean()) - 2


def test_the_kernel_distance_is_the_kid_of_torch_fidelity(features: tuple[Tensor, Tensor]) -> None:
    """With subsets of all images every one is the full U-statistic."""
    kid = pytest.importorskip("torch_fidelity.metric_kid", reason="needs ablate[references]")
    found = kid.kid_features_to_metric(*features, kid_subsets=2, kid_subset_size=300, verbose=False)
    assert kernel_distance(*features) == pytest.approx(found["kernel_inception_distance_mean"], rel=1e-5)


def test_the_kid_of_torch_fidelity_over_subsets_has_the_same_mean(features: tuple[Tensor, Tensor]) -> None:
    kid = pytest.importorskip("torch_fidelity.metric_kid", reason="needs ablate[references]")
    found = kid.kid_features_to_metric(*features, kid_subsets=200, kid_subset_size=100, verbose=False)
    draw = torch.Generator().manual_seed(2)
    ours = kernel_distance_subsets(*features, subsets=200, size=100, generator=draw)
    error = float(ours.std()) / 200**0.5
    assert found["kernel_inception_distance_mean"] == pytest.approx(float(ours.mean()), abs=5 * error)
    assert found["kernel_inception_distance_std"] == pytest.approx(float(ours.std()), rel=0.25)


@pytest.mark.parametrize("count", [300, 10])
def test_the_frechet_distance_is_that_of_torch_fidelity(features: tuple[Tensor, Tensor], count: int) -> None:
    """With fewer images than features too."""
    fid = pytest.importorskip("torch_fidelity.metric_fid", reason="needs ablate[references]")
    first, second = (each[:count] for each in features)
    statistics = (fid.fid_features_to_statistics(each) for each in (first, second))
    found = fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(first, second) == pytest.approx(found, rel=1e-5)
