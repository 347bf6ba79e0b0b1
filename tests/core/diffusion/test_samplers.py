"""Reverse processes with exact denoisers, whose results are known numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ablate.core.diffusion.corruption import Whole, consistent_with
from ablate.core.diffusion.forward_process import Prediction, add_noise, target_of, x0_from
from ablate.core.diffusion.samplers import (
    Denoiser,
    Grid,
    Reverse,
    Sampler,
    grid_of,
    reverse,
    time_grid,
)
from ablate.core.schedules import Schedule, make_schedule

SHAPE = (4096, 3, 8, 8)
DIMS = 3 * 8 * 8
Record = Callable[[str, object], None]
"""pytest's `record_property`: (what, (expected, measured)) becomes a row of docs/evidence/acceptance.md."""


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh_noise(shape: tuple[int, ...], seed: int) -> Callable[[int], Tensor]:
    return lambda t: torch.randn(shape, generator=generator(1000 * seed + t))


def gaussian(mean: float, variance: float, schedule: Schedule) -> Denoiser:
    """The exact noise prediction for data N(mean, variance): E[eps | x_t]."""

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        a = float(schedule.alpha_bars[int(t[0]) - 1])
        estimate: Tensor = (1 - a) ** 0.5 * (xt - a**0.5 * mean) / (a * variance + 1 - a)
        return estimate

    return denoise


def exact_moments(mean: float, variance: float, schedule: Schedule, settings: Reverse) -> tuple[float, float]:
    """Mean and variance the sampler must give: every step is an affine map of a Gaussian plus Gaussian noise."""
    grid = time_grid(schedule.steps, settings.steps)
    found_mean, found_variance = 0.0, 1.0
    for t, following in zip(grid, [*grid[1:], 0], strict=True):
        a = float(schedule.alpha_bars[t - 1])
        p = float(schedule.alpha_bars[following - 1]) if following else 1.0
        gain = a**0.5 * variance / (a * variance + 1 - a)  # x_0 estimate = mean + gain (x_t - sqrt(a) mean)
        offset = mean * (1 - gain * a**0.5)
        beta = 1 - a / p
        small = beta * (1 - p) / (1 - a)
        if settings.sampler == "ancestral":
            on_x0, on_xt = beta * p**0.5 / (1 - a), (1 - p) * (a / p) ** 0.5 / (1 - a)
            noise = 0.0 if not following else beta if settings.variance == "large" else small
        else:
            noise = settings.eta**2 * small
            direction = (1 - p - noise) ** 0.5 / (1 - a) ** 0.5
            on_x0, on_xt = p**0.5 - direction * a**0.5, direction
        slope = on_x0 * gain + on_xt
        found_mean = on_x0 * offset + slope * found_mean
        found_variance = slope**2 * found_variance + noise
    return found_mean, found_variance


def run(settings: Reverse, schedule: Schedule, mean: float, variance: float, *, count: int = 4096) -> Tensor:
    shape = (count, *SHAPE[1:])
    return reverse(
        gaussian(mean, variance, schedule),
        torch.randn(shape, generator=generator(1)),
        start=schedule.steps,
        schedule=schedule,
        prediction="epsilon",
        settings=settings,
        noise=fresh_noise(shape, 2),
    )


# Variance of the samples for exact denoisers: discretisation makes it differ from the target's by a known amount.
SAMPLERS = (
    Reverse("ancestral", 1000, variance="large", clip=False),
    Reverse("ancestral", 1000, variance="small", clip=False),
    Reverse("ddim", 1000, clip=False),
    Reverse("ddim", 50, clip=False),
    Reverse("ddim", 10, clip=False),
    Reverse("ancestral", 50, variance="small", clip=False),
    Reverse("ancestral", 50, variance="large", clip=False),
)
VARIANCES = {
    ("linear", 0.1, 0.25): (0.25075, 0.24613, 0.24850, 0.22270, 0.13076, 0.19642, 0.26788),
    ("cosine", 0.1, 0.25): (0.25042, 0.24800, 0.24919, 0.23478, 0.17729, 0.21828, 0.25952),
    ("linear", 0.3, 0.01): (0.01015, 0.00928, 0.00967, 0.00611, 0.00118, 0.00464, 0.01655),
    ("polynomial", 0.1, 0.25): (0.25042, 0.24822, 0.24928, 0.23584, 0.18165, 0.22055, 0.25901),
}
REFERENCE = [
    (*law, settings, value)
    for law, values in VARIANCES.items()
    for settings, value in zip(SAMPLERS, values, strict=True)
]
MEANS = {
    "linear": (0.1, 0.1, 0.09968, 0.09970, 0.09977, 0.1, 0.1),
    "cosine": (0.1,) * 7,
    "polynomial": (0.1, 0.1, 0.09984, 0.09985, 0.09987, 0.1, 0.1),
}
"""DDIM falls short of the mean by what alpha-bar_T leaves of the signal; ancestral steps forget the start."""
WASSERSTEIN = (5.7e-7, 1.5e-5, 2.4e-6, 7.9e-4, 1.9e-2, 3.2e-3, 3.1e-4)
"""Squared 2-Wasserstein distance per pixel of the samples' law to N(0.1, 0.25), linear schedule."""


def label(settings: Reverse) -> str:
    kind = settings.variance if settings.sampler == "ancestral" else f"eta {settings.eta:g}"
    return f"{settings.sampler} {kind}, {settings.steps} steps"


@pytest.mark.acceptance("G1")
@pytest.mark.parametrize("law", VARIANCES, ids=str)
def test_recursion_has_the_reference_values(law: tuple[str, float, float], record_property: Record) -> None:
    """All printed digits of the reference table."""
    name, mean, variance = law
    found = [exact_moments(mean, variance, make_schedule(name, 1000), settings) for settings in SAMPLERS]
    assert [moments[1] for moments in found] == pytest.approx(VARIANCES[law], abs=6e-6)
    digits = [f"{moments[1]:.5f}" for moments in found]
    record_property(f"exact variances, {name}, N({mean}, {variance})", (" ".join(map(str, VARIANCES[law])), digits))


@pytest.mark.acceptance("G1")
@pytest.mark.parametrize("name", MEANS)
def test_recursion_has_the_reference_means(name: str, record_property: Record) -> None:
    schedule = make_schedule(name, 1000)
    found = [exact_moments(0.1, 0.25, schedule, settings)[0] for settings in SAMPLERS]
    assert found == pytest.approx(MEANS[name], abs=6e-6)
    record_property(f"exact means, {name}, N(0.1, 0.25)", (MEANS[name], [f"{mean:.5f}" for mean in found]))


@pytest.mark.acceptance("G1")
def test_distance_of_the_samples_law_to_the_target(record_property: Record) -> None:
    """(difference of means)^2 + (difference of standard deviations)^2, to the two printed digits."""
    schedule = make_schedule("linear", 1000)
    moments = [exact_moments(0.1, 0.25, schedule, settings) for settings in SAMPLERS]
    found = [(mean - 0.1) ** 2 + (variance**0.5 - 0.5) ** 2 for mean, variance in moments]
    assert found == pytest.approx(WASSERSTEIN, rel=0.03)
    record_property("squared Wasserstein distance per pixel, linear, N(0.1, 0.25)", (WASSERSTEIN, found))


def check_moments(
    settings: Reverse, schedule: Schedule, mean: float, variance: float, count: int
) -> tuple[float, float, float]:
    """Return how many Monte-Carlo standard errors mean and variance of samples are off, and the variance."""
    samples = run(settings, schedule, mean, variance, count=count).double()
    expected_mean, expected_variance = exact_moments(mean, variance, schedule, settings)
    number = samples.numel()
    found = float(samples.var())
    off_mean = (float(samples.mean()) - expected_mean) / (expected_variance / number) ** 0.5
    off_variance = (found / expected_variance - 1) / (2 / number) ** 0.5
    assert abs(off_mean) < 5
    assert abs(off_variance) < 5
    return off_mean, off_variance, found


SHORT = [
    Reverse("ddim", 10, clip=False),
    Reverse("ddim", 20, eta=0.5, clip=False),
    Reverse("ancestral", 50, variance="small", clip=False),
    Reverse("ancestral", 50, variance="large", clip=False),
]


@pytest.mark.acceptance("G1")
@pytest.mark.parametrize("settings", SHORT, ids=str)
@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial"])
def test_samples_have_exactly_known_moments(name: str, settings: Reverse, record_property: Record) -> None:
    """An off-by-one in t, a missing root, or noise at the last step all miss this by far more than 5 errors."""
    off_mean, off_variance, _ = check_moments(settings, make_schedule(name, 1000), 0.1, 0.25, 1024)
    record_property("1,024 samples, mean and variance off by standard errors", ("< 5", (off_mean, off_variance)))


def heun_moments(mean: float, variance: float, schedule: Schedule, settings: Reverse) -> tuple[float, float]:
    """Mean and variance of Heun's samples, written in s = sqrt((1 - a) / a): x' = x + h (k1 + k2) / 2, all affine.

    The exact denoiser is D(x) = mean + v (x - mean) / (v + s^2), so dx/ds = (x - mean) s / (v + s^2).
    """
    grid = grid_of(settings, schedule.steps, schedule)
    levels = [((1 - a) / a) ** 0.5 for a in (float(schedule.alpha_bars[t - 1]) for t in grid)] + [0.0]
    slope = [s / (variance + s**2) for s in levels]
    gain = 1.0
    for at, (s, after) in enumerate(itertools.pairwise(levels)):
        euler = 1 + (after - s) * slope[at]
        gain *= euler if after == 0 else 1 + (after - s) / 2 * (slope[at] + slope[at + 1] * euler)
    first = 1 / float(schedule.alpha_bars[grid[0] - 1]) ** 0.5  # x_T is standard normal, x = x_T / sqrt(a)
    return mean * (1 - gain), (gain * first) ** 2


@pytest.mark.parametrize("grid", get_args(Grid))
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_heun_samples_have_exactly_known_moments(name: str, grid: Grid) -> None:
    settings, schedule = Reverse("heun", 19, clip=False, grid=grid), make_schedule(name, 1000)
    samples = run(settings, schedule, 0.1, 0.25, count=1024).double()
    mean, variance = heun_moments(0.1, 0.25, schedule, settings)
    number = samples.numel()
    assert float(samples.mean()) == pytest.approx(mean, abs=5 * (variance / number) ** 0.5)
    assert float(samples.var()) == pytest.approx(variance, abs=5 * variance * (2 / number) ** 0.5)


def test_heun_is_of_second_order_and_euler_of_first() -> None:
    """On a fine schedule, twice the points cut Heun's error about 4 times and DDIM's about 2 times.

    The last Euler step from s_1 to 0 and the missing signal at T are common to all and taken out by comparing with
    the finest grid.
    """
    schedule = make_schedule("linear", 10_000)

    def error(sampler: Sampler, points: int) -> float:
        def gain(number: int) -> float:
            steps = 2 * number - 1 if sampler == "heun" else number
            settings = Reverse(sampler, steps, clip=False, grid="karras")
            start = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
            ends = reverse(
                gaussian(0.0, 0.25, schedule),
                start,
                start=10_000,
                schedule=schedule,
                prediction="epsilon",
                settings=settings,
                noise=lambda t: start,
            )
            return float(ends[0] - ends[1])

        return abs(gain(points) - gain(640))

    assert error("heun", 20) / error("heun", 40) == pytest.approx(4, rel=0.2)
    assert error("ddim", 20) / error("ddim", 40) == pytest.approx(2, rel=0.2)
    assert error("heun", 40) < error("ddim", 79) / 2  # at the same number of evaluations


@pytest.mark.parametrize(
    "settings", [Reverse(s, n, grid=g) for s in get_args(Sampler) for g in get_args(Grid) for n in (1, 2, 9)], ids=str
)
@pytest.mark.parametrize("zero", [False, True])
def test_the_network_is_never_asked_more_often_than_allowed(settings: Reverse, zero: bool) -> None:
    schedule = make_schedule("linear", 100, zero_terminal_snr=zero)
    asked: list[int] = []

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        asked.append(int(t[0]))
        return torch.zeros_like(xt)

    reverse(
        denoise,
        torch.zeros(1, 3, 4, 4),
        start=100,
        schedule=schedule,
        prediction="v",
        settings=settings,
        noise=lambda t: torch.zeros(1, 3, 4, 4),
    )
    assert len(asked) <= settings.steps
    if settings.grid == "linspace":  # coarse grids in s may round two points to one step
        assert len(asked) >= settings.steps - 1
    assert asked[0] == 100
    assert asked == sorted(asked, reverse=True)


@pytest.mark.parametrize("prediction", ["x0", "v", "edm"])
@pytest.mark.parametrize("sampler", ["ddim", "heun"])
def test_every_prediction_of_one_denoiser_gives_the_same_samples(prediction: Prediction, sampler: Sampler) -> None:
    """The exact denoiser written as eps, x_0, v or F is one denoiser."""
    schedule = make_schedule("cosine", 100)
    epsilon = gaussian(0.1, 0.25, schedule)

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        a = torch.tensor([float(schedule.alpha_bars[int(t[0]) - 1])], dtype=torch.float64)
        noise = epsilon(xt, t)
        return target_of(prediction, x0_from("epsilon", noise, xt, a), noise, a)

    noise = torch.randn(8, 3, 4, 4, generator=generator(1), dtype=torch.float64)

    def samples(denoiser: Denoiser, kind: Prediction) -> Tensor:
        return reverse(
            denoiser,
            noise,
            start=90,
            schedule=schedule,
            prediction=kind,
            settings=Reverse(sampler, 9, clip=False),
            noise=lambda t: noise,
        )

    assert torch.allclose(samples(denoise, prediction), samples(epsilon, "epsilon"), atol=1e-9)


def test_the_log_snr_grid_is_the_same_noise_under_every_schedule() -> None:
    """Different steps t, but (to the nearest step) the same noise levels between the same ends."""
    settings = Reverse("ddim", 8, grid="log-snr")
    levels = []
    for name in ("linear", "cosine"):
        schedule = make_schedule(name, 4000)
        start = schedule.step_at(100.0)
        grid = [t for t in grid_of(settings, start, schedule) if schedule.pixel_sigmas[t - 1] > 4]
        levels.append([float(np.log(schedule.pixel_sigmas[t - 1])) for t in grid])
    spacing = [np.diff(found) for found in levels]
    assert np.ptp(spacing[0]) < 0.05
    assert levels[0][0] == pytest.approx(levels[1][0], abs=0.01)


def test_the_karras_grid_is_that_of_the_paper() -> None:
    """sigma_i = (s_max^(1/7) + i/(N-1) (s_min^(1/7) - s_max^(1/7)))^7, to the nearest step of a fine schedule."""
    schedule = make_schedule("ve-geometric", 10_000)
    sigmas = (1 / schedule.alpha_bars - 1) ** 0.5
    grid = grid_of(Reverse("ddim", 18, grid="karras"), 10_000, schedule)
    ends = 50.0 ** (1 / 7), 0.01 ** (1 / 7)
    wanted = [(ends[0] + i / 17 * (ends[1] - ends[0])) ** 7 for i in range(18)]
    assert [float(sigmas[t - 1]) for t in grid] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.acceptance("G1")
@pytest.mark.parametrize(
    ("name", "mean", "variance", "settings", "reference"),
    [
        pytest.param(
            *row,
            # Short chains and Ho's own chain are enough between releases; all 28 take five minutes.
            marks=pytest.mark.slow if row[3].steps <= 50 or row[:2] == ("linear", 0.1) else pytest.mark.full,
            id=f"{row[0]} N({row[1]},{row[2]}) {label(row[3])}",
        )
        for row in REFERENCE
    ],
)
def test_samples_of_the_full_chain(
    name: str, mean: float, variance: float, settings: Reverse, reference: float, record_property: Record
) -> None:
    """4,096 samples of 3x8x8 pixels, within five Monte-Carlo standard errors of the exact moments."""
    _, _, found = check_moments(settings, make_schedule(name, 1000), mean, variance, 4096)
    record_property(f"variance of samples, {name}, N({mean}, {variance})", (f"{reference:.5f}", f"{found:.5f}"))


@pytest.mark.acceptance("G1")
def test_a_schedule_that_stops_short_of_noise_shifts_the_mean(record_property: Record) -> None:
    """exponential-beta ends at sqrt(alpha-bar) = 0.151: DDIM's samples come out 7.6 % short of the mean."""
    found = exact_moments(0.1, 0.25, make_schedule("exponential-beta", 1000), Reverse("ddim", 1000, clip=False))
    assert found[0] == pytest.approx(0.0924, abs=5e-5)
    record_property("mean 0.1 under exponential-beta, DDIM", (0.0924, found[0]))


@pytest.mark.acceptance("G4")
def test_frechet_distance_of_samples_is_discretisation_plus_floor(record_property: Record) -> None:
    """FD to N(m, v I) = squared Wasserstein distance of the laws + v d (d + 5) / (4 N) for N samples."""
    schedule, mean, variance, count = make_schedule("linear", 1000), 0.1, 0.25, 4096
    settings = Reverse("ddim", 10, clip=False)
    samples = run(settings, schedule, mean, variance).double().flatten(1)
    covariance = torch.cov(samples.T)
    roots = torch.linalg.eigvalsh(variance * covariance).clamp(min=0).sqrt()
    found = float((samples.mean(0) - mean).square().sum() + covariance.trace() + variance * DIMS - 2 * roots.sum())
    exact = exact_moments(mean, variance, schedule, settings)
    apart = DIMS * ((exact[0] - mean) ** 2 + (exact[1] ** 0.5 - variance**0.5) ** 2)
    floor = exact[1] * DIMS * (DIMS + 5) / (4 * count)
    assert found == pytest.approx(apart + floor, rel=0.1)
    assert apart / DIMS == pytest.approx(1.9e-2, rel=0.02)
    record_property("FD per dimension, DDIM 10, 4,096 samples (within 10 %)", ((apart + floor) / DIMS, found / DIMS))


@pytest.mark.acceptance("G2")
def test_ddim_with_eta_one_is_ancestral_sampling(record_property: Record) -> None:
    """The algebraic identity of Song et al. 2021: same noise, same samples."""
    schedule = make_schedule("linear", 1000)
    ddim = run(Reverse("ddim", 25, eta=1.0, clip=False), schedule, 0.1, 0.25, count=16)
    ancestral = run(Reverse("ancestral", 25, variance="small", clip=False), schedule, 0.1, 0.25, count=16)
    apart = float((ddim - ancestral).abs().max())
    assert apart < 1e-5
    record_property("largest difference of a sample, same noise, 25 steps", ("< 1e-5", apart))


@pytest.mark.acceptance("G3")
def test_ddim_without_eta_draws_nothing() -> None:
    schedule = make_schedule("linear", 1000)

    def no_noise(t: int) -> Tensor:
        raise AssertionError(f"noise drawn at step {t}")

    x = torch.randn(2, 3, 8, 8, generator=generator(3))
    samples = [
        reverse(
            gaussian(0.1, 0.25, schedule),
            x,
            start=1000,
            schedule=schedule,
            prediction="epsilon",
            settings=Reverse("ddim", 20),
            noise=no_noise,
        )
        for _ in range(2)
    ]
    assert torch.equal(*samples)


@pytest.mark.acceptance("G3")
def test_more_ddim_steps_come_nearer_to_the_target(record_property: Record) -> None:
    schedule = make_schedule("linear", 1000)
    errors = [
        abs(exact_moments(0.1, 0.25, schedule, Reverse("ddim", steps, clip=False))[1] - 0.25)
        for steps in (10, 20, 50, 100, 1000)
    ]
    assert errors == sorted(errors, reverse=True)
    record_property("variance missed with 10, 20, 50, 100, 1000 DDIM steps", ("falling", errors))


def memoriser(images: Tensor, schedule: Schedule) -> Denoiser:
    """The exact x_0 prediction when the data are just `images`: their mean, weighted by the likelihood of x_t."""

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        a = float(schedule.alpha_bars[int(t[0]) - 1])
        apart = torch.cdist(xt.flatten(1).double(), a**0.5 * images.flatten(1).double()).square()
        weights = torch.softmax(-apart / (2 * (1 - a)), dim=1).float()
        return (weights @ images.flatten(1)).reshape(xt.shape)

    return denoise


@pytest.mark.acceptance("G5")
@pytest.mark.parametrize("steps", [10, 50, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_optimal_denoiser_of_a_finite_set_copies_it(steps: int, record_property: Record) -> None:
    """Every sample is one of the training images, and many different ones appear."""
    schedule = make_schedule("linear", 1000)
    images = torch.rand(50, 3, 8, 8, generator=generator(4)) * 2 - 1
    x = torch.randn(64, 3, 8, 8, generator=generator(5))
    samples = reverse(
        memoriser(images, schedule),
        x,
        start=1000,
        schedule=schedule,
        prediction="x0",
        settings=Reverse("ddim", steps),
        noise=fresh_noise(tuple(x.shape), 6),
    )
    distances = (samples[:, None] - images[None]).flatten(2).norm(dim=2)
    assert float(distances.min(1).values.max()) < 1e-4
    distinct = len(set(distances.argmin(1).tolist()))
    assert distinct > 20
    furthest = float(distances.min(1).values.max())
    record_property(
        "DDIM 10, 50, 1000: furthest from a training image; distinct of 50", ("< 1e-4", (furthest, distinct))
    )


@pytest.mark.acceptance("G6")
def test_a_truncated_start_at_the_end_is_plain_sampling(record_property: Record) -> None:
    """Diffusing any start to T leaves N(0, I) up to sqrt(alpha-bar_T): start 0 has the law of plain sampling."""
    schedule, settings = make_schedule("linear", 1000), Reverse("ddim", 10, clip=False)
    noise = torch.randn(SHAPE, generator=generator(7))
    last = torch.tensor([schedule.alpha_bars[-1]])
    diffused = add_noise(torch.zeros(SHAPE), noise, last)
    torch.testing.assert_close(diffused, noise * (1 - float(last)) ** 0.5)
    samples = reverse(
        gaussian(0.1, 0.25, schedule),
        diffused,
        start=1000,
        schedule=schedule,
        prediction="epsilon",
        settings=settings,
        noise=fresh_noise(SHAPE, 8),
    )
    expected = exact_moments(0.1, 0.25, schedule, settings)
    found = float(samples.double().var())
    assert found == pytest.approx(expected[1], rel=5 * (2 / samples.numel()) ** 0.5 + 1e-4)
    record_property("start 0 at t0 = T: variance of samples", (expected[1], found))


@pytest.mark.acceptance("G6")
def test_a_truncated_start_at_the_first_step_returns_the_start(record_property: Record) -> None:
    schedule = make_schedule("linear", 1000)
    start = torch.rand(64, 3, 8, 8, generator=generator(9)) * 2 - 1
    noise = torch.randn(start.shape, generator=generator(10))
    diffused = add_noise(start, noise, torch.tensor([schedule.alpha_bars[0]]))
    out = reverse(
        gaussian(0.0, 1 / 3, schedule),
        diffused,
        start=1,
        schedule=schedule,
        prediction="epsilon",
        settings=Reverse("ddim", 5),
        noise=fresh_noise(tuple(start.shape), 11),
    )
    mse = float((out - start).square().mean()) / 4  # on [0, 1]
    found = -10 * math.log10(mse)
    assert found > 45
    record_property("t0 = 1: PSNR of the result against its start, dB", ("> 45", found))


@pytest.mark.parametrize(
    ("start", "steps", "grid"),
    [
        (1000, 1, [1000]),
        (57, 2, [57, 1]),
        (5, 50, [5, 4, 3, 2, 1]),
        (1000, 5, [1000, 750, 501, 251, 1]),
        (1, 10, [1]),
    ],
)
def test_grid_of_steps(start: int, steps: int, grid: list[int]) -> None:
    """linspace from the start to 1, rounded half to even on 0-based steps, without repetition."""
    assert time_grid(start, steps) == grid


def test_clipping_keeps_every_estimate_inside() -> None:
    """The last x_0 estimate is the sample, so clipped sampling cannot leave [-1, 1]."""
    schedule = make_schedule("linear", 1000)
    x = 3 * torch.randn(8, 3, 8, 8, generator=generator(12))
    out = reverse(
        gaussian(0.0, 4.0, schedule),
        x,
        start=1000,
        schedule=schedule,
        prediction="epsilon",
        settings=Reverse("ddim", 10),
        noise=fresh_noise(tuple(x.shape), 13),
    )
    assert float(out.abs().max()) <= 1.0 + 1e-6


def test_data_consistency_minimises_its_objective() -> None:
    """The step is the minimiser of ||x - y||^2 + rho ||x - x_0||^2 and splits evenly where both are as noisy."""
    noisy = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator(14))
    x0 = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator(15))
    std, alpha_bar = 0.2, 0.9
    rho = std**2 * alpha_bar / (1 - alpha_bar)
    consistent = consistent_with(Whole(), noisy, std)
    found = consistent(x0, torch.tensor(alpha_bar, dtype=torch.float64))
    torch.testing.assert_close((found - noisy) + rho * (found - x0), torch.zeros_like(x0), atol=1e-12, rtol=0)
    even = consistent(x0, torch.tensor(1 / (1 + std**2), dtype=torch.float64))
    torch.testing.assert_close(even, (noisy + x0) / 2)


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails where a number of a tensor is read: on a GPU that waits for everything asked of it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "the device is waited for"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("sampler", ["ddim", "ancestral", "heun"])
@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v", "edm"])
def test_no_number_is_read_from_the_device_on_the_way(sampler: Any, prediction: Any) -> None:
    """With noise of its own, clipping and consistency; the network stands for any that does not read one either."""
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with NoWaiting():  # type: ignore[no-untyped-call]
        out = reverse(
            lambda xt, t: 0.5 * xt,
            x,
            start=60,
            schedule=make_schedule("cosine", 100),
            prediction=prediction,
            settings=Reverse(sampler, 7, eta=1.0),
            noise=lambda t: torch.ones_like(x),
            adjust=consistent_with(Whole(), x, 0.5),
        )
    assert bool(out.isfinite().all())
    with pytest.raises(AssertionError, match="waited for"), NoWaiting():  # type: ignore[no-untyped-call]
        x.sum().item()
