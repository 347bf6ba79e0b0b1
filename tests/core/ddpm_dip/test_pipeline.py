"""One recipe of ddpm-dip from settings to outcome, on the embedded photographs and in miniature."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.core.data import load
from ablate.core.ddpm_dip.metric_list import COST, RESTORATION, TRAINING
from ablate.core.diffusion.denoiser import Denoiser, schedule_of
from ablate.core.diffusion.restoration import observe, one_step, restore, start_step
from ablate.core.diffusion.validation import Wiener
from ablate.core.scores.psnr_ssim import psnr
from ablate.core.settings import DdpmDipSettings
from ablate.errors import StoppedError
from ablate.outcome import Outcome, OutcomeKind
from tests.core.desk import CPU, MINI, Desk, compute


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Desk, Outcome]]:
    """One trial of each method, over one cache."""
    root = tmp_path_factory.mktemp("shared")
    outcomes = {}
    for method in ("dip+ddpm", "ddpm", "dip"):
        desk = Desk(root)
        outcomes[method] = (desk, compute(desk, method=method))
    return outcomes


@pytest.fixture(scope="module", autouse=True)
def white_bound() -> Iterator[None]:
    """Take the linear bound of white images: the decomposition of 3072 x 3072 numbers is tested where it belongs."""
    white = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wiener, "fit", staticmethod(lambda images: white))
        yield


QUALITY = ("psnr", "ssim", "mse")


def test_each_method_measures_what_it_has(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    declared = {metric.name for metric in (*RESTORATION, *TRAINING, *COST)}
    both, ddpm, dip = (set(shared[method][1].metrics) for method in ("dip+ddpm", "ddpm", "dip"))
    # A curve of one point has no area; other methods have costs of their own.
    assert both == declared - {"aulc_psnr", "dip_train_seconds", "warm_seconds", "blur_sigma_matched"}
    assert both - ddpm == {"psnr_start", "dip_seconds", "dip_stopped_at"}
    assert {"train_seconds", "val_loss", "psnr_onestep", "nfe", "sample_seconds"}.isdisjoint(dip)
    assert all(shared[method][1].kind is OutcomeKind.MEASURED for method in shared)


def test_the_same_noisy_images_in_all_arms(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    inputs = {shared[method][1].metrics["psnr_input"] for method in shared}
    assert len(inputs) == 1
    # 25/255 of noise leaves 20.17 dB, a little more once clipped.
    assert 20.0 < inputs.pop() < 22.5


def test_a_dip_alone_scores_its_own_start(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    metrics = shared["dip"][1].metrics
    assert metrics["psnr"] == metrics["psnr_start"] == shared["dip+ddpm"][1].metrics["psnr_start"]


def test_reused_stages_keep_their_measured_seconds(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    """Sharing makes nothing look free: times are those of the computation, and the outcome says what was reused."""
    first, ddpm, dip = (shared[method][1] for method in ("dip+ddpm", "ddpm", "dip"))
    assert first.reused == {}
    assert ddpm.reused["denoiser"] == first.metrics["train_seconds"]
    assert set(ddpm.reused) == {"denoiser", "validation"}
    assert dip.reused == {"dip": first.metrics["dip_seconds"]}
    assert ddpm.metrics["train_seconds"] == first.metrics["train_seconds"]
    assert ddpm.seconds > first.metrics["train_seconds"]


def test_learning_curve_is_there_for_every_arm_that_learns(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    """A shared denoiser's curve is evaluated anew with the arm's own start."""
    assert [images for images, _ in shared["dip+ddpm"][0].points] == [24]
    assert [images for images, _ in shared["ddpm"][0].points] == [24]
    assert shared["dip"][0].points == []
    assert shared["ddpm"][1].images_seen == 24


def test_pictures_over_training_are_those_that_were_scored(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    """One array per point of the curve; an arm that trains nothing keeps none."""
    folders = {method: desk.root / "trials" / outcome.recipe_digest for method, (desk, outcome) in shared.items()}
    with np.load(folders["dip+ddpm"] / "training.npz") as arrays:
        assert list(arrays) == ["24"]
        assert (arrays["24"].shape, arrays["24"].dtype) == ((3, 3, 32, 32), np.uint8)
    assert not (folders["dip"] / "training.npz").exists()


def test_pictures(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    desk, outcome = shared["dip+ddpm"]
    folder = next((desk.root / "trials").glob(outcome.recipe_digest))
    assert outcome.samples == "samples.png"
    with Image.open(folder / "samples.png") as picture:
        assert picture.format == "PNG"
    with np.load(folder / "restored.npz") as arrays:
        assert set(arrays) == {"original", "noisy", "start", "restored", "generated"}
        assert arrays["original"].shape == (3, 3, 32, 32)
        assert arrays["generated"].shape == (2, 3, 32, 32)
        assert all(arrays[name].dtype == np.uint8 for name in arrays)


@pytest.mark.acceptance("M8")
def test_the_same_recipe_gives_the_same_numbers(shared: dict[str, tuple[Desk, Outcome]], tmp_path: Path) -> None:
    again = compute(Desk(tmp_path), method="dip+ddpm").metrics
    first = shared["dip+ddpm"][1].metrics
    timed = {name for name in first if "second" in name}
    assert {name: again[name] for name in first.keys() - timed} == {name: first[name] for name in first.keys() - timed}


def test_another_seed_gives_other_noise_on_the_same_images(shared: dict[str, tuple[Desk, Outcome]]) -> None:
    images = load("skimage-patches", cap_per_image=30, split="block")
    settings = DdpmDipSettings.model_validate(MINI)
    first, second = (observe(images, settings, seed, CPU) for seed in (0, 1))
    assert torch.equal(first.clean, second.clean)
    assert not torch.equal(first.noisy, second.noisy)
    noise = (first.noisy - first.clean) / first.noise_std
    assert float(noise.std()) == pytest.approx(1.0, abs=5 / (2 * noise.numel()) ** 0.5)
    more = observe(images, settings.model_copy(update={"eval_images": 5}), 0, CPU)
    assert torch.equal(more.noisy[:3], first.noisy)


@pytest.mark.acceptance("U8")
def test_divergence_is_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third batch overflows: the trial ends there, and tells the images seen up to and including it."""
    weights = iter([1.0, 1.0, math.inf])

    def overflowing(weighting: str, kind: str, alpha_bar: torch.Tensor) -> torch.Tensor:
        return torch.full_like(alpha_bar, next(weights))

    monkeypatch.setattr("ablate.core.diffusion.training.loss_weights", overflowing)
    outcome = compute(Desk(tmp_path), method="ddpm")
    assert outcome.kind is OutcomeKind.DIVERGED
    assert outcome.images_seen == 12
    assert outcome.error == "loss became inf after 12 images"


@pytest.mark.parametrize("method", ["dip", "ddpm"])
def test_a_wish_to_stop_is_followed_at_once(tmp_path: Path, method: str) -> None:
    with pytest.raises(StoppedError):
        compute(Desk(tmp_path, stop_requested=True), method=method)


class Oracle(torch.nn.Module):
    """Knows the clean images, and so predicts x_0 without error."""

    def __init__(self, clean: torch.Tensor) -> None:
        super().__init__()
        self.clean = clean

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.clean[: len(x)]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "exponential"])
@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_a_perfect_network_restores_perfectly(schedule: str, sampler: str) -> None:
    settings = DdpmDipSettings.model_validate(
        {**MINI, "noise_schedule": schedule, "sampler": sampler, "prediction": "x0"}
    )
    observed = observe(load("skimage-patches", cap_per_image=30, split="block"), settings, 0, CPU)
    denoiser = Denoiser(Oracle(observed.clean), schedule_of(settings), "x0", "fp32", CPU)
    for dip in (None, torch.zeros_like(observed.clean)):
        assert float(psnr(restore(denoiser, observed, settings, 0, dip), observed.clean).min()) > 100
    assert torch.equal(one_step(denoiser, observed, 25.0), observed.clean)


def test_schedules_start_at_equal_noise() -> None:
    """The DIP's output is re-noised to the same pixel noise under every schedule, not to the same t."""
    steps = {}
    for name in ("linear", "cosine", "polynomial"):
        schedule = schedule_of(DdpmDipSettings(noise_schedule=name))
        settings = DdpmDipSettings(noise_schedule=name, start_sigma=15)
        steps[name] = start_step(settings, schedule)
        assert schedule.pixel_sigmas[steps[name] - 1] == pytest.approx(15, rel=0.02)
    assert steps == {"linear": 33, "cosine": 68, "polynomial": 83}


def test_start_as_a_fraction_of_t() -> None:
    settings = DdpmDipSettings(start_fraction=0.2, start_sigma=15)
    schedule = schedule_of(settings)
    assert start_step(settings, schedule) == 200
    assert start_step(settings.model_copy(update={"start_fraction": 1.0}), schedule) == 1000
    assert start_step(settings.model_copy(update={"start_fraction": 1e-6}), schedule) == 1


@pytest.mark.parametrize(("schedule", "method", "done"), [("exponential", "ddpm", 3), ("linear", "dip+ddpm", 5)])
def test_evaluations_are_counted(tmp_path: Path, schedule: str, method: str, done: int) -> None:
    """No more than there are steps below the start: three for exponential at 25/255."""
    outcome = compute(Desk(tmp_path), noise_schedule=schedule, method=method, sample_steps=5)
    assert outcome.metrics["nfe"] == done
