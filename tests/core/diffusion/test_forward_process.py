"""The forward process, its posterior, conversions and loss weights against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ablate.core.diffusion.forward_process import (
    SIGMA_DATA,
    Prediction,
    add_noise,
    epsilon_from,
    lognormal_steps,
    loss_weights,
    network_input,
    posterior,
    prior_bits_per_dim,
    stratified_steps,
    target_of,
    x0_from,
)
from ablate.core.schedules import make_schedule

LINEAR = make_schedule("linear", 1000)
ALPHA_BARS = torch.tensor(LINEAR.alpha_bars.copy())
KINDS = get_args(Prediction)
Record = Callable[[str, object], None]
"""pytest's `record_property`: (what, (expected, measured)) becomes a row of docs/evidence/acceptance.md."""


def at(t: int) -> Tensor:
    return ALPHA_BARS[[t - 1]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.acceptance("P1")
@pytest.mark.parametrize("t", [1, 100, 1000])
def test_moments_of_the_forward_process(t: int, record_property: Record) -> None:
    """100,000 draws agree with N(sqrt(a) x_0, 1 - a) within five standard errors."""
    count, a = 100_000, float(at(t))
    noise = torch.randn(count, 1, dtype=torch.float64, generator=generator(t))
    xt = add_noise(torch.full((count, 1), 0.7, dtype=torch.float64), noise, at(t).expand(count))
    assert float(xt.mean()) == pytest.approx(0.7 * a**0.5, abs=5 * ((1 - a) / count) ** 0.5)
    assert float(xt.var()) == pytest.approx(1 - a, abs=5 * (1 - a) * (2 / count) ** 0.5)
    errors = (
        (float(xt.mean()) - 0.7 * a**0.5) / ((1 - a) / count) ** 0.5,
        (float(xt.var()) / (1 - a) - 1) / (2 / count) ** 0.5,
    )
    record_property("mean and variance of x_t at t = 1, 100, 1000, off by standard errors", ("< 5 each", errors))


@pytest.mark.acceptance("P2")
def test_single_steps_compose_to_the_jump(record_property: Record) -> None:
    """x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps, T times, has the coefficients of q(x_T | x_0)."""
    signal, variance = 1.0, 0.0
    for beta, alpha_bar in zip(LINEAR.betas, LINEAR.alpha_bars, strict=True):
        signal, variance = signal * (1 - beta) ** 0.5, variance * (1 - beta) + beta
        assert signal**2 == pytest.approx(alpha_bar, rel=1e-12)
        assert variance == pytest.approx(1 - alpha_bar, rel=1e-10)
    apart = abs(signal**2 / LINEAR.alpha_bars[-1] - 1)
    record_property("T single steps against q(x_T | x_0), relative", ("< 1e-12", apart))


@pytest.mark.acceptance("P3")
@pytest.mark.parametrize("t", [2, 10, 100, 500, 1000])
def test_posterior_is_bayes_rule(t: int, record_property: Record) -> None:
    """q(x_{t-1} | x_t, x_0) is the product of two Gaussians in x_{t-1}: precisions add."""
    x0, xt = torch.tensor([0.3], dtype=torch.float64), torch.tensor([-0.8], dtype=torch.float64)
    beta, before = float(LINEAR.betas[t - 1]), float(LINEAR.alpha_bars[t - 2])
    precision = (1 - beta) / beta + 1 / (1 - before)
    expected = ((1 - beta) ** 0.5 / beta * xt + before**0.5 / (1 - before) * x0) / precision
    mean, variance = posterior(x0, xt, t, LINEAR)
    assert float(mean) == pytest.approx(float(expected), rel=1e-12)
    assert variance == pytest.approx(1 / precision, rel=1e-12)
    assert variance == pytest.approx(float(LINEAR.posterior_variances[t - 1]), rel=1e-12)
    apart = max(abs(float(mean / expected) - 1), abs(variance * float(precision) - 1))
    record_property("mean and variance against Bayes' rule at t = 2 to 1000, relative", ("< 1e-12", apart))


@pytest.mark.parametrize("t", [1, 131, 400, 1000])
def test_edm_preconditioning_is_that_of_the_paper(t: int) -> None:
    """c_skip, c_out, c_in of Karras et al. 2022, table 1, in s = sqrt((1 - a) / a) and x = x_t / sqrt(a)."""
    a = at(t)
    s = float(((1 - a) / a).sqrt())
    x0, noise, output = (torch.randn(5, dtype=torch.float64, generator=generator(i)) for i in range(3))
    xt = add_noise(x0, noise, a)
    x = xt / a.sqrt()
    c_skip, c_out = SIGMA_DATA**2 / (s**2 + SIGMA_DATA**2), s * SIGMA_DATA / (s**2 + SIGMA_DATA**2) ** 0.5
    c_in = 1 / (s**2 + SIGMA_DATA**2) ** 0.5
    torch.testing.assert_close(network_input("edm", xt, a), c_in * x, rtol=1e-10, atol=0)
    torch.testing.assert_close(x0_from("edm", output, xt, a), c_skip * x + c_out * output, rtol=1e-10, atol=1e-12)
    weight = (s**2 + SIGMA_DATA**2) / (s * SIGMA_DATA) ** 2  # lambda(sigma) of the same table
    own = (output - target_of("edm", x0, noise, a)).square().sum()
    torch.testing.assert_close(own, weight * (x0_from("edm", output, xt, a) - x0).square().sum(), rtol=1e-9, atol=0)


def test_edm_input_and_target_have_unit_variance() -> None:
    """For data of standard deviation sigma_data, at every noise level: what the preconditioning is for."""
    count = 200_000
    x0 = SIGMA_DATA * torch.randn(count, 1, dtype=torch.float64, generator=generator(1))
    noise = torch.randn(count, 1, dtype=torch.float64, generator=generator(2))
    for t in (1, 100, 300, 1000):
        a = at(t).expand(count)
        for found in (network_input("edm", add_noise(x0, noise, a), a), target_of("edm", x0, noise, a)):
            assert float(found.var()) == pytest.approx(1, abs=5 * (2 / count) ** 0.5)


def test_edm_with_unit_data_is_minus_v(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablate.core.diffusion.forward_process.SIGMA_DATA", 1.0)
    x0, noise = (torch.randn(7, dtype=torch.float64, generator=generator(i)) for i in range(2))
    torch.testing.assert_close(target_of("edm", x0, noise, at(300)), -target_of("v", x0, noise, at(300)))


def test_lognormal_steps_follow_the_law_of_the_paper() -> None:
    """ln s has mean -1.2 and standard deviation 1.2 where the schedule has a level for (nearly) all of it."""
    schedule = make_schedule("ve-geometric", 4000)
    steps = lognormal_steps(100_000, schedule, generator())
    log_s = torch.tensor(-schedule.log_snr / 2)[steps - 1]
    assert float(log_s.mean()) == pytest.approx(-1.2, abs=0.01)
    assert float(log_s.std()) == pytest.approx(1.2, abs=0.01)


@given(st.sampled_from(["linear", "cosine", "exponential"]), st.integers(1, 64))
def test_lognormal_steps_are_steps(name: str, batch: int) -> None:
    schedule = make_schedule(name, 100, zero_terminal_snr=name == "linear")
    steps = lognormal_steps(batch, schedule, generator(batch))
    assert steps.dtype == torch.int64
    assert bool(((steps >= 1) & (steps <= 100)).all())
    nearest = np.abs(schedule.log_snr[:, None] - schedule.log_snr[steps.numpy() - 1]).argmin(0)
    assert nearest.tolist() == (steps - 1).tolist()


@pytest.mark.acceptance("P3")
def test_posterior_coefficients_of_the_paper(record_property: Record) -> None:
    """At t = 100 the mean is 0.0190763453 x_0 + 0.980896021 x_t."""
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    found = [float(posterior(*pair, 100, LINEAR)[0]) for pair in ((one, zero), (zero, one))]
    assert found == pytest.approx([1.90763453e-2, 9.80896021e-1], rel=1e-8)
    record_property("coefficients of x_0 and x_t at t = 100", ("0.0190763453 0.980896021", found))


def test_first_posterior_step_is_the_estimate_itself() -> None:
    x0, xt = torch.tensor([0.3], dtype=torch.float64), torch.tensor([-0.8], dtype=torch.float64)
    mean, variance = posterior(x0, xt, 1, LINEAR)
    assert float(mean) == pytest.approx(0.3, rel=1e-10)
    assert variance == 0


@pytest.mark.acceptance("P4")
@pytest.mark.parametrize("kind", KINDS)
def test_conversions_undo_each_other_at_every_step(kind: Prediction, record_property: Record) -> None:
    """From the true target, x_0 and eps come back, for all 1000 steps in float32."""
    x0 = torch.rand(1000, 12, generator=generator(1)) * 2 - 1
    noise = torch.randn(1000, 12, generator=generator(2))
    xt = add_noise(x0, noise, ALPHA_BARS)
    target = target_of(kind, x0, noise, ALPHA_BARS)
    # x_0 from eps is divided by sqrt(a), eps from x_0 by sqrt(1 - a): rounding grows by exactly that factor.
    x0_scale = (1 / ALPHA_BARS.sqrt()).float()[:, None] if kind == "epsilon" else torch.ones(1000, 1)
    noise_scale = (1 / (1 - ALPHA_BARS).sqrt()).float()[:, None] if kind in ("x0", "edm") else torch.ones(1000, 1)
    apart = (
        float(((x0_from(kind, target, xt, ALPHA_BARS) - x0) / x0_scale).abs().max()),
        float(((epsilon_from(kind, target, xt, ALPHA_BARS) - noise) / noise_scale).abs().max()),
    )
    assert max(apart) < 1e-6
    record_property("x_0 and eps back from eps, x_0 and v, all t, float32", ("< 1e-6", max(apart)))


@pytest.mark.acceptance("P4")
def test_v_works_where_nothing_is_left_of_the_image() -> None:
    """At alpha-bar = 0, x_t is the noise and v = -x_0."""
    x0, noise, nothing = torch.rand(3, 4), torch.randn(3, 4), torch.zeros(3, dtype=torch.float64)
    xt = add_noise(x0, noise, nothing)
    v = target_of("v", x0, noise, nothing)
    torch.testing.assert_close(xt, noise)
    torch.testing.assert_close(x0_from("v", v, xt, nothing), x0)
    torch.testing.assert_close(epsilon_from("v", v, xt, nothing), noise)


@pytest.mark.acceptance("P5")
def test_losses_differ_by_the_signal_to_noise_ratio(record_property: Record) -> None:
    """||eps - eps'||^2 = SNR ||x_0 - x_0'||^2 and ||v - v'||^2 = (SNR + 1) ||x_0 - x_0'||^2 at every step."""
    x0 = torch.randn(1000, 6, dtype=torch.float64, generator=generator(3))
    guess = torch.randn(1000, 6, dtype=torch.float64, generator=generator(4))
    xt = add_noise(x0, torch.randn(1000, 6, dtype=torch.float64, generator=generator(5)), ALPHA_BARS)
    noise, noise_guess = (epsilon_from("x0", value, xt, ALPHA_BARS) for value in (x0, guess))
    v, v_guess = target_of("v", x0, noise, ALPHA_BARS), target_of("v", guess, noise_guess, ALPHA_BARS)
    snr = ALPHA_BARS / (1 - ALPHA_BARS)
    base = (x0 - guess).square().sum(1)
    torch.testing.assert_close((noise - noise_guess).square().sum(1), snr * base, rtol=1e-7, atol=0)
    torch.testing.assert_close((v - v_guess).square().sum(1), (snr + 1) * base, rtol=1e-7, atol=0)
    apart = float(((noise - noise_guess).square().sum(1) / (snr * base) - 1).abs().max())
    record_property("eps-loss over SNR times x_0-loss, largest deviation from 1", ("< 1e-7", apart))


@pytest.mark.acceptance("P6")
@pytest.mark.parametrize(
    ("t", "x0", "epsilon", "v"),
    [(1, 5, 5.0005e-4, 5e-4), (100, 5, 0.57402, 0.51491), (300, 0.65678, 1, 0.39642)],
)
def test_min_snr_weights(t: int, x0: float, epsilon: float, v: float, record_property: Record) -> None:
    found = [float(loss_weights("min-snr", kind, at(t))) for kind in ("x0", "epsilon", "v")]
    assert found == pytest.approx([x0, epsilon, v], rel=1e-5)
    record_property(f"weights on x_0, eps, v at t = {t}", ((x0, epsilon, v), found))


@pytest.mark.parametrize("kind", KINDS)
def test_simple_weights_are_one(kind: Prediction) -> None:
    assert loss_weights("simple", kind, ALPHA_BARS).tolist() == [1.0] * 1000


@pytest.mark.acceptance("P7")
def test_prior_term_of_the_bound(record_property: Record) -> None:
    """The published linear schedule leaves 7.3e-6 bits per dimension at x_T."""
    found = prior_bits_per_dim(LINEAR, 0.25)
    assert found == pytest.approx(7.28e-6, rel=2e-3)
    record_property("L_T of linear for E[x_0^2] = 0.25, bits per dimension", (7.28e-6, found))


@pytest.mark.acceptance("P8")
def test_steps_are_drawn_uniformly_per_image(record_property: Record) -> None:
    """Every step of 1..T is drawn, both ends included, evenly; images of one batch have different steps."""
    source = generator(6)
    draws = torch.stack([stratified_steps(16, 100, source) for _ in range(2000)])
    counts = np.bincount(draws.flatten().numpy(), minlength=101)
    assert counts[0] == 0
    assert len(counts) == 101
    expected = draws.numel() / 100
    chi_square = float((np.square(counts[1:] - expected) / expected).sum())
    assert chi_square < 148.2  # 99.9 % point for 99 degrees of freedom; stratification only lowers the statistic
    assert len(set(draws[0].tolist())) > 12
    record_property("chi-square of 32,000 steps over 1..100 (99.9 % point 148.2)", ("< 148.2", chi_square))


def test_steps_of_one_batch_cover_the_whole_range() -> None:
    """Image i of B draws from the i-th of B equal parts of 1..T."""
    draws = stratified_steps(10, 1000, generator(7))
    assert ((draws - 1) // 100).tolist() == list(range(10))
