"""What the founding report's numbers can and cannot say, re-measured: noise tables, identity network, conventions.

    python benchmarks/report_numbers.py            # a few seconds

The identity network is its denoiser with nothing learnt: ten applications of ten blocks, each adding noise of the
level drawn for that application. Its PSNR depends on the draw of levels alone, which is simulated 200,000 times.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import skimage.data
import skimage.metrics

from ablate.core.replay.noise_tables import mean_variance, noise_table

DRAWS = 200_000
CLAIMED_DB = (0.34, 0.91)
"""Differences that the report reads as gains: 29.36 to 29.70 dB, and 29.36 to 30.27 dB."""
metrics: Any = skimage.metrics  # its functions carry no types


def identity_psnr(name: str, source: np.random.Generator) -> np.ndarray:
    """PSNR [DRAWS] of an identity network: 10 log10(4 / V), V = 10 times the sum of sigma_t^2 over ten levels."""
    squares = np.square(noise_table(name))
    variance = 10 * squares[source.integers(len(squares), size=(DRAWS, 10))].sum(1)
    return np.asarray(10 * np.log10(4 / variance))


def tables() -> None:
    """Print what each noise table amounts to, and how often two evaluations of one network differ that much."""
    source = np.random.default_rng(20261125)
    print(
        "| table | E[σ²] | floor of the training loss | E[V] "
        "| PSNR of an identity network: mean ± sd, median (5 %, 95 %) |"
    )
    print("|---|---|---|---|---|")
    for name in ("linear", "exponential", "cosine", "polynomial"):
        found, mean = identity_psnr(name, source), mean_variance(name)
        low, middle, high = np.quantile(found, (0.05, 0.5, 0.95))
        print(f"| {name} | {mean:.4g} | {10 * mean:.3g} | {100 * mean:.3g} ", end="")
        print(f"| {found.mean():.2f} ± {found.std():.2f}, {middle:.2f} ({low:.2f}, {high:.2f}) |")
    pairs = np.abs(np.diff(identity_psnr("linear", source).reshape(-1, 2), axis=1))
    for claimed in CLAIMED_DB:
        print(
            f"two evaluations of one identity network differ by more than {claimed} dB: {(pairs > claimed).mean():.3f}"
        )
    for value in (29.36, 29.70, 30.27, 10 * np.log10(4 / (100 * mean_variance("linear")))):
        print(f"{value:.2f} dB is a root mean square error of {255 * 10 ** (-value / 20):.2f} levels")


def conventions() -> None:
    """Print PSNR and SSIM of one pair in every convention met: a 32x32 crop of astronaut, noise of 25 levels."""
    source = np.random.default_rng(0)
    clean = skimage.data.astronaut()[90:122, 200:232] / 255
    noisy = np.clip(clean + 25 / 255 * source.standard_normal(clean.shape), 0, 1)
    a, b = 2 * clean - 1, 2 * noisy - 1
    ssim, psnr = metrics.structural_similarity, metrics.peak_signal_noise_ratio
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    print("\n| convention | value |\n|---|---|")
    print(f"| PSNR on [0,1], range 1 | {psnr(clean, noisy, data_range=1):.2f} |")
    print(f"| PSNR on [-1,1], range 2 | {psnr(a, b, data_range=2):.2f} |")
    bright, grey = 0.5 + clean / 2, 0.5 + noisy / 2
    trap = psnr(2 * bright - 1, 2 * grey - 1), psnr(2 * bright - 1, 2 * grey - 1, data_range=2)
    print(f"| an image without dark pixels: range guessed from the data / range 2 | {trap[0]:.2f} / {trap[1]:.2f} |")
    for label, value in (
        ("SSIM on [-1,1], range 2, 7x7 uniform (the report's)", ssim(a, b, data_range=2, channel_axis=2)),
        ("SSIM on [0,1], range 1, 7x7 uniform", ssim(clean, noisy, data_range=1, channel_axis=2)),
        ("SSIM on [0,1], range 2 (a mistake)", ssim(clean, noisy, data_range=2, channel_axis=2)),
        (
            "SSIM on [0,1], range 1, Gaussian 1.5, population covariance (ours)",
            ssim(clean, noisy, data_range=1, channel_axis=2, **wang),
        ),
        ("SSIM with win_size=3 over three axes (a mistake)", ssim(clean, noisy, data_range=1, win_size=3)),
    ):
        print(f"| {label} | {value:.4f} |")


def main() -> None:
    """Print everything."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    tables()
    conventions()


if __name__ == "__main__":
    main()
