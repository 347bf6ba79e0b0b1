"""Combinations of DIP and DDPM: each does what its name says and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from ablate.core.data import as_unit, load
from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.ddpm_dip.methods.base import Models
from ablate.core.ddpm_dip.methods.combined import smoothed_images
from ablate.core.ddpm_dip.methods.unlearned import Gaussian, NlMeans, TotalVariation
from ablate.core.ddpm_dip.stages.compute_budget import (
    DIP_SECONDS_PER_OPERATION,
    dip_operations,
    iteration_in_updates,
    unet_operations,
    updates_spent,
)
from ablate.core.ddpm_dip.stages.denoiser import wiener_of
from ablate.core.ddpm_dip.stages.dip import fit_settings
from ablate.core.ddpm_dip.stages.start_images import gaussian_samples, start_at
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.ddpm_dip.stages.warm_start import warm_weights
from ablate.core.diffusion.blur import gaussian_blur
from ablate.core.diffusion.denoiser import Denoiser, schedule_of
from ablate.core.diffusion.forward_process import add_noise, x0_from
from ablate.core.diffusion.restoration import addressed_noise, observe, restore, start_step
from ablate.core.diffusion.training import Trainer, choose_images
from ablate.core.diffusion.training_target import TrainingTarget
from ablate.core.diffusion.validation import Wiener
from ablate.core.scores.psnr_ssim import psnr
from ablate.core.settings import DdpmDipSettings
from ablate.errors import AblateError
from ablate.recipe import Recipe, Scalar
from tests.core.desk import CPU, MINI, Desk, compute

FITTED: dict[str, Scalar] = {"train_images": 4, "batch_size": 4, "dip_steps": 60, "dip_channels": 16}
"""Enough of a DIP to be nearer to its image than a wide blur."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all: the linear model of the training images takes seconds."""
    return tmp_path_factory.mktemp("combinations")


def settings_of(**changes: Scalar) -> DdpmDipSettings:
    return DdpmDipSettings.model_validate({**MINI, **changes})


def run_of(root: Path, **changes: Scalar) -> Run:
    return Run(Recipe("ddpm-dip", settings_of(**changes).resolved(), 0), Desk(root), "1", ())


def images(count: int = 24) -> Tensor:
    return load("skimage-patches", cap_per_image=30).train[:count]


# ------------------------------------------------------------------------------------------------- A, dip_target


def test_smoothed_images_stay_beside_their_originals() -> None:
    """Chosen and flipped alike, in every epoch."""
    trainer = Trainer(settings_of(epochs=3), images(), 0, TrainingTarget(smooth=as_unit(images())))
    for step in range(trainer.course.total):
        trainer.step = step
        batch, smooth = trainer._batch(step), trainer._smooth(step)
        assert smooth is not None
        assert torch.equal(batch, smooth)


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v", "edm"])
def test_literal_with_nothing_smoothed_is_the_ordinary_loss(prediction: str) -> None:
    settings = settings_of(prediction=prediction)
    plain = Trainer(settings, images(), 0)
    literal = Trainer(settings, images(), 0, TrainingTarget(smooth=as_unit(images()), literal=True))
    x0 = plain._batch(0)
    noise, t = torch.randn(x0.shape), torch.tensor([10, 300, 700, 1000])
    with torch.no_grad():
        ordinary, found = plain._loss(x0, noise, t, None), literal._loss(x0, noise, t, x0)
    assert float(found) == pytest.approx(float(ordinary), rel=1e-4)


class Knows(torch.nn.Module):
    """Outputs one tensor whatever it is shown."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.answer


def test_literal_builds_xt_from_the_smoothed_image_and_asks_for_the_original() -> None:
    """Only the network that answers x_0, not the smoothed image, has no loss."""
    smooth = gaussian_blur(as_unit(images()), 2.0)
    trainer = Trainer(settings_of(prediction="x0"), images(), 0, TrainingTarget(smooth=smooth, literal=True))
    x0, blurred = trainer._batch(0), trainer._smooth(0)
    assert blurred is not None
    noise, t = torch.randn(x0.shape), torch.full((len(x0),), 500)
    losses = []
    for answer in (x0, blurred):
        trainer.denoiser.network = Knows(answer)
        with torch.no_grad():
            losses.append(float(trainer._loss(x0, noise, t, blurred)))
    assert losses[0] < 1e-9 < losses[1]


def test_a_guided_network_sees_three_more_channels() -> None:
    def parameters(settings: DdpmDipSettings) -> int:
        return sum(weight.numel() for weight in Denoiser.build(settings, 0, CPU).network.parameters())

    assert parameters(settings_of(method="dip_target")) - parameters(settings_of(method="ddpm")) == 3 * 9 * 8


def test_guides_are_shown_image_by_image() -> None:
    """Random weights magnify the rounding by which a batch of two differs from one of three; another guide is another
    picture."""
    denoiser = Denoiser.build(settings_of(method="dip_target", prediction="x0"), 0, CPU)
    with torch.no_grad():
        for weight in denoiser.network.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(weight.numel()))
    guides, x, t = torch.randn(3, 3, 32, 32), torch.randn(3, 3, 32, 32), torch.tensor([5, 5, 5])
    whole = denoiser.guided_by(guides)(x, t)
    assert torch.allclose(denoiser.guided_by(guides)(x[:2], t[:2]), whole[:2], atol=0.05)
    others = (denoiser.guided_by(guides.flip(0))(x, t) - whole).abs().mean((1, 2, 3))
    assert float(others[[0, 2]].min()) > 0.2
    assert float(others[1]) < 0.01  # the middle one keeps its guide


def test_the_blur_control_has_the_error_of_the_dip(shared: Path) -> None:
    """A and A- share their DIP fits; A-'s blur is as far from the training images as they are."""
    run = run_of(shared, method="dip_target", **FITTED)
    control = run_of(shared, method="dip_target", dip_target_source="blur", **FITTED)
    (dip, none), (blur, sigma) = smoothed_images(run), smoothed_images(control)
    assert none is None
    assert sigma == control.found["blur_sigma_matched"] > 0
    assert control.reused["dip-train"] == run.found["dip_train_seconds"]
    clean = as_unit(choose_images(run.images.train, run.settings, 0))
    errors = [float((smooth - clean).square().mean()) for smooth in (dip, blur)]
    assert errors[1] == pytest.approx(errors[0], rel=2e-3)


# -------------------------------------------------------------------------------------------------- B, dip_start


def test_dip_start_is_another_name_for_dip_ddpm() -> None:
    assert settings_of(method="dip_start") == settings_of(method="dip+ddpm")


def test_the_start_is_the_diffused_dip_output() -> None:
    """With t0 = T and an output of 0 it is the noise of plain sampling; towards t0 = 1 it is the output itself."""
    schedule = schedule_of(settings_of())
    noise = torch.randn(2, 3, 32, 32)
    whole, least = (torch.tensor([float(schedule.alpha_bars[t - 1])], dtype=torch.float64) for t in (1000, 1))
    assert torch.allclose(add_noise(torch.zeros_like(noise), noise, whole), noise, atol=2e-4)
    output = as_unit(images(2))
    assert float(psnr(add_noise(output, noise, least).clamp(-1, 1), output).min()) > 40


def test_a_start_at_the_first_step_returns_the_dip_output() -> None:
    """G6: at t0 = 1 an honest denoiser changes (almost) nothing."""
    settings = settings_of(method="dip+ddpm", start_fraction=1e-6, prediction="x0", eval_images=2)
    observed = observe(load("skimage-patches", cap_per_image=30), settings, 0, CPU)
    output = gaussian_blur(observed.clean, 1.0)

    class Shown(torch.nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x

    denoiser = Denoiser(Shown(), schedule_of(settings), "x0", "fp32", CPU)
    assert float(psnr(restore(denoiser, observed, settings, 0, output), output).min()) > 40


# --------------------------------------------------------------------------------------------------- C, truncated


@pytest.mark.parametrize("law", ["uniform", "lognormal"])
def test_truncated_never_trains_above_its_start(law: str) -> None:
    settings = settings_of(method="truncated", start_sigma=50, step_law=law, batch_size=64)
    last = start_step(settings, schedule_of(settings))
    trainer = Trainer(settings, images(64), 0, TrainingTarget(last_step=last))
    drawn = []
    for step in range(200):
        trainer.step = step
        drawn.append(trainer._steps(64))
    steps = torch.cat(drawn)
    assert last == 115
    assert int(steps.max()) == last
    assert int(steps.min()) == 1


def test_truncated_below_the_noise_is_refused() -> None:
    with pytest.raises(ValidationError, match="below noise_sigma 25; set start_sigma to 25 or more"):
        settings_of(method="truncated")


@pytest.mark.slow
def test_gaussian_starts_have_the_mean_and_covariance_of_the_training_images(shared: Path) -> None:
    run = run_of(shared, method="gaussian")
    model, _ = wiener_of(run)
    normal = torch.randn(400, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    coordinates = (gaussian_samples(run, normal).flatten(1) - model.mean) @ model.vectors[:, -20:]
    variance = coordinates.var(0) / model.values[-20:]
    assert variance.numpy() == pytest.approx([1.0] * 20, abs=5 * (2 / 400) ** 0.5)
    assert float((coordinates.mean(0) / model.values[-20:].sqrt()).abs().max()) < 5 / 20


@pytest.mark.parametrize("source", [pytest.param("gaussian", marks=pytest.mark.slow), "blur", "dip", "noise"])
def test_what_an_image_starts_from_depends_on_its_noise_alone(source: str, shared: Path) -> None:
    """The same in any batch; pure noise is passed on as it is, though it is not the law of x_t0."""
    start: dict[str, Scalar] = {"truncated_start": source, "train_images": 4}
    run = run_of(shared, method="truncated", task="generation", samples=64, **start)
    normal = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    whole = start_at(run, source, normal, 0.5)  # type: ignore[arg-type]
    assert torch.allclose(start_at(run, source, normal[2:4], 0.5), whole[2:4], atol=1e-5)  # type: ignore[arg-type]
    if source == "noise":
        assert torch.equal(whole, normal)
    else:
        behind = (whole - 0.5**0.5 * normal) / 0.5**0.5
        assert float(behind.abs().max()) < 5
        assert len({round(float(image.mean()), 6) for image in behind}) > 1


# ---------------------------------------------------------------------------------------------------- D, dip_warm


def test_a_warm_start_copies_every_weight() -> None:
    other = Denoiser.build(settings_of(), 9, CPU).network.state_dict()
    trainer = Trainer(settings_of(), images(), 0, TrainingTarget(weights=other))
    for mine, given in zip(trainer.denoiser.network.state_dict().values(), other.values(), strict=True):
        assert torch.equal(mine, given)
    pairs = zip(trainer.ema.weights, trainer.denoiser.network.parameters(), strict=True)
    assert all(torch.equal(averaged, live) for averaged, live in pairs)


@pytest.mark.parametrize("prediction", ["epsilon", pytest.param("v", marks=pytest.mark.slow)])
def test_the_warm_up_fits_its_images_from_fixed_noise(prediction: str, shared: Path) -> None:
    """x_0 read off the output (off the output itself under epsilon) comes near the K images, as a DIP's does."""
    run = run_of(shared, method="dip_warm", warm_images=2, warm_steps=80, prediction=prediction, lr=5e-3)
    denoiser = Denoiser.build(run.settings, 0, CPU)
    denoiser.network.load_state_dict(warm_weights(run))
    clean = as_unit(choose_images(run.images.train, run.settings, 0)[:2])
    code, t = addressed_noise(clean.shape, 0, "warm-code"), torch.tensor([1000, 1000])
    kind = "x0" if prediction == "epsilon" else "v"
    found = x0_from(kind, denoiser(code, t), code, denoiser.alpha_bar(t))  # type: ignore[arg-type]
    assert float((found - clean).square().mean()) < 0.3 * float(clean.square().mean())


def test_the_warm_up_is_computed_once_and_its_control_is_another(shared: Path) -> None:
    first, again = (run_of(shared, method="dip_warm", warm_steps=3) for _ in range(2))
    control = run_of(shared, method="dip_warm", warm_steps=3, warm_source="denoising")
    weights, same, others = (warm_weights(run) for run in (first, again, control))
    assert "warm" not in first.reused
    assert again.reused["warm"] == first.found["warm_seconds"]
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert any(not torch.equal(weights[name], others[name]) for name in weights)


# ----------------------------------------------------------------------------------------------------- the others


@pytest.mark.slow
def test_the_gaussian_method_is_the_wiener_filter(shared: Path) -> None:
    """Per mode lambda / (lambda + s^2), the same as the linear denoiser's x_0 at the observation's own step."""
    run = run_of(shared, method="gaussian")
    restored = Gaussian().restore(run, Models(), run.observed, 5)
    model, _ = wiener_of(run)
    a = 1 / (1 + run.observed.noise_std**2)
    xt = a**0.5 * run.observed.noisy
    x0 = (xt - (1 - a) ** 0.5 * model.epsilon(xt, torch.tensor(a, dtype=torch.float64))) / a**0.5
    assert torch.allclose(restored, x0.clamp(-1, 1), atol=1e-3)
    assert isinstance(model, Wiener)


@pytest.mark.parametrize("method", [NlMeans(), TotalVariation(), pytest.param(Gaussian(), marks=pytest.mark.slow)])
def test_unlearned_methods_gain_decibels(method: NlMeans | TotalVariation | Gaussian, shared: Path) -> None:
    run = run_of(shared, method="nl-means", eval_images=6)
    restored = method.restore(run, Models(), run.observed, 5)
    gain = psnr(restored, run.observed.clean) - psnr(run.observed.noisy, run.observed.clean)
    assert float(gain.mean()) > 4
    assert not method.generates(run) or isinstance(method, Gaussian)


@pytest.mark.slow
def test_one_step_is_ddpm_with_one_evaluation(shared: Path) -> None:
    """No method of its own: ``sample_steps: 1`` restores with exactly the estimate that psnr_onestep scores."""
    outcome = compute(Desk(shared), method="ddpm", sample_steps=1)
    assert outcome.metrics["psnr"] == pytest.approx(outcome.metrics["psnr_onestep"], abs=1e-9)
    assert outcome.metrics["nfe"] == 1


# --------------------------------------------------------------------------------------------------------- budget


def test_operations_are_those_of_the_layers() -> None:
    """The deep decoder's by hand: 1x1 convolutions of k channels at 4, 8, 16 and 32 pixels, and the last to 3."""
    settings = fit_settings(settings_of(dip_architecture="decoder", dip_channels=8, dip_scales=3))
    pixels = [4**2, 8**2, 16**2, 32**2]
    assert dip_operations(settings) == 2 * (8 * 8 * sum(pixels) + 8 * 3 * 32**2)


def test_compute_budget_takes_the_dip_out_of_the_training(shared: Path) -> None:
    """Updates left = updates planned - price of all DIP iterations, rounded up."""
    whole: dict[str, Scalar] = {"train_images": 24, "batch_size": 4, "epochs": 4, "dip_steps": 20}
    settings = settings_of(method="dip+ddpm", budget="compute", **whole)
    price = DIP_SECONDS_PER_OPERATION * dip_operations(fit_settings(settings)) / (unet_operations(settings) * 4)
    assert iteration_in_updates(settings) == pytest.approx(price)
    spent = math.ceil(3 * 20 * price)
    assert spent >= 1
    run = run_of(shared, method="dip+ddpm", budget="compute", **whole)
    assert updates_spent(run) == spent
    assert updates_spent(run_of(shared, method="dip+ddpm", **whole)) == 0
    assert Trainer(settings, images(), 0, TrainingTarget(updates_spent=spent)).course.total == 24 - spent


def test_nothing_left_to_train_is_said(shared: Path) -> None:
    with pytest.raises(AblateError, match=r"cost \d+ updates, and 6 are planned"):
        updates_spent(run_of(shared, method="dip+ddpm", budget="compute", dip_steps=500, dip_channels=32))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"method": "nl-means", "corruption": "inpainting"}, "removes only noise"),
        ({"method": "dip_target", "task": "generation"}, "needs a method that generates from noise"),
        ({"method": "tv", "task": "generation"}, "needs a method that generates from noise"),
    ],
)
def test_what_a_method_cannot_do_is_refused(wrong: dict[str, Scalar], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings_of(**wrong)


METHODS: list[dict[str, Scalar]] = [
    {"method": "dip_target", **FITTED},
    {"method": "dip_target", "dip_target_form": "literal", "loss_weight": "min-snr", **FITTED},
    {"method": "truncated", "start_sigma": 50},
    {"method": "dip_warm", "warm_steps": 2},
    {"method": "tv"},
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", METHODS, ids=lambda changes: str(changes["method"]))
def test_every_combination_ends_measured(changes: dict[str, Scalar], shared: Path) -> None:
    settings = settings_of(**changes)
    ((_, found),) = DdpmDip().run([Recipe("ddpm-dip", settings.resolved(), 0)], Desk(shared))
    assert found.kind.value == "measured"
    assert found.metrics["psnr"] > 5
    assert found.metrics["total_seconds"] > 0
    folder = shared / "trials" / found.recipe_digest
    assert (folder / "samples.png").exists()
    generates = changes.get("dip_target_form") == "literal" or changes["method"] == "dip_warm"
    assert (folder / "generated.png").exists() == generates
