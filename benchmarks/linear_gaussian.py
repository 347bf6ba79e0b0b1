"""Re-noise and reverse, in closed form: what the best possible denoiser makes of a start, for Gaussian images.

    python benchmarks/linear_gaussian.py             # about half a minute on one core

Images are x ~ N(m, C) with the covariance of the embedded training patches, the observation is y = x + s n, and the
denoiser is perfect: the conditional mean of this Gaussian. A start x' is diffused to step t0 and reversed; every step
acts on each eigenvector of C alone, so the expected error is a sum over eigenvalues and nothing is sampled.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ablate.core.data import as_unit, load
from ablate.core.diffusion.samplers import time_grid
from ablate.core.diffusion.validation import Wiener
from ablate.core.schedules import Array, Schedule, make_schedule

SIGMA = 25.0
STD = 2 * SIGMA / 255
STARTS_AT = (10, 25, 57, 115, 200, 300, 500, 1000)
NAMES = ("linear", "cosine", "sigmoid", "polynomial", "exponential-beta", "exponential")


def spectrum() -> Array:
    """Eigenvalues of the covariance of the embedded training patches on [-1,1], float64 [3072]."""
    return Wiener.fit(as_unit(load("skimage-patches").train).double()).values.numpy()


def psnr_of(error: Array) -> float:
    """PSNR in dB for the expected squared error of every mode on [-1,1], none of it clipped."""
    return float(10 * np.log10(4 / error.mean()))


def gain_continuous(values: Array, schedule: Schedule, t0: int) -> Array:
    """x_0 over x_t0 by the probability flow in the limit of many steps: sqrt(l) / sqrt(a l + 1 - a)."""
    a = schedule.alpha_bars[t0 - 1]
    return np.sqrt(values) / np.sqrt(a * values + 1 - a)


def gain_ddim(values: Array, schedule: Schedule, t0: int) -> Array:
    """x_0 over x_t0 by DDIM with eta 0 over every step from t0 to 1 with the perfect denoiser."""
    gain = np.ones_like(values)
    grid = time_grid(t0, t0)
    alpha_bars = [float(schedule.alpha_bars[t - 1]) for t in grid]
    for a, p in zip(alpha_bars, [*alpha_bars[1:], 1.0], strict=True):
        x0 = np.sqrt(a) * values / (a * values + 1 - a)
        gain = gain * (np.sqrt(p) * x0 + np.sqrt((1 - p) / (1 - a)) * (1 - np.sqrt(a) * x0))
    return gain


Gain = Callable[[Array, Schedule, int], Array]


def after_renoising(values: Array, schedule: Schedule, t0: int, start: str, gain: Gain) -> float:
    """PSNR after diffusing the start to `t0` and reversing.

    The start keeps h of the clean image and h of its noise: h = 1 for the observation, l / (l + s^2) for its MMSE
    estimate; the truth has no noise. Error per mode: l (k sqrt(a) h - 1)^2 + k^2 a h^2 s^2 + k^2 (1 - a).
    """
    a = schedule.alpha_bars[t0 - 1]
    k = gain(values, schedule, t0)
    h = values / (values + STD**2) if start == "mmse" else np.ones_like(values)
    noise = 0.0 if start == "truth" else STD**2
    return psnr_of(values * (k * np.sqrt(a) * h - 1) ** 2 + k**2 * a * h**2 * noise + k**2 * (1 - a))


def matched(values: Array, schedule: Schedule, gain: Gain) -> tuple[int, float]:
    """Step t* of equal noise, and the PSNR when sqrt(a) y itself is taken as x_t*: no noise is added."""
    t = schedule.step_at(SIGMA)
    k = gain(values, schedule, t) * np.sqrt(schedule.alpha_bars[t - 1])
    return t, psnr_of(values * (k - 1) ** 2 + k**2 * STD**2)


def measure(values: Array) -> dict[str, Any]:
    """Every number of the page, from eigenvalues alone."""
    linear = make_schedule("linear", 1000)
    error = values * STD**2 / (values + STD**2)
    continuous = {
        start: [after_renoising(values, linear, t, start, gain_continuous) for t in STARTS_AT]
        for start in ("mmse", "observation", "truth")
    }
    at = linear.step_at(SIGMA)
    discrete = {start: after_renoising(values, linear, at, start, gain_ddim) for start in continuous}
    return {
        "noisy": 10 * float(np.log10(4 / STD**2)),
        "one_step": psnr_of(error),
        # A posterior sample errs twice: by the estimate's error and by an independent draw of the same size.
        "posterior_sample": psnr_of(2 * error),
        "starts_at": STARTS_AT,
        "continuous": continuous,
        "discrete": {**discrete, "matched": matched(values, linear, gain_ddim)[1]},
        "matched_continuous": matched(values, linear, gain_continuous)[1],
        "matched_step": {
            name: [make_schedule(name, 1000).step_at(sigma) for sigma in (5, 15, 25, 50, 75)] for name in NAMES
        },
    }


def show(found: dict[str, Any]) -> None:
    """Print the tables as Markdown."""
    print(f"noisy {found['noisy']:.2f} dB, one-step (MMSE) estimate {found['one_step']:.2f}, ", end="")
    print(f"posterior sample {found['posterior_sample']:.2f}\n")
    print("| start, dB after re-noising to t0 | " + " | ".join(map(str, found["starts_at"])) + " |")
    print("|---" * (1 + len(found["starts_at"])) + "|")
    for start, row in found["continuous"].items():
        print(f"| {start} | " + " | ".join(f"{value:.2f}" for value in row) + " |")
    print("\nDDIM over all 57 steps, from ", end="")
    print(", ".join(f"{start} {value:.2f}" for start, value in found["discrete"].items()), end="; ")
    print(f"matched in the continuous limit {found['matched_continuous']:.2f} dB\n")
    print("| step of equal noise | 5 | 15 | 25 | 50 | 75 |\n|---|---|---|---|---|---|")
    for name, steps in found["matched_step"].items():
        print(f"| {name} | " + " | ".join(map(str, steps)) + " |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(spectrum())
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
