"""What nobody asked for is not computed, and leaving it out moves no number that somebody did ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.core.ddpm_dip.stages import denoiser as denoiser_stage
from ablate.core.ddpm_dip.tasks import generation, restoration
from ablate.core.diffusion.validation import Wiener
from ablate.errors import ResultsError
from ablate.outcome import Outcome
from tests.core.desk import EVERYTHING, Desk, compute, measure

RESTORING: dict[str, Any] = {"method": "dip+ddpm", "epochs": 5}
GENERATING: dict[str, Any] = {
    "task": "generation",
    "method": "ddpm",
    "samples": 20,
    "curve_images": 20,
    "timing_batch": 2,
}
TIMED = "second"


@pytest.fixture(scope="module", autouse=True)
def white_bound() -> Iterator[None]:
    """The linear bound is tested where it belongs."""
    white = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wiener, "fit", staticmethod(lambda images: white))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Trials that measure everything."""
    return {
        task: compute(Desk(tmp_path_factory.mktemp(task)), **settings)
        for task, settings in (("restoration", RESTORING), ("generation", GENERATING))
    }


def asked(root: Path, task: str, *names: str) -> dict[str, float]:
    settings = RESTORING if task == "restoration" else GENERATING
    return dict(compute(Desk(root, wanted=frozenset(names)), **settings).metrics)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("restoration", {"psnr"}),
        ("restoration", {"ssim", "val_loss"}),
        ("restoration", {"val_ratio_low"}),
        ("restoration", {"psnr_onestep", "gpd_input", "val_loss_s100", "wiener_s25"}),
        ("generation", {"gfd78"}),
        ("generation", {"gfd78_gaussian", "nn_copies"}),
        ("generation", {"carlini_copies_heldout", "recall", "val_loss_s25"}),
    ],
)
def test_what_is_asked_for_has_the_bits_it_has_beside_everything_else(
    whole: dict[str, Outcome], tmp_path: Path, task: str, names: set[str]
) -> None:
    found, everything = asked(tmp_path, task, *names), whole[task].metrics
    assert names <= found.keys()
    same = {name for name in found if TIMED not in name}
    assert {name: found[name] for name in same} == {name: everything[name] for name in same}


def test_measuring_more_later_gives_what_measuring_it_at_once_gives(whole: dict[str, Outcome], tmp_path: Path) -> None:
    """Over one cache: what is kept level by level grows, and nothing in it moves."""
    asked(tmp_path, "restoration", "val_loss_s25")
    found = asked(tmp_path, "restoration", *EVERYTHING)
    for name in (name for name in found if TIMED not in name):
        assert found[name] == whole["restoration"].metrics[name], name


def test_nothing_is_computed_that_was_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the linear bound, nor validation losses, nor the timing, nor scores of their own cost."""

    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("computed, and nobody asked for it")

    for place, name in (
        (denoiser_stage, "wiener_of"),
        (denoiser_stage, "level_errors"),
        (restoration, "batch_seconds"),
        (restoration, "gpd"),
        (restoration, "one_step"),
        (generation, "batch_seconds"),
        (generation, "usual_nearness"),
    ):
        monkeypatch.setattr(place, name, forbidden)
    found = asked(tmp_path, "restoration", "psnr", "train_seconds")
    assert {"psnr", "psnr_input", "psnr_start", "nfe", "train_seconds"} <= found.keys()
    assert {"ssim", "val_loss", "wiener_s25", "seconds_per_image"}.isdisjoint(found)
    assert asked(tmp_path, "generation", "gfd78").keys().isdisjoint({"gfd78_real", "kid_gabor", "nn_copies"})


def test_the_linear_bound_is_fitted_for_a_ratio_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    white = Wiener(torch.zeros(3072), torch.ones(3072), torch.eye(3072))

    def fit(images: torch.Tensor) -> Wiener:
        fitted.append(len(images))
        return white

    monkeypatch.setattr(Wiener, "fit", staticmethod(fit))
    assert "val_loss_s25" in asked(tmp_path, "restoration", "val_loss", "val_loss_s25")
    assert fitted == []
    assert "val_ratio_s25" in asked(tmp_path, "restoration", "val_ratio_s25")
    assert len(fitted) == 1


@pytest.mark.parametrize("task", ["restoration", "generation"])
def test_a_trial_is_measured_later_from_what_it_left(
    whole: dict[str, Outcome], tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit what measuring at once would have given, and no update is done."""
    settings = RESTORING if task == "restoration" else GENERATING
    compute(Desk(tmp_path, wanted=frozenset({"psnr"})), **settings)
    monkeypatch.setattr("ablate.core.diffusion.training.Trainer.update", lambda _: pytest.fail("trained"))
    later = measure(Desk(tmp_path), **settings).metrics
    assert later.keys() <= whole[task].metrics.keys()
    assert {"val_loss", "val_ratio_low", "ssim" if task == "restoration" else "nn_copies"} <= later.keys()
    for name in (name for name in later if TIMED not in name):
        assert later[name] == whole[task].metrics[name], name


def test_without_its_checkpoints_nothing_can_be_measured_later(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="stage dip of this trial"):
        measure(Desk(tmp_path), **RESTORING)
    compute(Desk(tmp_path, wanted=frozenset({"psnr"})), **GENERATING)
    with pytest.raises(ResultsError, match="stage denoiser"):
        measure(Desk(tmp_path), **{**GENERATING, "epochs": 9})
