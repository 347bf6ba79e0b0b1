"""Corruptions: what is measured, what a prior is fitted to, and the step that pulls an estimate towards the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.core.data import load
from ablate.core.ddpm_dip.stages.dip import fit_settings
from ablate.core.diffusion.corruption import Masked, Operator, Shrunk, Whole, consistent_with, operator_of
from ablate.core.diffusion.denoiser import Denoiser, schedule_of
from ablate.core.diffusion.restoration import observe, restore
from ablate.core.diffusion.validation import Wiener
from ablate.core.dip.fit import fit
from ablate.core.scores.psnr_ssim import psnr
from ablate.core.settings import DdpmDipSettings
from tests.core.desk import CPU, MINI, Desk, compute

KINDS = ("noise", "inpainting", "super-resolution-2x", "super-resolution-4x")


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, seed: int = 0, side: int = 8) -> Tensor:
    """Anything in [-1,1], float64 so that closed forms can be compared exactly."""
    return torch.rand(count, 3, side, side, generator=stream(seed), dtype=torch.float64) * 2 - 1


def operator(kind: str, count: int = 2, side: int = 8) -> Operator:
    return operator_of(kind, (count, 3, side, side), [stream(i) for i in range(count)], 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 40.0])
def test_the_pull_minimises_its_objective(kind: str, rho: float) -> None:
    """The gradient of ||y - A x||^2 + rho ||x - x_0||^2 is zero there."""
    a, x0 = operator(kind), images(2, 1)
    measured = a.measure(images(2, 2)) + 0.1
    x = a.pull(x0, measured, torch.tensor(rho, dtype=torch.float64)).requires_grad_()
    # Missing pixels say nothing: what stands in the measurement there must not matter.
    error = a.measure(x) - a.measure(a.show(measured)) if isinstance(a, Masked) else a.measure(x) - measured
    (gradient,) = torch.autograd.grad(error.square().sum() + rho * (x - x0).square().sum(), x)
    torch.testing.assert_close(gradient, torch.zeros_like(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_without_noise_the_pulled_estimate_agrees_with_the_data(kind: str) -> None:
    a, truth = operator(kind), images(2, 3)
    measured = a.measure(truth)
    found = consistent_with(a, measured, 0.0)(images(2, 4), torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(a.measure(found), measured)


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_has_no_loss_and_stays_where_it_is(kind: str) -> None:
    a, truth = operator(kind), images(2, 5)
    measured = a.measure(truth)
    assert float(a.losses(truth, measured).abs().max()) < 1e-12
    torch.testing.assert_close(a.pull(truth, measured, torch.tensor(0.7, dtype=torch.float64)), truth)


def test_shrinking_takes_means_and_grows_back_bicubically() -> None:
    """A A' = I / factor^2; a linear ramp comes back, away from the border."""
    small = Shrunk(4).measure(images(1))
    assert small.shape == (1, 3, 2, 2)
    torch.testing.assert_close(small[0, 0, 0, 1], images(1)[0, 0, :4, 4:].mean())
    ramp = torch.linspace(-1, 1, 32, dtype=torch.float64).expand(1, 3, 32, 32)
    shown = Shrunk(2).show(Shrunk(2).measure(ramp))
    torch.testing.assert_close(shown[..., 4:-4], ramp[..., 4:-4], atol=1e-6, rtol=0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_exactly_the_stated_share_of_pixels_is_missing(share: float) -> None:
    a = operator_of("inpainting", (3, 3, 32, 32), [stream(i) for i in range(3)], share)
    assert isinstance(a, Masked)
    assert (1 - a.mask).sum((1, 2, 3)).tolist() == [round(share * 1024)] * 3
    assert not torch.equal(a.mask[0], a.mask[1])
    # The loss is a mean over what is there: it does not fall with the share that is missing.
    losses = a.losses(torch.full((3, 3, 32, 32), 0.5), torch.zeros(3, 3, 32, 32))
    torch.testing.assert_close(losses, torch.full((3,), 0.25))


@pytest.mark.parametrize("kind", KINDS)
def test_corruptions_are_addressed_by_seed_and_image(kind: str) -> None:
    """The same in every arm, other ones for another seed or evaluation; fewer images are the beginning of more."""
    data = load("skimage-patches", cap_per_image=30)
    settings = DdpmDipSettings.model_validate({**MINI, "corruption": kind, "dip_steps": 1})
    first, again, other = (observe(data, settings, seed, CPU) for seed in (0, 0, 1))
    assert torch.equal(first.measured, again.measured)
    assert not torch.equal(first.measured, other.measured)
    more = observe(data, settings.model_copy(update={"eval_images": 5}), 0, CPU)
    assert torch.equal(more.first(3).noisy, first.noisy)
    twice = observe(data, settings.model_copy(update={"eval_seeds": 2}), 0, CPU)
    assert torch.equal(twice.clean, first.clean.repeat(2, 1, 1, 1))
    assert torch.equal(twice.noisy[:3], first.noisy)
    assert not torch.equal(twice.noisy[3:], first.noisy)


class Oracle(torch.nn.Module):
    """Knows the clean images, and so predicts x_0 without error."""

    def __init__(self, clean: Tensor) -> None:
        super().__init__()
        self.clean = clean

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.clean[: len(x)]


class Blank(torch.nn.Module):
    """Knows nothing: whatever it restores came from the data."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_denoiser_restores_from_every_corruption(kind: str) -> None:
    """A perfect one perfectly; a blind one gives the data back, exactly where it is known."""
    settings = DdpmDipSettings.model_validate(
        {**MINI, "corruption": kind, "noise_sigma": 0.0, "prediction": "x0", "method": "ddpm", "data_consistency": True}
    )
    observed = observe(load("skimage-patches", cap_per_image=30), settings, 0, CPU)
    schedule = schedule_of(settings)
    perfect = Denoiser(Oracle(observed.clean), schedule, "x0", "fp32", CPU)
    assert float(psnr(restore(perfect, observed, settings, 0, None), observed.clean).min()) > 90
    blind = restore(Denoiser(Blank(), schedule, "x0", "fp32", CPU), observed, settings, 0, None)
    torch.testing.assert_close(observed.operator.measure(blind), observed.measured, atol=1e-5, rtol=0)


def test_a_deep_image_prior_fills_what_is_missing() -> None:
    """Half the pixels missing: 100 iterations of the masked loss gain 8 dB and more over the grey ones."""
    settings = DdpmDipSettings.model_validate(
        {"corruption": "inpainting", "noise_sigma": 0.0, "eval_images": 4, "dip_steps": 100, "cap_per_image": 30}
    )
    observed = observe(load("skimage-patches", cap_per_image=30), settings, 0, CPU)
    measured = (observed.measured + 1) / 2
    fitted = fit(
        (observed.noisy + 1) / 2,
        fit_settings(settings),
        seed=0,
        losses=lambda chosen, outputs: observed.operator.part(chosen).losses(outputs, measured[chosen]),
    )
    gains = psnr(fitted.restored * 2 - 1, observed.clean) - psnr(observed.noisy, observed.clean)
    assert float(gains.mean()) > 8


def test_a_trial_scores_the_corrupted_input_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    white = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))
    monkeypatch.setattr(Wiener, "fit", staticmethod(lambda images: white))
    outcome = compute(
        Desk(tmp_path), corruption="inpainting", noise_sigma=5.0, method="dip+ddpm", data_consistency=True
    )
    assert {"psnr", "psnr_input", "ssim_input", "psnr_start", "gpd", "gpd_input"} <= set(outcome.metrics)
    assert "psnr_onestep" not in outcome.metrics
    assert outcome.environment["psnr"].startswith("clip [0,1], data_range 1")
    assert outcome.environment["ssim"].startswith("clip [0,1], data_range 1, gaussian window")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"noise_sigma": 0.0}, "there is nothing to restore"),
        ({"corruption": "inpainting", "method": "ddpm"}, "set it to true"),
        ({"mask_fraction": 1.0}, "less than 1"),
        ({"corruption": "blur"}, "'inpainting'"),
        ({"quality_steps": "10-5"}, "is not ascending"),
        ({"quality_steps": "5,10"}, "pattern"),
    ],
)
def test_the_impossible_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DdpmDipSettings.model_validate(wrong)


def test_nothing_but_noise_is_the_whole_image() -> None:
    assert isinstance(operator("noise"), Whole)
