"""What a plan says of evaluation before anything was run: all that the network is asked for, and no more."""

from __future__ import annotations

import pytest

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.recipe import Recipe, Scalar

UNIT = 0.002


def rest(*metrics: str, **settings: Scalar) -> float:
    whole = DdpmDip.Settings.model_validate({"train_images": 640, **settings}).model_dump()
    return DdpmDip.rest_s(Recipe("ddpm-dip", whole, 0), metrics)


def test_a_restoration_counts_every_reverse_process() -> None:
    """40 updates: points of the curve after 25, 35 and 40."""
    sampled = 5 * (32 + 3 * 8) + 20 * 8
    assert rest("psnr", batch_size=16) == pytest.approx(UNIT * sampled)
    assert rest(batch_size=16, channels=64, blocks=2) == pytest.approx(16 * rest(batch_size=16))


def test_steps_to_quality_count_only_where_the_study_asks_for_them() -> None:
    asked = rest("psnr", "steps_to_quality", quality=25.0) - rest("psnr", quality=25.0)
    assert asked == pytest.approx(UNIT * 32 * (5 + 10 + 20 + 50 + 100 + 200))
    assert rest("steps_to_quality") == rest()


def test_only_what_is_asked_for_is_counted() -> None:
    """Timing is seven batches of 16; validation is 64 images at the steps that its metrics name."""
    bare = rest("psnr")
    assert rest("psnr", "seconds_per_image") - bare == pytest.approx(UNIT * 5 * 7 * 16)
    assert rest("psnr", "val_loss") - bare == pytest.approx(UNIT * 64 * 10)
    assert rest("psnr", "val_loss_s25", "val_ratio_s25") - bare == pytest.approx(UNIT * 64)
    assert rest("psnr", "val_ratio_low", "val_loss_s15") - bare == pytest.approx(UNIT * 64 * 2)
    assert rest("psnr", "wiener_s25", "train_seconds") == bare


def test_generation_counts_its_samples() -> None:
    more = rest(task="generation", method="ddpm", samples=512) - rest(task="generation", method="ddpm", samples=256)
    assert more == pytest.approx(UNIT * 256 * 20)


def test_without_a_network_there_is_nothing() -> None:
    assert rest(method="dip") == 0.0
