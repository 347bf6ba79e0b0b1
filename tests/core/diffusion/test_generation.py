"""The task generation in miniature: what is measured, what is common to all arms, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.ddpm_dip.metric_list import COST, EVALUATION, GENERATION, TRAINING
from ablate.core.diffusion.generation import generate, images_at_once, start_noise
from ablate.core.diffusion.samplers import Noise
from ablate.core.diffusion.validation import Wiener
from ablate.core.settings import DdpmDipSettings
from ablate.errors import AblateError, StoppedError
from ablate.outcome import Outcome, OutcomeKind
from tests.core.desk import CPU, EVERYTHING, Desk, compute
from tests.sentences import SENTENCES

FEW: dict[str, Any] = {
    "task": "generation",
    "method": "ddpm",
    "samples": 20,
    "curve_images": 20,
    "timing_batch": 2,
    "epochs": 9,
}
SHAPE = (3, 32, 32)
MANY: dict[str, Any] = {"eval_seeds": 2, "quality": 1e9, "quality_steps": "2-3-50"}
"""What the shared trial has beyond that."""


@pytest.fixture(scope="module", autouse=True)
def white_bound() -> Iterator[None]:
    """The linear bound is tested where it belongs."""
    white = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wiener, "fit", staticmethod(lambda images: white))
        yield


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Outcome]:
    desk = Desk(tmp_path_factory.mktemp("generation"), wanted=EVERYTHING | {"steps_to_quality"})
    return desk, compute(desk, **FEW, **MANY)


Record = Callable[[str, object], None]


def numbers(outcome: Outcome) -> dict[str, float]:
    """Everything that is not a time."""
    return {name: value for name, value in outcome.metrics.items() if "second" not in name}


@pytest.mark.acceptance("M7")
def test_everything_declared_is_measured(trial: tuple[Desk, Outcome]) -> None:
    desk, outcome = trial
    assert outcome.kind is OutcomeKind.MEASURED
    declared = {info.name for info in (*GENERATION, *EVALUATION, *TRAINING, *COST)}
    # Of images in one channel, and of images with labels.
    declared -= {name for name in declared if "gfd26" in name or name.startswith("class")}
    others = {"dip_seconds", "dip_stopped_at", "dip_train_seconds", "warm_seconds", "blur_sigma_matched"}
    assert declared - set(outcome.metrics) == others
    assert outcome.metrics["nfe"] == 3
    assert outcome.reused == {}
    assert outcome.environment["gfd78"].endswith("N = 20 generated and 20 training images")
    assert outcome.environment["timing_batch"] == "2"
    assert [images for images, _ in desk.points] == [100, 140, 200, 216]


def test_a_quality_that_everything_has_is_reached_at_once(trial: tuple[Desk, Outcome]) -> None:
    """The least steps, images and seconds tried; steps beyond T of the network's own count are what was done."""
    metrics = trial[1].metrics
    assert metrics["steps_to_quality"] == 2
    assert metrics["steps_to_quality_limit"] == 50
    assert metrics["images_to_quality"] == 100
    assert metrics["images_to_quality_reached"] == metrics["seconds_to_quality_reached"] == 1
    assert any("the first value tried has the quality" in note for note in trial[1].notes)


def test_a_quality_that_is_never_reached_is_censored(trial: tuple[Desk, Outcome]) -> None:
    """Left out of the metrics, with how far was looked beside it: what a survival analysis needs."""
    outcome = compute(Desk(trial[0].root, wanted=trial[0].wanted), **FEW, quality=1e-9, quality_steps="2-3")
    assert "images_to_quality" not in outcome.metrics
    assert outcome.metrics["images_to_quality_reached"] == 0
    assert outcome.metrics["images_to_quality_limit"] == 216
    assert outcome.metrics["steps_to_quality_limit"] == 3
    assert SENTENCES["quality never reached censored"] in outcome.notes


@pytest.mark.acceptance("M8")
def test_twenty_evaluations_have_a_spread(trial: tuple[Desk, Outcome], record_property: Record) -> None:
    outcome = compute(Desk(trial[0].root), **FEW, eval_seeds=20, generation_steps=1)
    record_property("eval_sd of gfd78 over 20 evaluations", ("above 0", outcome.metrics["eval_sd"]))
    assert 0 < outcome.metrics["eval_sd"] < outcome.metrics["gfd78"]


def test_the_whole_trial_is_reproducible(trial: tuple[Desk, Outcome], tmp_path: Path) -> None:
    """From nothing, with one evaluation: the known sets, the training and the first evaluation's noise are the same."""
    anew, first = numbers(compute(Desk(tmp_path), **FEW)), numbers(trial[1])
    known = {name for name in first if name.endswith(("_real", "_gaussian", "_heldout"))} | {"val_loss", "aulc_gfd78"}
    assert {name: anew[name] for name in known} == {name: first[name] for name in known}
    assert "eval_sd" not in anew
    assert anew["gfd78"] != first["gfd78"]


@pytest.mark.acceptance("M8")
def test_the_same_checkpoint_gives_the_same_row(trial: tuple[Desk, Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluated anew, with the points of the learning curve that were scored before."""
    monkeypatch.setattr(
        "ablate.core.ddpm_dip.tasks.generation.Generation.curve", lambda *_: pytest.fail("scored again")
    )
    desk = Desk(trial[0].root, wanted=trial[0].wanted)
    outcome = compute(desk, **FEW, **MANY)
    assert numbers(outcome) == numbers(trial[1])
    assert desk.points == trial[0].points


def test_pictures(trial: tuple[Desk, Outcome]) -> None:
    folder = next((trial[0].root / "trials").glob(trial[1].recipe_digest))
    with Image.open(folder / "samples.png") as picture:
        assert picture.format == "PNG"
    with np.load(folder / "restored.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == {"generated": (8, 3, 32, 32)}


def test_noise_is_common_to_arms_and_a_longer_set_begins_with_a_shorter_one() -> None:
    """Image i starts from the same noise whatever its batch; seeds and evaluations have their own."""
    few, many = start_noise(3, SHAPE, 1, CPU), start_noise(9, SHAPE, 1, CPU)
    assert torch.equal(few, many[:3])
    assert torch.equal(start_noise(2, SHAPE, 1, CPU, first=5), many[5:7])
    assert not torch.equal(few, start_noise(3, SHAPE, 2, CPU))
    assert not torch.equal(few, start_noise(3, SHAPE, 1, CPU, evaluation=1))


def test_batches_cover_the_set_once() -> None:
    size = images_at_once(CPU)
    seen = []

    def make(start: torch.Tensor, noise: Noise) -> torch.Tensor:
        seen.append(noise(7)[0, 0, 0, 0].item())
        return start

    parts = list(generate(make, size + 3, SHAPE, 0, CPU))
    assert [len(part) for part in parts] == [size, 3]
    assert torch.equal(torch.cat(parts), start_noise(size + 3, SHAPE, 0, CPU))
    assert seen[0] != seen[1]


def test_a_wish_to_stop_is_followed_between_batches(trial: tuple[Desk, Outcome]) -> None:
    with pytest.raises(StoppedError, match="stopped while sampling"):
        compute(Desk(trial[0].root, stop_requested=True), **FEW, sampler="ancestral")


@pytest.mark.parametrize(
    ("settings", "names", "words"),
    [
        ({"task": "generation", "method": "ddpm"}, ["psnr"], "psnr belongs to task restoration"),
        ({}, ["coverage"], "coverage belongs to task generation"),
        ({}, ["steps_to_quality"], "needs a declared quality"),
        (
            {"quality": 30.0},
            ["images_to_quality"],
            "whose points have 8 images; the declared quality means eval_images: 32",
        ),
    ],
)
def test_a_metric_that_cannot_be_measured_is_refused(settings: dict[str, Any], names: list[str], words: str) -> None:
    with pytest.raises(AblateError, match=words):
        DdpmDip.require_metrics(DdpmDipSettings.model_validate(settings), names)


def test_a_metric_that_can_be_measured_is_not() -> None:
    settings = DdpmDipSettings(quality=30.0, curve_images=32)
    DdpmDip.require_metrics(settings, ["psnr", "val_loss", "images_to_quality", "steps_to_quality_reached"])


def test_more_samples_than_there_are_images_are_refused() -> None:
    settings = DdpmDipSettings(task="generation", method="ddpm", samples=300, cap_per_image=60)
    with pytest.raises(AblateError, match="skimage-patches has enough for 175") as caught:
        DdpmDip.require(settings)
    assert caught.value.hint == "set samples to 175 or less"
    DdpmDip.require(settings.model_copy(update={"samples": 175}))
