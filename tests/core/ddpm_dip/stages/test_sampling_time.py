"""Time of the reverse process: warm-ups outside the clock, the median inside, the device waited for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablate.core.ddpm_dip.stages.sampling_time import TIMED, WARM_UPS, WARM_UPS_GPU, batch_seconds
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.schedules import make_schedule
from ablate.core.settings import DdpmDipSettings
from ablate.recipe import Recipe
from tests.core.desk import Desk


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Recipe("ddpm-dip", DdpmDipSettings(precision="bf16").resolved(), 0), Desk(tmp_path), "1", (15,))


def denoiser() -> Denoiser:
    return Denoiser(torch.nn.Identity(), make_schedule("linear", 100), "x0", "fp32", torch.device("cpu"))


def test_the_median_of_the_batches_after_the_warm_ups(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only work moves: one slow batch among five changes nothing, nor does a slow beginning."""
    took = iter([50.0, 9.0, 2.0, 2.0, 70.0, 1.0, 3.0])
    now = [0.0]

    def work() -> None:
        now[0] += next(took)

    monkeypatch.setattr("ablate.core.ddpm_dip.stages.sampling_time.time.perf_counter", lambda: now[0])
    assert batch_seconds(run, denoiser(), work, 4) == 2.0
    assert next(took, None) is None
    assert WARM_UPS + TIMED == 7


def test_the_device_is_waited_for_around_every_batch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.device = torch.device("cuda")
    said: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append("wait"))
    monkeypatch.setattr("ablate.core.ddpm_dip.stages.sampling_time.device_name", lambda device: "a card")
    batch_seconds(run, denoiser(), lambda: said.append("work"), 4)
    assert said == ["work"] * WARM_UPS_GPU + ["wait", "work", "wait"] * TIMED
    assert run.environment == {
        "timing": f"median of 5 batches after {WARM_UPS_GPU} warm-ups",
        "timing_batch": "4",
        "timing_dtype": "bf16",
        "timing_device": "a card",
        "timing_program": "eager",
    }
