"""The forward process, its posterior, and the things a network may predict.

Notation of Ho, Jain and Abbeel 2020: q(x_t | x_0) = N(sqrt(a) x_0, (1 - a) I) with a = alpha-bar_t. Steps are 1-based,
t = 1..T, and alpha-bar_0 = 1. Coefficients are float64 until they meet an image.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ablate.core.schedules import Schedule

Prediction = Literal["epsilon", "x0", "v", "edm"]
MIN_SNR_GAMMA = 5.0
"""gamma of the min-SNR weight (Hang et al. 2023)."""
SIGMA_DATA = 0.5
"""sigma_data of the EDM preconditioning: standard deviation of pixels on [-1, 1] (Karras et al. 2022, table 1)."""


LOG_SIGMA_MEAN, LOG_SIGMA_SD = -1.2, 1.2
"""P_mean and P_std of Karras et al. 2022, table 1."""


def roots(alpha_bar: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return sqrt(a) and sqrt(1 - a) for `alpha_bar` [N] float64, shaped [N,1,...] and typed like `like`."""
    shaped = alpha_bar.reshape(-1, *([1] * (like.dim() - 1)))
    return shaped.sqrt().to(like.dtype), (1.0 - shaped).sqrt().to(like.dtype)


def add_noise(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t = sqrt(a) x_0 + sqrt(1 - a) eps (Ho et al. 2020, eq. 4). Images [N,...], `alpha_bar` [N] float64."""
    signal, spread = roots(alpha_bar, x0)
    return signal * x0 + spread * noise


def preconditioning(alpha_bar: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (k_in, k_skip, k_out) of the EDM preconditioning for images x_t, each shaped for `like` [N,...].

    Karras et al. 2022, table 1, write D(x; s) = c_skip x + c_out F(c_in x) for x = x_0 + s eps. Here x_t = sqrt(a) x
    with s^2 = (1 - a) / a, so the same D is k_skip x_t + k_out F(k_in x_t), and with m = 1 - a + a sigma_data^2:
    k_in = c_in / sqrt(a) = m^-1/2, k_skip = c_skip / sqrt(a) = sqrt(a) sigma_data^2 / m,
    k_out = c_out = sigma_data sqrt((1 - a) / m). Nothing divides by a. With sigma_data = 1, F is -v.
    """
    shaped = alpha_bar.reshape(-1, *([1] * (like.dim() - 1)))
    m = 1.0 - shaped + shaped * SIGMA_DATA**2
    parts = (m.rsqrt(), shaped.sqrt() * SIGMA_DATA**2 / m, SIGMA_DATA * ((1.0 - shaped) / m).sqrt())
    k_in, k_skip, k_out = (part.to(like.dtype) for part in parts)
    return k_in, k_skip, k_out


def network_input(kind: Prediction, xt: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return what the network is shown of x_t [N,...]: `edm` scales it to unit variance, the others do not."""
    return preconditioning(alpha_bar, xt)[0] * xt if kind == "edm" else xt


def target_of(kind: Prediction, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return what the network should output: eps, x_0, v = sqrt(a) eps - sqrt(1 - a) x_0 (Salimans and Ho 2022), or F.

    F = (x_0 - k_skip x_t) / k_out (Karras et al. 2022, eq. 8): the target whose error, weighted by 1, is theirs.
    """
    if kind == "epsilon":
        return noise
    if kind == "x0":
        return x0
    if kind == "edm":
        _, skip, out = preconditioning(alpha_bar, x0)
        return (x0 - skip * add_noise(x0, noise, alpha_bar)) / out
    signal, spread = roots(alpha_bar, x0)
    return signal * noise - spread * x0


def x0_from(kind: Prediction, output: Tensor, xt: Tensor, alpha_bar: Tensor) -> Tensor:
    """Turn a network's output into an estimate of x_0. `epsilon` needs a > 0."""
    if kind == "x0":
        return output
    if kind == "edm":
        _, skip, out = preconditioning(alpha_bar, xt)
        return skip * xt + out * output
    signal, spread = roots(alpha_bar, xt)
    if kind == "epsilon":
        return (xt - spread * output) / signal
    return signal * xt - spread * output


def epsilon_from(kind: Prediction, output: Tensor, xt: Tensor, alpha_bar: Tensor) -> Tensor:
    """Turn a network's output into an estimate of the noise. `x0` and `edm` need a < 1."""
    if kind == "epsilon":
        return output
    signal, spread = roots(alpha_bar, xt)
    if kind in ("x0", "edm"):
        return (xt - signal * x0_from(kind, output, xt, alpha_bar)) / spread
    return spread * xt + signal * output


def loss_weights(weighting: Literal["simple", "min-snr"], kind: Prediction, alpha_bar: Tensor) -> Tensor:
    """Return the weight [N] of each image's squared error on the network's own target.

    simple: 1. min-SNR (Hang et al. 2023, section 3.4): min(SNR, gamma) in x_0 units, therefore divided by SNR for eps
    and by SNR + 1 for v, because ||eps - eps'||^2 = SNR ||x_0 - x_0'||^2 and ||v - v'||^2 = (SNR + 1) ||x_0 - x_0'||^2;
    for F by 1 / k_out^2 = SNR + 1 / sigma_data^2, the loss weight of Karras et al. 2022, table 1.
    """
    if weighting == "simple":
        return torch.ones_like(alpha_bar)
    snr = alpha_bar / (1.0 - alpha_bar)
    clamped = snr.clamp(max=MIN_SNR_GAMMA)
    return clamped / {"x0": torch.ones_like(snr), "epsilon": snr, "v": snr + 1.0, "edm": snr + SIGMA_DATA**-2}[kind]


def posterior(x0: Tensor, xt: Tensor, t: int, schedule: Schedule) -> tuple[Tensor, float]:
    """Mean and variance of q(x_{t-1} | x_t, x_0) (Ho et al. 2020, eqs. 6 and 7)."""
    here = float(schedule.alpha_bars[t - 1])
    before = float(schedule.alpha_bars[t - 2]) if t > 1 else 1.0
    on_x0, on_xt, variance = posterior_between(here, before)
    return on_x0 * x0 + on_xt * xt, variance


def posterior_between(here: float, before: float) -> tuple[float, float, float]:
    """`posterior` for any two points of the process with alpha-bar `here` < `before`: beta' = 1 - here / before.

    Returns what x_0 and x_t weigh in the mean, and the variance.
    """
    beta = 1.0 - here / before
    on_x0 = beta * before**0.5 / (1.0 - here)
    on_xt = (1.0 - before) * (1.0 - beta) ** 0.5 / (1.0 - here)
    return on_x0, on_xt, beta * (1.0 - before) / (1.0 - here)


def stratified_steps(batch: int, total: int, generator: torch.Generator) -> Tensor:
    """Return one step t in 1..`total` per image, int64 [batch]: image i draws from the i-th of `batch` equal strata.

    Batches are random permutations of the data, so every image meets every step with the same probability, while the
    mean loss of a batch varies less than with independent draws.
    """
    uniform = torch.rand(batch, generator=generator, device=generator.device, dtype=torch.float64)
    place = (torch.arange(batch, device=generator.device, dtype=torch.float64) + uniform) / batch
    return (place * total).long().clamp_(max=total - 1) + 1


def lognormal_steps(batch: int, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Return one step t per image, int64 [batch], whose noise follows ln s ~ N(-1.2, 1.2^2), s = sqrt((1 - a) / a).

    The training distribution of Karras et al. 2022, table 1, moved to the nearest step in log-SNR: schedules then
    differ in nothing but the noise levels they offer. Stratified like `stratified_steps`.
    """
    uniform = torch.rand(batch, generator=generator, device=generator.device, dtype=torch.float64)
    place = (torch.arange(batch, device=generator.device, dtype=torch.float64) + uniform) / batch
    log_snr = -2.0 * (LOG_SIGMA_MEAN + LOG_SIGMA_SD * torch.special.ndtri(place))
    levels = torch.tensor(schedule.log_snr, device=generator.device)
    # Steps whose log-SNR lies above the middle between two levels belong to the higher one.
    return torch.searchsorted(-(levels[1:] + levels[:-1]) / 2, -log_snr) + 1


def prior_bits_per_dim(schedule: Schedule, mean_square: float) -> float:
    """L_T of the variational bound in bits per dimension: KL(q(x_T | x_0) || N(0, I)) for data with E[x_0^2] given."""
    last = torch.tensor(float(schedule.alpha_bars[-1]), dtype=torch.float64)
    nats = 0.5 * (mean_square * last - last - torch.log1p(-last))
    return float(nats / torch.log(torch.tensor(2.0, dtype=torch.float64)))
