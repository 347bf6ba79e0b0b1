"""What each generation metric makes of known degradations of the embedded photographs, as a Markdown table.

    python benchmarks/quality_metrics.py               # 1000 images a side, about a minute on one core
    python benchmarks/quality_metrics.py --images 2000

Reference: N training patches. Every other row is another N training patches, changed as its label says, but for the
held-out row, which is the other part of the same photographs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from ablate.core.data import as_unit, load, to_uint8
from ablate.core.scores.diversity import effective_rank, mean_pairwise_distance
from ablate.core.scores.features import FEATURES, FeatureScale, gabor_features
from ablate.core.scores.frechet import frechet_distance, gaussian_floor, white_floor
from ablate.core.scores.gpd import gpd
from ablate.core.scores.kid import kernel_distance
from ablate.core.scores.memorisation import nearness, share_below
from ablate.core.scores.prdc import expected_coverage, prdc

HEADER = (
    "set",
    "GFD-78",
    "KID",
    "precision",
    "recall",
    "density",
    "coverage",
    "pairwise",
    "rank",
    "NN ratio low",
    "Carlini low",
    "GPD",
)


def generator(seed: int) -> torch.Generator:
    """A fresh stream."""
    return torch.Generator().manual_seed(seed)


def noisy(images: Tensor, sigma: float) -> Tensor:
    """Add pixel noise, `sigma` on the 0..255 scale, and round."""
    return to_uint8(as_unit(images) + sigma / 127.5 * torch.randn(images.shape, generator=generator(1)))


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of `sigma` pixels, borders mirrored."""
    offsets = torch.arange(-8.0, 9.0)
    taps = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (torch.outer(taps, taps) / taps.sum() ** 2).expand(3, 1, -1, -1)
    padded = torch.nn.functional.pad(as_unit(images), (8,) * 4, mode="reflect")
    return to_uint8(torch.nn.functional.conv2d(padded, kernel, groups=3))


def shuffled_blocks(images: Tensor) -> Tensor:
    """Exchange the sixteen 8x8 blocks of every image at random, each image in its own way."""
    blocks = images.unflatten(3, (4, 8)).unflatten(2, (4, 8)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    order = torch.rand(len(images), 16, generator=generator(2)).argsort(1)
    moved = blocks[torch.arange(len(images))[:, None], order].unflatten(1, (4, 4))
    return moved.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def gaussian(images: Tensor, count: int) -> Tensor:
    """Sample a Gaussian with the images' pixel mean and covariance: random combinations of the centred images."""
    flat = as_unit(images).flatten(1)
    weights = torch.randn(count, len(flat), generator=generator(3)) / (len(flat) - 1) ** 0.5
    return to_uint8((flat.mean(0) + weights @ (flat - flat.mean(0))).unflatten(1, images.shape[1:]))


def rows(train: Tensor, other: Tensor, test: Tensor) -> Iterator[tuple[str, Tensor, bool]]:
    """Yield (label, images, whether they are a degradation of `other` image by image)."""
    count = len(other)
    yield "real: other training patches", other, True
    yield "held-out part of the photographs", test[:count], False
    for sigma in (2, 5, 10, 25, 50):
        yield f"noise σ = {sigma}", noisy(other, sigma), True
    for blur in (0.5, 1, 2):
        yield f"blur {blur} px", blurred(other, blur), True
    yield "8x8 blocks shuffled", shuffled_blocks(other), True
    yield "Gaussian, same mean and covariance", gaussian(train, count), False
    yield f"{count // 40} images, 40 times each", other[: count // 40].repeat(40, 1, 1, 1), False
    yield "copies of reference images", train[torch.randperm(len(train), generator=generator(4))[:count]], False


def main() -> None:
    """Print the table and what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="images a side")
    count = parser.parse_args().images
    torch.set_num_threads(1)
    data = load("skimage-patches")
    train, test = (part[torch.randperm(len(part), generator=generator(0))] for part in (data.train, data.test))
    reference, other = train[:count], train[count : 2 * count]
    began = time.process_time()
    raw = gabor_features(train[: max(2 * count, 4000)])
    took = (time.process_time() - began) / len(raw) * 2000
    scale = FeatureScale.fit(raw)
    real = scale(raw[:count])
    # Held-out images for the quantile of the memorisation ratios; others than those of the held-out row.
    known = nearness(test[count : 3 * count], reference)
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
    for label, images, paired in rows(reference, other, test):
        features = scale(gabor_features(images))
        shares, near = prdc(real, features), nearness(images, reference)
        values = (
            f"{frechet_distance(real, features):.2f}",
            f"{kernel_distance(real, features):.4f}",
            *(f"{value:.3f}" for value in (shares.precision, shares.recall, shares.density, shares.coverage)),
            f"{mean_pairwise_distance(features):.2f}",
            f"{effective_rank(features):.2f}",
            f"{share_below(near.nn_ratio, known.nn_ratio):.3f}",
            f"{share_below(near.carlini_ratio, known.carlini_ratio):.3f}",
            f"{1e3 * float(gpd(as_unit(images), as_unit(other)).mean()):.3f}" if paired else "",
        )
        print("| " + " | ".join((label, *values)) + " |", flush=True)
    eigenvalues = torch.linalg.eigvalsh(real.T.cov())
    print(f"\nN = {count} a side. GPD in thousandths.")
    print(f"Expected GFD of equal distributions: white {white_floor(FEATURES, count):.3f},", end=" ")
    print(f"Gaussian with these features' covariance {gaussian_floor(eigenvalues, count):.3f}.")
    print(f"Expected coverage {expected_coverage(count, count):.3f}, density 1.")
    print(f"Reference: pairwise {mean_pairwise_distance(real):.2f}, rank {effective_rank(real):.2f}.")
    print(f"Features of 2000 images: {took:.2f} CPU seconds on one thread; all: {time.process_time() - began:.0f}.")


if __name__ == "__main__":
    main()
