"""Schedules and samplers against diffusers' schedulers, on every spacing and with zero terminal SNR.

Needs the extra `references`. What differs by convention is measured here too, and stands in the table "Same name, other
number" of docs/explanation/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.core.diffusion.forward_process import Prediction, add_noise, target_of
from ablate.core.diffusion.samplers import Grid, Reverse, grid_of, reverse
from ablate.core.diffusion.unet import UNet
from ablate.core.schedules import Schedule, make_schedule

diffusers = pytest.importorskip("diffusers", reason="needs ablate[references]")

T = 1000
SHAPE = (16, 3, 4, 4)
NAMES = {"linear": "linear", "quad": "scaled_linear", "cosine": "squaredcos_cap_v2", "sigmoid-beta": "sigmoid"}
"""ablate's name -> diffusers' name."""


def gaussian_network(prediction: Prediction, schedule: Schedule) -> Callable[[Tensor, int], Tensor]:
    """What a perfect network predicts for data N(0.1, 0.9) per pixel: estimates of x_0 often leave [-1, 1]."""
    mean, variance = 0.1, 0.9

    def predict(xt: Tensor, t: int) -> Tensor:
        a = torch.tensor([float(schedule.alpha_bars[t - 1])], dtype=torch.float64)
        x0 = mean + a.sqrt() * variance / (a * variance + 1 - a) * (xt - a.sqrt() * mean)
        noise = (xt - a.sqrt() * x0) / (1 - a).sqrt()
        assert torch.allclose(add_noise(x0, noise, a.expand(len(x0))), xt)
        return target_of(prediction, x0, noise, a.expand(len(x0)))

    return predict


def start() -> Tensor:
    return torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def theirs(scheduler: Any, steps: int, predict: Callable[[Tensor, int], Tensor], **options: Any) -> Tensor:
    """Their sample, from float64 images; noise comes from generator 1 in the order of the steps."""
    scheduler.set_timesteps(steps)
    x, draw = start(), torch.Generator().manual_seed(1)
    for t in scheduler.timesteps:
        x = scheduler.step(predict(x, int(t) + 1), t, x, generator=draw, **options).prev_sample
    return x


def ours(
    settings: Reverse,
    schedule: Schedule,
    predict: Callable[[Tensor, int], Tensor],
    *,
    prediction: Prediction = "epsilon",
    grid: list[int] | None = None,
) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return reverse(
        lambda x, t: predict(x, int(t[0])),
        start(),
        start=schedule.steps,
        schedule=schedule,
        prediction=prediction,
        settings=settings,
        noise=lambda t: torch.randn(SHAPE, dtype=torch.float64, generator=draw),
        grid=grid,
    )


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_schedules_are_theirs_to_float32(name: str) -> None:
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=T, beta_schedule=NAMES[name])
    schedule = make_schedule(name, T)
    np.testing.assert_allclose(scheduler.betas.numpy(), schedule.betas, rtol=1e-6)
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), schedule.alpha_bars, rtol=2e-5)


def test_the_exponential_schedule_is_their_exp_transform() -> None:
    theirs = diffusers.schedulers.scheduling_ddpm.betas_for_alpha_bar(T, alpha_transform_type="exp")
    np.testing.assert_allclose(theirs.numpy(), make_schedule("exponential", T).betas, rtol=1e-6)


@pytest.mark.parametrize("name", ["linear", "quad", "cosine"])
@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler"])
def test_zero_terminal_snr_is_theirs(kind: str, name: str) -> None:
    scheduler = getattr(diffusers, kind)(beta_schedule=NAMES[name], rescale_betas_zero_snr=True)
    schedule = make_schedule(name, T, zero_terminal_snr=True)
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), schedule.alpha_bars, atol=1e-6)
    assert scheduler.alphas_cumprod[-1] == schedule.alpha_bars[-1] == 0


def test_one_name_means_two_schedules() -> None:
    """Their `sigmoid` is ablate's sigmoid-beta; their linear one for T = 200 ends far from noise, ablate's does not."""
    theirs = diffusers.DDPMScheduler(beta_schedule="sigmoid").alphas_cumprod
    assert float(theirs[499]) == pytest.approx(0.302, abs=5e-4)
    assert make_schedule("sigmoid", T).alpha_bars[499] == pytest.approx(0.5)
    short = diffusers.DDPMScheduler(num_train_timesteps=200).alphas_cumprod
    assert float(short[-1]) == pytest.approx(0.132, abs=5e-4)
    assert make_schedule("linear", 200).alpha_bars[-1] == pytest.approx(3.03e-5, rel=0.01)


@pytest.mark.parametrize("grid", ["linspace", "trailing"])
@pytest.mark.parametrize("steps", [2, 7, 10, 30, 50, 999, 1000])
def test_grids_are_their_spacings(grid: Grid, steps: int) -> None:
    scheduler = diffusers.DDPMScheduler(timestep_spacing=grid)
    scheduler.set_timesteps(steps)
    found = grid_of(Reverse(steps=steps, grid=grid), T, make_schedule("linear", T))
    assert [t - 1 for t in found] == scheduler.timesteps.tolist()


WALKED = make_schedule("linear", 100)
"""The schedule of the walks below, handed to diffusers as its own betas."""


def scheduler_of(kind: str, schedule: Schedule = WALKED, **options: Any) -> Any:
    return getattr(diffusers, kind)(schedule.steps, trained_betas=schedule.betas.astype(np.float32), **options)


@pytest.mark.parametrize(
    ("spacing", "variance"),
    [("linspace", "large"), ("leading", "large"), ("linspace", "small"), ("leading", "small"), ("trailing", "small")],
)
@pytest.mark.parametrize("steps", [10, 30, 100])
def test_ancestral_steps_are_their_ddpm_steps(spacing: str, variance: Literal["large", "small"], steps: int) -> None:
    """With their noise, on their grid (`leading` does not begin at T, and is no grid of ablate's)."""
    scheduler = scheduler_of("DDPMScheduler", timestep_spacing=spacing, variance_type=f"fixed_{variance}")
    predict = gaussian_network("epsilon", WALKED)
    expected = theirs(scheduler, steps, predict)
    grid = [int(t) + 1 for t in scheduler.timesteps]
    assert apart(ours(Reverse("ancestral", steps, variance=variance), WALKED, predict, grid=grid), expected) < 5e-5


def test_their_trailing_ddpm_ends_with_noise_in_the_image() -> None:
    """With the large variance they add noise wherever t > 0, and the last trailing step stands above 0."""
    scheduler = scheduler_of("DDPMScheduler", timestep_spacing="trailing", variance_type="fixed_large")
    predict = gaussian_network("epsilon", WALKED)
    noisy = theirs(scheduler, 10, predict)
    clean = ours(Reverse("ancestral", 10, grid="trailing"), WALKED, predict)
    left = float((noisy - clean).std())
    assert left == pytest.approx((1 - WALKED.alpha_bars[9]) ** 0.5, rel=0.1)
    assert float(noisy.abs().max()) > 1.2 > 1.0 >= float(clean.abs().max())


@pytest.mark.parametrize(
    ("spacing", "steps"), [("leading", 10), ("leading", 30), ("trailing", 10), ("trailing", 50), ("linspace", 100)]
)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_ddim_steps_are_theirs(spacing: str, steps: int, eta: float, prediction: Prediction) -> None:
    """Where their grid has equal strides, and their noise is recomputed from the clipped estimate."""
    kind = {"epsilon": "epsilon", "x0": "sample", "v": "v_prediction"}[prediction]
    scheduler = scheduler_of("DDIMScheduler", timestep_spacing=spacing, prediction_type=kind)
    predict = gaussian_network(prediction, WALKED)
    expected = theirs(scheduler, steps, predict, eta=eta, use_clipped_model_output=True)
    grid = [int(t) + 1 for t in scheduler.timesteps]
    found = ours(Reverse("ddim", steps, eta), WALKED, predict, prediction=prediction, grid=grid)
    assert apart(found, expected) < 5e-5


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_ddim_from_pure_noise_is_theirs(prediction: Prediction) -> None:
    """Zero terminal SNR, trailing steps: the recipe of Lin et al. 2023."""
    schedule = make_schedule("linear", 100, zero_terminal_snr=True)
    kind = {"x0": "sample", "v": "v_prediction"}[prediction]
    options: dict[str, Any] = {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": kind}
    scheduler = scheduler_of("DDIMScheduler", **options)
    predict = gaussian_network(prediction, schedule)
    expected = theirs(scheduler, 50, predict, use_clipped_model_output=True)
    found = ours(Reverse("ddim", 50, grid="trailing"), schedule, predict, prediction=prediction)
    assert apart(found, expected) < 5e-5


@pytest.mark.parametrize(("spacing", "steps"), [("linspace", 10), ("linspace", 50), ("trailing", 30)])
def test_their_ddim_leaves_its_grid_unless_strides_are_equal(spacing: Grid, steps: int) -> None:
    """It moves by T // steps each time, whatever the next step of the grid is; ablate moves to that step."""
    scheduler = scheduler_of("DDIMScheduler", timestep_spacing=spacing, clip_sample=False)
    predict = gaussian_network("epsilon", WALKED)
    expected = theirs(scheduler, steps, predict)
    settings = Reverse("ddim", steps, grid=spacing, clip=False)
    assert [t - 1 for t in grid_of(settings, 100, WALKED)] == scheduler.timesteps.tolist()
    assert apart(ours(settings, WALKED, predict), expected) > 0.003


def test_their_ddim_keeps_the_noise_of_the_unclipped_estimate() -> None:
    """`use_clipped_model_output` is off by default there; ablate always recomputes the noise.

    A perfect network hides it, because its estimates leave the range only by a little; this one is half blind.
    """

    def predict(x: Tensor, t: int) -> Tensor:
        return 0.5 * x

    scheduler = scheduler_of("DDIMScheduler", timestep_spacing="trailing")
    found = ours(Reverse("ddim", 50, grid="trailing"), WALKED, predict)
    assert apart(theirs(scheduler, 50, predict), found) > 0.1
    assert apart(theirs(scheduler, 50, predict, use_clipped_model_output=True), found) < 5e-5


def matched_networks() -> tuple[UNet, Any]:
    """The default U-Net, drawn afresh in float64, and diffusers' UNet2DModel with the same weights."""
    mine = UNet(channels=16, mults=(1, 2), blocks=1, middle_attention=False).double()
    theirs = diffusers.UNet2DModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        add_attention=False,
        norm_num_groups=8,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    ).double()
    draw = torch.Generator().manual_seed(0)
    for weight in mine.parameters():
        weight.data = 0.1 * torch.randn(weight.shape, generator=draw, dtype=torch.float64)
    for ours, other in SECTIONS.items():
        sources, targets = in_order(mine, ours), in_order(theirs, other)
        for source, target in zip(sources, targets, strict=True):
            target.data.copy_(source.data)
    return mine, theirs


SECTIONS = {
    "time": "time_embedding",
    "entry": "conv_in",
    "down": "down_blocks",
    "middle": "mid_block",
    "up": "up_blocks",
    "norm": "conv_norm_out",
    "exit": "conv_out",
}
"""Parts of ablate's U-Net -> those of UNet2DModel, with their layers in one order."""


def in_order(network: torch.nn.Module, part: str) -> list[torch.nn.Parameter]:
    return [weight for name, weight in network.named_parameters() if name.startswith(part)]


def test_the_unet_is_theirs_with_other_names() -> None:
    """Same weights, same outputs and gradients, told the same step (they count from 0, ablate from 1)."""
    mine, theirs = matched_networks()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t = torch.tensor([1, 10, 500, 1000])
    found, expected = mine(x, t), theirs(x, t).sample
    assert apart(found.detach(), expected.detach()) < 1e-5  # steps are embedded in float32 by both
    found.square().sum().backward()
    expected.square().sum().backward()
    for ours, other in SECTIONS.items():
        for one, two in zip(in_order(mine, ours), in_order(theirs, other), strict=True):
            assert one.grad is not None
            assert two.grad is not None
            assert apart(one.grad, two.grad) < 1e-5 * max(1.0, float(one.grad.abs().max()))
