"""Re-noise and reverse for Gaussian images: the closed form is what the samplers do, and its table is reproduced."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.core.diffusion.forward_process import add_noise
from ablate.core.diffusion.samplers import Reverse, reverse
from ablate.core.schedules import make_schedule

Record = Callable[[str, object], None]
"""pytest's `record_property`: (what, (expected, measured)) becomes a row of docs/evidence/acceptance.md."""
LINEAR = make_schedule("linear", 1000)


@pytest.fixture(scope="module")
def closed_form() -> Any:
    """The script that prints the table, as a module."""
    path = Path(__file__).parents[3] / "benchmarks" / "linear_gaussian.py"
    spec = importlib.util.spec_from_file_location("linear_gaussian", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.acceptance("G7")
@pytest.mark.parametrize("start", ["mmse", "observation", "truth"])
def test_closed_form_is_what_ddim_does(closed_form: Any, start: str, record_property: Record) -> None:
    """1,000 draws of 48 independent modes through the sampler with the exact denoiser: same PSNR within 0.1 dB."""
    values = torch.logspace(-3, 0.5, 48, dtype=torch.float64)
    source = torch.Generator().manual_seed(0)

    def draw() -> Tensor:
        return torch.randn(1000, 48, generator=source, dtype=torch.float64)

    clean = values.sqrt() * draw()
    observed = clean + closed_form.STD * draw()
    estimate = {"mmse": values / (values + closed_form.STD**2) * observed, "observation": observed, "truth": clean}

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        a = float(LINEAR.alpha_bars[int(t[0]) - 1])
        x0: Tensor = a**0.5 * values / (a * values + 1 - a) * x
        return x0

    t0 = LINEAR.step_at(closed_form.SIGMA)
    out = reverse(
        denoise,
        add_noise(estimate[start], draw(), torch.tensor([LINEAR.alpha_bars[t0 - 1]])),
        start=t0,
        schedule=LINEAR,
        prediction="x0",
        settings=Reverse("ddim", t0, clip=False),
        noise=lambda t: torch.zeros(()),
    )
    found = float(10 * torch.log10(4 / (out - clean).square().mean()))
    expected = closed_form.after_renoising(values.numpy(), LINEAR, t0, start, closed_form.gain_ddim)
    assert found == pytest.approx(expected, abs=0.1)
    record_property("sampler against closed form, t0 = 57, dB: MMSE, y, truth", (f"{expected:.2f}", f"{found:.2f}"))


@pytest.mark.acceptance("G7")
def test_renoising_never_helps_a_good_start(closed_form: Any) -> None:
    """PSNR falls with every further step from the truth and from the MMSE estimate, whatever the spectrum."""
    values = np.logspace(-4, 2, 60)
    for start in ("truth", "mmse"):
        found = [
            closed_form.after_renoising(values, LINEAR, t, start, closed_form.gain_continuous)
            for t in range(1, 1001, 37)
        ]
        assert found == sorted(found, reverse=True)


@pytest.mark.acceptance("G7")
@pytest.mark.slow
def test_table_of_the_embedded_photographs(closed_form: Any, record_property: Record) -> None:
    """The cells of the page, from the covariance of the 19,148 training patches."""
    found = closed_form.measure(closed_form.spectrum())
    one_step, discrete = found["one_step"], found["discrete"]
    assert one_step == pytest.approx(28.92, abs=0.05)
    assert found["posterior_sample"] == pytest.approx(one_step - 10 * np.log10(2), abs=1e-9)
    expected = {"mmse": 25.84, "observation": 25.53, "truth": 28.10, "matched": 28.08}
    assert discrete == pytest.approx(expected, abs=0.05)
    assert [row[2] for row in found["continuous"].values()] == pytest.approx([25.79, 25.43, 28.03], abs=0.05)
    # What another set of patches of the same photographs gave, relative to its own one-step value of 29.03 dB.
    reference = {"mmse": -3.07, "observation": -3.37, "truth": -0.79, "matched": -0.81}
    assert {start: value - one_step for start, value in discrete.items()} == pytest.approx(reference, abs=0.05)
    measured = " ".join(f"{value:.2f}" for value in (*discrete.values(), one_step))
    record_property(
        "DDIM from MMSE, y, truth, matched; one-step, dB", ("25.84 25.53 28.10 28.08 28.92 ± 0.05", measured)
    )
