"""What makes the Deep Image Prior a prior: images before noise, a peak before the end, a stop near the peak."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.core.data.patches import manifest, read_photograph
from ablate.core.dip.fit import DipFit, DipSettings, fit
from ablate.core.shared.numerics import Plain, apply_numerics

Record = Callable[[str, object], None]
"""pytest's `record_property`: (what, (expected, measured)) becomes a row of docs/evidence/acceptance.md."""
HALF = DipSettings(channels=16, scales=3, steps=1500, stop="fixed", ema=0.95, window=50, patience=150)
"""For 64x64 pixels, where everything comes four times as early as at 128x128."""


def crop(name: str, left: int, top: int, side: int, to: int) -> Tensor:
    """A square of a photograph scaled to `to` pixels, float32 [1,3,to,to] in [0,1]."""
    entry = next(entry for entry in manifest()["images"] if entry["name"] == name)
    image = read_photograph(entry).crop((left, top, left + side, top + side)).resize((to, to))
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255


def noisy_of(clean: Tensor) -> Tensor:
    """The crop with noise 25/255, clipped."""
    return (clean + 25 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


@pytest.fixture(scope="module")
def long_fit() -> tuple[Tensor, DipFit]:
    """A 64x64 crop of astronaut, fitted far beyond its peak: noisy image and fit."""
    clean = crop("astronaut", 160, 40, 64, 64)
    noisy = noisy_of(clean)
    return noisy, fit(noisy, HALF, seed=0, clean=clean)


def curves(found: DipFit) -> tuple[Tensor, Tensor]:
    """PSNR [steps] of the output and of its running average."""
    assert found.clean_psnr is not None
    return found.clean_psnr[:, 0, 0], found.clean_psnr[:, 0, 1]


@pytest.mark.acceptance("I2")
@pytest.mark.slow
def test_quality_peaks_inside_the_fit_and_falls(long_fit: tuple[Tensor, DipFit], record_property: Record) -> None:
    """64x64: the output peaks well before the end and loses 2 dB by then; the running average peaks higher."""
    iterate, average = curves(long_fit[1])
    peak, where = iterate.max(0)
    drop = float(peak - iterate[-20:].mean())
    assert 60 <= int(where) <= 900
    assert drop >= 2
    assert float(average.max()) >= float(peak) + 0.5
    record_property("64x64 crop: peak between iterations 60 and 900", ("60 to 900", int(where) + 1))
    record_property("64x64 crop: peak and loss by iteration 1,500, dB", ("loss > 2", (float(peak), drop)))
    record_property("64x64 crop: peak of the running average over it, dB", ("> 0.5", float(average.max() - peak)))


@pytest.mark.acceptance("I3")
@pytest.mark.slow
def test_the_variance_rule_stops_near_the_peak(long_fit: tuple[Tensor, DipFit], record_property: Record) -> None:
    """64x64: what ES-WMV keeps is within 1 dB of the best output and of the best average."""
    noisy, found = long_fit
    stop = int(fit(noisy, replace(HALF, stop="wmv"), seed=0).stopped_at[0])
    gaps = [float(curve.max() - curve[stop - 1]) for curve in curves(found)]
    assert max(gaps) < 1.0
    record_property(f"64x64 crop: gap of output and average at the stop ({stop}), dB", ("< 1", gaps))


@pytest.fixture(scope="module")
def full_size() -> Any:
    """benchmarks/dip_early_stop.py, run in full: 5,000 iterations of three fits of 128x128 pixels."""
    path = Path(__file__).parents[3] / "benchmarks" / "dip_early_stop.py"
    spec = importlib.util.spec_from_file_location("dip_early_stop", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.measure(module.SETTINGS.steps))


@pytest.mark.acceptance("I2")
@pytest.mark.full
def test_quality_of_128_pixels_peaks_where_published(full_size: Any, record_property: Record) -> None:
    for fitted in full_size[:2]:
        iterate, average = fitted["iterate"], fitted["average"]
        assert 500 <= iterate["peak_at"] <= 2500
        assert iterate["peak_db"] >= 26.5
        assert iterate["peak_db"] - iterate["final_db"] >= 2
        assert average["peak_db"] >= 28
        record_property("128x128 astronaut, iteration of the peak", ("500 to 2500", iterate["peak_at"]))
        record_property(
            "128x128 astronaut, peaks of output and average, dB",
            ("> 26.5, > 28.0", (iterate["peak_db"], average["peak_db"])),
        )
        record_property(
            "128x128 astronaut, loss by iteration 5,000, dB", ("> 2", iterate["peak_db"] - iterate["final_db"])
        )


@pytest.mark.acceptance("I3")
@pytest.mark.full
def test_the_variance_rule_on_128_pixels(full_size: Any, record_property: Record) -> None:
    """Near the peak on the astronaut; on chelsea it may stop early, which is recorded and not hidden."""
    for fitted in full_size:
        gaps = (fitted["iterate"]["gap_db"], fitted["average"]["gap_db"])
        if fitted["image"] == "astronaut":
            assert gaps[0] < 0.8
            assert gaps[1] < 0.7
        record_property(
            f"128x128 {fitted['image']}, gap of output and average at the stop, dB", ("< 0.8, < 0.7 (astronaut)", gaps)
        )


@pytest.mark.acceptance("I4")
@pytest.mark.slow
def test_noise_is_fitted_much_later_than_an_image(record_property: Record) -> None:
    """Iterations until the error is a tenth of the variance: image at once, its shuffled pixels and noise late."""
    source = torch.Generator().manual_seed(3)
    image = crop("chelsea", 161, 86, 128, 32)
    shuffled = image.flatten(2)[:, :, torch.randperm(1024, generator=source)].reshape(image.shape)
    mean, spread = image.mean((2, 3), keepdim=True), image.std((2, 3), keepdim=True)
    matched = (mean + spread * torch.randn(image.shape, generator=source)).clamp(0, 1)
    targets = torch.cat([image, shuffled, matched, torch.rand(image.shape, generator=source)])
    found = fit(targets, DipSettings(stop="fixed", steps=400), seed=0)
    fitted = found.curve < 0.1 * targets.var((1, 2, 3))
    first = [int(column.nonzero()[0]) + 1 if column.any() else None for column in fitted.T]
    assert first[0] is not None
    assert all(value is None or value >= 10 * first[0] for value in first[1:])
    assert first[2] is None
    assert first[3] is None
    words = ["not in 400" if value is None else value for value in first]
    record_property("iterations: image, shuffled, Gaussian, uniform", ("ratio > 10", words))


@pytest.mark.acceptance("I7")
@pytest.mark.gpu
def test_the_published_network_on_512_pixels(record_property: Record) -> None:
    """2.2 million parameters, 512x512, noise 25, 1,800 iterations; 28.56 dB on an H200.

    Published are 29 to 31 dB as means of nine other photographs; the texture of this one is finer.
    """
    apply_numerics(Plain(deterministic=False))  # torch takes TF32 for convolutions unless told not to
    clean = crop("astronaut", 0, 0, 512, 512).cuda()
    noisy = noisy_of(clean.cpu()).cuda()
    settings = DipSettings(channels=128, scales=5, steps=1800, stop="fixed", ema=0.99)
    average = curves(fit(noisy, settings, seed=0, clean=clean))[1][-1]
    assert 28 <= float(average) <= 31.5
    record_property("512x512 astronaut, average at iteration 1,800, dB", ("28 to 31.5", float(average)))
