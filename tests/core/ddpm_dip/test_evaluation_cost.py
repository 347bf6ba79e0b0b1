"""What a plan says of evaluation before anything was run: all that the network is asked for, and no more."""

from __future__ import annotations

import pytest

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.recipe import Recipe, Scalar

UNIT = 0.002
VALIDATION = 64 * 17


def rest(*metrics: str, **settings: Scalar) -> float:
    whole = DdpmDip.Settings.model_validate({"train_images": 640, **settings}).model_dump()
    return DdpmDip.rest_s(Recipe("ddpm-dip", whole, 0), metrics)


def test_a_restoration_counts_every_reverse_process() -> None:
    """40 updates: points of the curve after 25, 35 and 40."""
    sampled = 5 * (32 + 3 * 8 + 7 * 16) + 20 * 8
    assert rest("psnr", batch_size=16) == pytest.approx(UNIT * (sampled + VALIDATION))
    assert rest(batch_size=16, channels=64, blocks=2) == pytest.approx(16 * rest(batch_size=16))


def test_steps_to_quality_count_only_where_the_study_asks_for_them() -> None:
    asked = rest("psnr", "steps_to_quality", quality=25.0) - rest("psnr", quality=25.0)
    assert asked == pytest.approx(UNIT * 32 * (5 + 10 + 20 + 50 + 100 + 200))
    assert rest("steps_to_quality") == rest()


def test_generation_counts_its_samples() -> None:
    more = rest(task="generation", method="ddpm", samples=512) - rest(task="generation", method="ddpm", samples=256)
    assert more == pytest.approx(UNIT * 256 * 20)


def test_without_a_network_there_is_nothing() -> None:
    assert rest(method="dip") == 0.0
