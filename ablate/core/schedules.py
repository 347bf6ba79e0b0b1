"""Noise schedules of diffusion models, in float64 and without torch.

A schedule is the curve alpha-bar_t, t = 1..T, of q(x_t | x_0) = N(sqrt(alpha-bar_t) x_0, (1 - alpha-bar_t) I)
(Ho, Jain and Abbeel 2020, eq. 4). Every schedule is compiled to betas first, beta_t = 1 - alpha-bar_t / alpha-bar_{t-1}
with alpha-bar_0 = 1, and alpha-bar is their cumulative product: one rounding error, the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ablate.beta_tables import is_table, table_label, table_numbers

Array = NDArray[np.float64]

BETA_CAP = 0.999
"""Largest beta of schedules that are given as alpha-bar curves (Nichol and Dhariwal 2021, section 3.2)."""
GAMMA_FLOOR = 1e-9
"""Smallest alpha-bar before compilation, as in Chen 2023."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """A compiled noise schedule. Index 0 of every array is step t = 1."""

    name: str
    betas: Array
    alpha_bars: Array

    @property
    def steps(self) -> int:
        """T, the length of the forward process."""
        return len(self.betas)

    @property
    def snr(self) -> Array:
        """Signal-to-noise ratio alpha-bar / (1 - alpha-bar) of every step (0 where alpha-bar is 0)."""
        return self.alpha_bars / (1.0 - self.alpha_bars)

    @property
    def log_snr(self) -> Array:
        """Natural logarithm of `snr`; -inf where alpha-bar is 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.alpha_bars) - np.log1p(-self.alpha_bars))

    @property
    def pixel_sigmas(self) -> Array:
        """Noise relative to the signal on the 0..255 scale: 127.5 sqrt((1 - alpha-bar) / alpha-bar)."""
        with np.errstate(divide="ignore"):
            return np.asarray(127.5 * np.sqrt((1.0 - self.alpha_bars) / self.alpha_bars))

    @property
    def posterior_variances(self) -> Array:
        """Variance of q(x_{t-1} | x_t, x_0): beta_t (1 - alpha-bar_{t-1}) / (1 - alpha-bar_t) (Ho 2020, eq. 7)."""
        before = np.concatenate([[1.0], self.alpha_bars[:-1]])
        return np.asarray(self.betas * (1.0 - before) / (1.0 - self.alpha_bars))

    def step_at(self, pixel_sigma: float) -> int:
        """Return the step t in 1..T whose noise is nearest to `pixel_sigma` (0..255 scale) in log-SNR."""
        target = -2.0 * np.log(pixel_sigma / 127.5)
        return int(np.argmin(np.abs(self.log_snr - target))) + 1


def _linear(steps: int, power: float) -> Array:
    # Ho et al. 2020, section 4; scaled by 1000 / T so that alpha-bar_T hardly depends on T.
    k = 1000.0 / steps
    return np.linspace(k * 1e-4, k * 0.02, steps)


def _quad(steps: int, power: float) -> Array:
    # Linear in the square root of beta (code of Ho et al. 2020).
    k = 1000.0 / steps
    return np.asarray(np.linspace(np.sqrt(k * 1e-4), np.sqrt(k * 0.02), steps) ** 2)


def _exponential_beta(steps: int, power: float) -> Array:
    # Betas in geometric progression between linear's two ends; alpha-bar_T = 0.0228, so the end is not pure noise.
    k = 1000.0 / steps
    return np.geomspace(k * 1e-4, k * 0.02, steps)


def _sigmoid_beta(steps: int, power: float) -> Array:
    # Betas on a logistic curve between linear's two ends (GeoDiff, Xu et al. 2022; diffusers' `sigmoid`).
    k = 1000.0 / steps
    return np.asarray(k * (1e-4 + (0.02 - 1e-4) / (1.0 + np.exp(-np.linspace(-6.0, 6.0, steps)))))


def _exponential(steps: int, power: float) -> Array:
    # alpha-bar(u) = exp(-12 u): every step has the same beta.
    return np.full(steps, -np.expm1(-12.0 / steps))


def _capped(alpha_bar: Callable[[Array], Array], steps: int) -> Array:
    """Betas of the curve alpha_bar(u), u = t / T (Nichol and Dhariwal 2021, eq. 17 and the cap below it)."""
    values = alpha_bar(np.arange(steps + 1) / steps)
    return np.asarray(np.minimum(1.0 - values[1:] / values[:-1], BETA_CAP))


def _cosine(steps: int, power: float) -> Array:
    s = 0.008
    return _capped(lambda u: np.cos(np.pi / 2 * (u + s) / (1 + s)) ** 2, steps)


def _sigmoid(steps: int, power: float) -> Array:
    # Jabri et al. 2022 and Chen 2023 with start -3, end 3, temperature 1.
    start, end, tau = -3.0, 3.0, 1.0

    def logistic(value: Array | float) -> Array:
        return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(value))))

    first, last = logistic(start / tau), logistic(end / tau)
    return _capped(
        lambda u: np.clip((last - logistic((u * (end - start) + start) / tau)) / (last - first), GAMMA_FLOOR, 1.0),
        steps,
    )


def _simple_linear(steps: int, power: float) -> Array:
    # Chen 2023: gamma(u) = 1 - u.
    return _capped(lambda u: np.clip(1.0 - u, GAMMA_FLOOR, 1.0), steps)


def _cosine_tau(steps: int, power: float) -> Array:
    # Chen 2023: cosine with start 0, end 1 and temperature tau, for which v_start = 1 and v_end = 0. The floor of
    # 1e-9 would make the curve flat near its end for tau > 1; the cap of beta alone keeps it falling and above 0.
    return _capped(lambda u: np.cos(np.pi / 2 * u) ** (2 * power), steps)


def _polynomial(steps: int, power: float) -> Array:
    # Hoogeboom et al. 2022: (1 - u^p)^2, step ratios clipped from below at 0.001, then squeezed into [s, 1 - s].
    s = 1e-5
    u = np.arange(steps + 1) / steps
    curve = (1.0 - u**power) ** 2
    ratios = np.clip(curve[1:] / curve[:-1], 0.001, 1.0)
    alpha_bars = np.concatenate([[1.0], (1.0 - 2 * s) * np.cumprod(ratios) + s])
    return np.asarray(1.0 - alpha_bars[1:] / alpha_bars[:-1])


def _ve_geometric(steps: int, power: float) -> Array:
    # Variance-exploding sigmas 0.01 .. 50 (Song et al. 2021) in variance-preserving form: 1 / (1 + sigma^2).
    alpha_bars = np.concatenate([[1.0], 1.0 / (1.0 + np.geomspace(0.01, 50.0, steps) ** 2)])
    return np.asarray(1.0 - alpha_bars[1:] / alpha_bars[:-1])


_BETAS: dict[str, Callable[[int, float], Array]] = {
    "linear": _linear,
    "quad": _quad,
    "cosine": _cosine,
    "sigmoid": _sigmoid,
    "simple-linear": _simple_linear,
    "cosine-tau": _cosine_tau,
    "polynomial": _polynomial,
    "exponential": _exponential,
    "exponential-beta": _exponential_beta,
    "sigmoid-beta": _sigmoid_beta,
    "ve-geometric": _ve_geometric,
}
SCHEDULE_NAMES = tuple(_BETAS)


def _betas(name: str, steps: int, power: float) -> Array:
    if is_table(name):
        betas = np.array(table_numbers(name))
        if len(betas) != steps:
            raise ValueError(f"{table_label(name)}, but diffusion_steps is {steps}; they must be equal")
        return betas
    if name not in _BETAS:
        raise ValueError(f"unknown noise schedule {name!r}; known: {', '.join(SCHEDULE_NAMES)}")
    return _BETAS[name](steps, power)


def with_zero_terminal_snr(alpha_bars: Array) -> Array:
    """Shift and scale sqrt(alpha-bar): its first value stays, its last becomes 0 (Lin et al. 2023, algorithm 1)."""
    roots = np.sqrt(alpha_bars)
    scaled = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return np.asarray(scaled**2)


@cache
def make_schedule(name: str, steps: int, *, power: float = 2.0, zero_terminal_snr: bool = False) -> Schedule:
    """Compile the schedule `name` for T = `steps`.

    `power` is p of ``polynomial`` and tau of ``cosine-tau``. `name` may also be the text of a table of betas (see
    `ablate.beta_tables`), whose last beta may be 1. Raises ValueError for an unknown name, for a table of another
    length than `steps`, and for a schedule that is no forward process: a beta outside (0, 1), or an alpha-bar that
    does not fall at every step.
    """
    betas = _betas(name, steps, power)
    alpha_bars: Array = np.asarray(np.cumprod(1.0 - betas))
    if zero_terminal_snr:
        alpha_bars = with_zero_terminal_snr(alpha_bars)
        betas = 1.0 - alpha_bars / np.concatenate([[1.0], alpha_bars[:-1]])
    schedule = Schedule(name=table_label(name) if is_table(name) else name, betas=betas, alpha_bars=alpha_bars)
    _validate(schedule, last_may_be_one=zero_terminal_snr or is_table(name))
    betas.flags.writeable = alpha_bars.flags.writeable = False
    return schedule


def _validate(schedule: Schedule, *, last_may_be_one: bool) -> None:
    betas = schedule.betas[:-1] if last_may_be_one else schedule.betas
    bad = np.flatnonzero(~((betas > 0) & (betas < 1)))
    if bad.size:
        t = int(bad[0]) + 1
        raise ValueError(
            f"noise schedule {schedule.name} with {schedule.steps} diffusion steps has beta = {betas[t - 1]:.4g} at "
            f"t = {t}; every beta must lie between 0 and 1"
        )
    if np.any(np.diff(schedule.alpha_bars) >= 0):
        raise ValueError(f"noise schedule {schedule.name} does not decrease at every one of its {schedule.steps} steps")


def schedule_warnings(schedule: Schedule) -> list[str]:
    """Return what is doubtful about `schedule`: a last step that is far from pure noise."""
    last = float(np.sqrt(schedule.alpha_bars[-1]))
    if last <= 0.03:
        return []
    return [
        f"noise schedule {schedule.name} ends at sqrt(alpha-bar) = {last:.3f}: the last step still contains signal, "
        f"so generation from pure noise starts from the wrong distribution"
    ]
