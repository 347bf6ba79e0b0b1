"""The Deep Image Prior: published sizes, independence of companions, stop rules, and what it does to real patches."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ablate.core.data import as_unit, load
from ablate.core.dip.fit import DipSettings, Fitting, StopRule, StopWatch, fit
from ablate.core.scores.psnr_ssim import psnr
from ablate.errors import DivergedError

SMALL = DipSettings(channels=8, scales=2, steps=12, stop="fixed", window=4, patience=5)


def _noisy(count: int, side: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    grid = torch.linspace(0, 1, side)
    clean = (0.5 + 0.4 * torch.sin(4 * grid[:, None] + 3 * grid + torch.arange(count)[:, None, None, None])).expand(
        count, 3, side, side
    )
    return (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1).to(dtype)


def test_together_as_one_by_one() -> None:
    """Each image gets the network, code and noise of its own address: companions change nothing but rounding.

    In float64, because Adam turns the rounding of vanishing gradients into whole steps within a few iterations.
    """
    noisy = _noisy(3, dtype=torch.float64)
    together = fit(noisy, SMALL, seed=5)
    for index in range(3):
        alone = fit(noisy[index : index + 1], SMALL, seed=5, indices=[index])
        assert torch.allclose(together.restored[index], alone.restored[0], atol=1e-9)
        assert torch.allclose(together.curve[:, index], alone.curve[:, 0], atol=1e-9)


def test_one_step_together_as_one_by_one_in_float32() -> None:
    """The first forward pass agrees to float32 accuracy."""
    once = replace(SMALL, steps=1)
    noisy = _noisy(2)
    together = fit(noisy, once, seed=5).restored
    alone = torch.cat([fit(noisy[i : i + 1], once, seed=5, indices=[i]).restored for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.acceptance("I5")
def test_same_seed_same_numbers_other_seed_others() -> None:
    """Deterministic given the seed; global random state plays no part."""
    noisy = _noisy(2)
    first = fit(noisy, SMALL, seed=1)
    torch.rand(7)
    assert torch.equal(fit(noisy, SMALL, seed=1).restored, first.restored)
    assert not torch.equal(fit(noisy, SMALL, seed=2).restored, first.restored)


@pytest.mark.acceptance("I5")
@pytest.mark.parametrize("stop", ["fixed", "wmv", "oracle"])
def test_a_short_fit_is_the_beginning_of_a_long_one(stop: StopRule) -> None:
    """7 steps, saved as plain tensors, loaded elsewhere and continued to 30, are 30 steps to the last bit."""
    noisy = _noisy(2)
    clean = noisy.mean(1, keepdim=True).expand_as(noisy) if stop == "oracle" else None
    long = replace(SMALL, stop=stop, steps=30)
    whole = Fitting(noisy, long, 5, [0, 1], clean)
    list(whole.run())
    short = Fitting(noisy, replace(long, steps=7), 5, [0, 1], clean)
    list(short.run())
    buffer = io.BytesIO()
    torch.save(short.state(), buffer)
    continued = Fitting(noisy, long, 5, [0, 1], clean)
    continued.load(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    list(continued.run())
    assert continued.step == whole.step
    assert torch.equal(continued.stop.best, whole.stop.best)
    assert torch.equal(continued.stop.best_step, whole.stop.best_step)
    assert continued.steps_done == whole.steps_done


def test_equal_images_get_different_networks() -> None:
    """Two copies of one image are fitted from different weights and codes."""
    twice = _noisy(1).repeat(2, 1, 1, 1)
    restored = fit(twice, SMALL, seed=1).restored
    assert not torch.allclose(restored[0], restored[1], atol=1e-3)


def test_chunks_do_not_change_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """More images than fit into one program come back in order, each with its own address."""
    noisy = _noisy(3, dtype=torch.float64)
    whole = fit(noisy, SMALL, seed=5)
    monkeypatch.setattr("ablate.core.dip.fit.images_at_once", lambda device: 2)
    chunked = fit(noisy, SMALL, seed=5)
    assert torch.allclose(chunked.restored, whole.restored, atol=1e-9)
    assert chunked.curve.shape == whole.curve.shape
    assert chunked.steps_done == whole.steps_done == 3 * SMALL.steps


def test_fixed_returns_the_running_average_after_all_steps() -> None:
    """With weight 0 on the past, the average is the last output; the fit approaches the noisy image."""
    noisy = _noisy(2)
    found = fit(noisy, replace(SMALL, ema=0.0, steps=60), seed=0)
    last = (found.restored - noisy).square().mean((1, 2, 3))
    assert found.stopped_at.tolist() == [60, 60]
    assert torch.allclose(found.curve[-1], last, atol=1e-6)
    assert bool((found.curve[-1] < 0.5 * found.curve[0]).all())


def test_steps_are_reported() -> None:
    """`on_step` hears every step, the total, and finite losses."""
    heard: list[tuple[int, int, float]] = []
    fit(_noisy(1), SMALL, seed=0, on_step=lambda *news: heard.append(news))
    assert [(done, total) for done, total, _ in heard] == [(step, 12) for step in range(1, 13)]
    assert all(loss > 0 for _, _, loss in heard)


def test_wmv_stops_at_the_least_windowed_variance() -> None:
    """The rule keeps the average at the minimum of the variance of the last outputs, and stops after its patience."""
    spread = [8.0, 4.0, 2.0, 1.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    settings = replace(SMALL, stop="wmv", window=2, patience=3, ema=0.0, steps=100)
    stop = StopWatch(settings, torch.zeros(1, 3, 4, 4))
    sign = 1.0
    for step, amount in enumerate(spread, start=1):
        sign = -sign
        output = torch.full((1, 3, 4, 4), sign * amount)
        stop.average_in(output)
        stop.see(step, output, None)
        if bool(stop.done.all()):
            break
    # Pairs (1, 0.5) and (0.5, 1) tie for the least variance: the first, at step 5, is kept; 3 steps later it ends.
    assert step == 8
    assert stop.best_step.item() == 5
    assert torch.equal(stop.best, torch.full((1, 3, 4, 4), -0.5))


def test_each_image_stops_alone() -> None:
    """After an image has stopped, its result and its curve stand still while others go on."""
    found = fit(_noisy(4), replace(SMALL, stop="wmv", steps=80), seed=3)
    lengths = found.curve.isfinite().sum(0)
    assert found.steps_done == int(lengths.sum())
    assert torch.equal((found.stopped_at + SMALL.patience).clamp(max=80), lengths)


def test_oracle_is_the_best_average_and_needs_the_clean_image() -> None:
    """No step of the recorded averages is better than what the oracle returns."""
    noisy = _noisy(2)
    clean = noisy.mean(1, keepdim=True).expand_as(noisy)
    found = fit(noisy, replace(SMALL, stop="oracle", steps=30), seed=0, clean=clean)
    assert found.clean_psnr is not None
    best, where = found.clean_psnr[:, :, 1].max(0)
    assert torch.equal(found.stopped_at, where + 1)
    returned = -10 * torch.log10((found.restored - clean).square().mean((1, 2, 3)))
    assert torch.allclose(returned, best, atol=1e-4)
    with pytest.raises(ValueError, match="clean"):
        fit(noisy, replace(SMALL, stop="oracle"), seed=0)


def test_knowing_the_clean_image_changes_nothing_else() -> None:
    """Recording quality must not steer the fit."""
    noisy = _noisy(2)
    assert torch.equal(fit(noisy, SMALL, seed=0, clean=noisy).restored, fit(noisy, SMALL, seed=0).restored)


def test_collapse_falls_back_to_saved_weights() -> None:
    """A step size that throws the fit off again and again is caught by the saved weights."""
    noisy = _noisy(1)
    wild = replace(SMALL, architecture="decoder", channels=16, input_noise=0.0, lr=0.8, steps=60, ema=0.0)
    guarded = fit(noisy, replace(wild, fallback_db=0.0), seed=0).curve[-10:].mean()
    unguarded = fit(noisy, replace(wild, fallback_db=1000.0), seed=0).curve[-10:].mean()
    assert guarded < unguarded


def test_non_finite_loss_is_divergence() -> None:
    """It ends at once, with the images seen."""
    noisy = _noisy(2)
    noisy[1, 0, 0, 0] = torch.nan
    with pytest.raises(DivergedError) as caught:
        fit(noisy, SMALL, seed=0)
    assert caught.value.images_seen == 2


@pytest.mark.parametrize("side", [18, 4])
def test_sizes_that_cannot_be_halved_are_refused(side: int) -> None:
    """Two scales need a multiple of 4, and 2 pixels at the bottom."""
    with pytest.raises(ValueError, match="cannot be halved 2 times"):
        fit(_noisy(1, side=side), SMALL, seed=0)


def _patches(count: int) -> tuple[Tensor, Tensor]:
    """Held-out patches in [0,1] and noisy ones at sigma 25, clipped."""
    images = load("skimage-patches").test
    generator = torch.Generator().manual_seed(3)
    chosen = torch.randperm(len(images), generator=generator)[:count]
    clean = (as_unit(images[chosen]) + 1) / 2
    return clean, (clean + 25 / 255 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)


def _mean_psnr(restored: Tensor, clean: Tensor) -> float:
    return psnr(restored * 2 - 1, clean * 2 - 1).mean().item()


def test_real_patches_gain_many_decibels() -> None:
    """Held-out patches gain more than 5 dB at the default settings."""
    clean, noisy = _patches(2)
    found = fit(noisy, DipSettings(), seed=0)
    assert _mean_psnr(found.restored, clean) > _mean_psnr(noisy, clean) + 5


@pytest.mark.acceptance("I6")
@pytest.mark.slow
def test_peak_comes_early_and_overfitting_follows() -> None:
    """32x32 patches: the output peaks before step 250 and has lost 4 dB by step 800; ES-WMV comes within 1 dB."""
    clean, noisy = _patches(8)
    long = fit(noisy, DipSettings(stop="fixed", steps=800), seed=0, clean=clean)
    assert long.clean_psnr is not None
    curve = long.clean_psnr.mean(1)
    peaks = long.clean_psnr[:, :, 0].max(0)
    assert bool((peaks.indices < 250).all())
    assert (peaks.values - long.clean_psnr[-1, :, 0]).mean() >= 4
    oracle = long.clean_psnr[:, :, 1].max(0).values.mean()
    stopped = fit(noisy, DipSettings(steps=250), seed=0, clean=clean)
    assert _mean_psnr(stopped.restored, clean) >= oracle - 1
    assert curve[:, 1].max() > curve[0, 1]
