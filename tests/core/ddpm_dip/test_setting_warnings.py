"""Settings that cannot work are said to be so before anything runs, and usual ones are not."""

from __future__ import annotations

from typing import Any

import pytest

from ablate.core.ddpm_dip.core import DdpmDip


def warnings(**settings: Any) -> list[str]:
    return DdpmDip.check(DdpmDip.Settings.model_validate({"train_images": 640, "method": "ddpm", **settings}))


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"warmup_steps": 40}, "warmup_steps 40"),
        ({"warmup_steps": 4000}, "(40 updates)"),
        ({"warmup_steps": 0, "ema_decay": 0.9999}, "its ramp ends at 0.82"),
        ({"warmup_steps": 0, "ema_decay": 0.9, "sample_steps": 300, "diffusion_steps": 250}, "250 are done"),
        ({"warmup_steps": 0, "ema_decay": 0.9, "task": "generation", "generation_steps": 1001}, "1000 are done"),
        ({"method": "dip", "dip_steps": 800}, "runs past the peak"),
        ({"data": "digits", "warmup_steps": 0, "ema_decay": 0.9}, "mirrors the digits"),
    ],
)
def test_what_cannot_work_is_said(settings: dict[str, Any], part: str) -> None:
    (found,) = [text for text in warnings(**settings) if part in text]
    assert found


@pytest.mark.parametrize(
    "settings",
    [
        {"warmup_steps": 39, "ema_decay": 0.97},
        {"warmup_steps": 0, "ema_decay": 0.0, "sample_steps": 1000},
        {"method": "dip", "dip_steps": 800, "dip_stop": "wmv"},
        {"method": "dip", "dip_steps": 399, "warmup_steps": 4000},
        {"data": "digits", "horizontal_flip": False, "warmup_steps": 0, "ema_decay": 0.9},
    ],
)
def test_what_works_is_passed_over(settings: dict[str, Any]) -> None:
    assert warnings(**settings) == []
