"""The linear-Gaussian bound: right where its assumption holds, and a bar that a trained network passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ablate.core.data import as_unit, load
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.training import Trainer
from ablate.core.diffusion.validation import Wiener, epsilon_errors, fixed_choice, mean_loss_steps, validate
from ablate.core.schedules import make_schedule
from ablate.core.settings import DdpmDipSettings

LINEAR = make_schedule("linear", 1000)
Record = Callable[[str, object], None]
"""pytest's `record_property`: (what, (expected, measured)) becomes a row of docs/evidence/acceptance.md."""


def alpha_bar(t: int) -> Tensor:
    """Alpha-bar of a step of `LINEAR`, float64 []."""
    return torch.tensor(float(LINEAR.alpha_bars[t - 1]), dtype=torch.float64)


def gaussian_images(count: int, seed: int) -> Tensor:
    """Images [N,3,4,4] of a Gaussian with a known mean 0.2 and standard deviations from 0.1 to 1."""
    spread = torch.linspace(0.1, 1.0, 48).reshape(3, 4, 4)
    return 0.2 + spread * torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("t", [25, 225, 475])
def test_on_gaussian_data_the_error_is_the_closed_form(t: int) -> None:
    """E||eps - eps'||^2 per pixel = mean of a lambda / (a lambda + 1 - a) for the exact covariance."""
    values = torch.linspace(0.1, 1.0, 48).square()
    wiener = Wiener(torch.full((48,), 0.2), values, torch.eye(48))
    a = float(LINEAR.alpha_bars[t - 1])
    (found,) = epsilon_errors(lambda xt, _: wiener.epsilon(xt, alpha_bar(t)), gaussian_images(8000, 1), [t], LINEAR)
    assert found == pytest.approx(float((a * values / (a * values + 1 - a)).mean()), rel=0.03)


def test_fit_finds_mean_and_covariance() -> None:
    wiener = Wiener.fit(gaussian_images(50_000, 0), chunk=7000)
    torch.testing.assert_close(wiener.mean, torch.full((48,), 0.2), atol=0.03, rtol=0)
    torch.testing.assert_close(wiener.values, torch.linspace(0.1, 1.0, 48).square(), atol=0.03, rtol=0.05)
    identity = wiener.vectors.T @ wiener.vectors
    torch.testing.assert_close(identity, torch.eye(48), atol=1e-4, rtol=0)


def test_estimate_is_the_conditional_mean() -> None:
    """eps' = (x_t - sqrt(a) E[x_0 | x_t]) / sqrt(1 - a), with the textbook form of E[x_0 | x_t]."""
    images = gaussian_images(500, 2).double()
    wiener = Wiener.fit(images)
    xt, a = gaussian_images(3, 3).double(), 0.7
    flat = images.flatten(1)
    covariance = torch.cov(flat.T)
    inverse = torch.linalg.inv(a * covariance + (1 - a) * torch.eye(48, dtype=torch.float64))
    mean = flat.mean(0)
    x0 = mean + (a**0.5 * covariance @ inverse @ (xt.flatten(1) - a**0.5 * mean).T).T
    expected = (xt.flatten(1) - a**0.5 * x0) / (1 - a) ** 0.5
    torch.testing.assert_close(wiener.epsilon(xt, torch.tensor(a, dtype=torch.float64)).flatten(1), expected)


def test_choices_are_the_same_everywhere() -> None:
    """What is evaluated does not depend on a trial; fewer images are the beginning of more."""
    assert torch.equal(fixed_choice(100, 5, "evaluation-images"), fixed_choice(100, 9, "evaluation-images")[:5])
    assert not torch.equal(fixed_choice(100, 9, "evaluation-images"), fixed_choice(100, 9, "validation-images"))
    assert len(fixed_choice(3, 9, "evaluation-images")) == 3


def test_steps_of_the_mean_loss_lie_in_the_middle_of_equal_parts() -> None:
    assert mean_loss_steps(1000) == [51, 151, 251, 351, 451, 551, 651, 751, 851, 951]
    assert mean_loss_steps(4) == [1, 2, 3, 4]


def test_an_untrained_network_scores_one() -> None:
    settings = DdpmDipSettings(channels=8, channel_mults="1")
    denoiser = Denoiser.build(settings, 0, torch.device("cpu"))
    images = torch.zeros(8, 3, 32, 32)
    wiener = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))
    found = validate(denoiser, wiener, images, (15, 25))
    assert set(found) == {
        *("val_loss", "val_loss_s15", "val_loss_s25", "val_loss_low"),
        *("wiener_loss", "wiener_s15", "wiener_s25", "wiener_low"),
        *("val_ratio_s15", "val_ratio_s25", "val_ratio_low"),
    }
    assert found["val_loss"] == pytest.approx(1.0, abs=5 * (2 / images.numel()) ** 0.5)
    assert found["val_ratio_s25"] == pytest.approx(found["val_loss_s25"] / found["wiener_s25"])
    assert found["wiener_low"] == pytest.approx((found["wiener_s15"] + found["wiener_s25"]) / 2)


@pytest.mark.slow
def test_the_bound_on_photographs() -> None:
    """The training covariance of the embedded patches gives 0.245, .085, .046, .020, .0038 on held-out ones.

    Patches differ so much that 500 of them scatter by 4 %; 3,000 do not.
    """
    images = load("skimage-patches", cap_per_image=3000, split="block")
    wiener = Wiener.fit(as_unit(images.train))
    chosen = as_unit(images.test[fixed_choice(len(images.test), 3000, "validation-images")])

    steps = [25, 75, 125, 225, 475]
    found = epsilon_errors(lambda xt, t: wiener.epsilon(xt, alpha_bar(int(t[0]))), chosen, steps, LINEAR)
    assert found == pytest.approx([0.245, 0.085, 0.046, 0.020, 0.0038], rel=0.06)


@pytest.mark.acceptance("U7")
@pytest.mark.slow
def test_a_short_training_passes_the_bound_at_low_noise(record_property: Record) -> None:
    """400 updates on photographs: below the best linear denoiser at noise of 15/255 and 25/255."""
    images = load("skimage-patches", cap_per_image=3000, split="block")
    settings = DdpmDipSettings(train_images=6400, ema_decay=0.99, warmup_steps=50)
    trainer = Trainer(settings, images.train[fixed_choice(len(images.train), 6400, "test")], 0)
    while not trainer.done:
        trainer.update()
    trainer.ema.use()
    chosen = as_unit(images.test[fixed_choice(len(images.test), 64, "validation-images")])
    found = validate(trainer.denoiser, Wiener.fit(as_unit(images.train)), chosen, (15, 25))
    assert found["val_loss_s15"] < found["wiener_s15"]
    assert found["val_loss_s25"] < found["wiener_s25"]
    ratios = (found["val_ratio_s15"], found["val_ratio_s25"])
    record_property("error over the linear bound at noise 15 and 25, 400 updates", ("< 1", ratios))


@pytest.mark.acceptance("U3")
@pytest.mark.slow
def test_eight_images_are_learnt_by_heart(record_property: Record) -> None:
    """300 updates on eight images: at low noise their error falls below that of others, further and further."""
    images = load("skimage-patches", cap_per_image=3000, split="block")
    settings = DdpmDipSettings(batch_size=8, epochs=300, warmup_steps=50, horizontal_flip=False, ema_decay=0.99)
    eight = images.train[fixed_choice(len(images.train), 8, "overfit")]
    others = as_unit(images.test[fixed_choice(len(images.test), 64, "validation-images")])
    trainer, ratios = Trainer(settings, eight, 0), []
    while not trainer.done:
        trainer.update()
        if trainer.step % 100 == 0:
            with trainer.ema.applied():
                (known,), (other,) = (
                    epsilon_errors(trainer.denoiser.epsilon, some, [25], LINEAR) for some in (as_unit(eight), others)
                )
            ratios.append(known / other)
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 0.8
    record_property(
        "error at t = 25 on the eight over that on others, after 100, 200, 300 updates", ("falls, < 0.8", ratios)
    )


@pytest.mark.acceptance("U5")
@pytest.mark.parametrize(
    "updates", [pytest.param(200, marks=pytest.mark.slow), pytest.param(400, marks=pytest.mark.full)]
)
def test_the_small_network_learns_at_the_known_pace(updates: int, record_property: Record) -> None:
    """Mean error over 20 steps on 500 held-out patches: a network of 346 thousand parameters had .226, .056, .031."""
    images = load("skimage-patches", cap_per_image=3000, split="block")
    settings = DdpmDipSettings(
        channel_mults="1-2-3", attention="8", batch_size=32, lr=1e-3, epochs=8, train_images=16_000, lr_decay="cosine"
    )
    chosen = as_unit(images.test[fixed_choice(len(images.test), 500, "validation-images")])
    trainer = Trainer(settings, images.train[fixed_choice(len(images.train), 16_000, "small-ddpm")], 0)
    while trainer.step < updates:
        trainer.update()
    with trainer.ema.applied():
        errors = epsilon_errors(trainer.denoiser.epsilon, chosen, range(25, 1000, 50), LINEAR)
    found = sum(errors) / len(errors)
    assert found == pytest.approx({200: 0.0638, 400: 0.0353}[updates], rel=0.05)
    record_property(
        f"validation error after {updates} updates", (f"{ {200: 0.056, 400: 0.031}[updates] } ± 15 %", found)
    )
