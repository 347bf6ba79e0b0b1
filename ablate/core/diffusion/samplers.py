"""Reverse processes as one function: ancestral sampling, DDIM and Heun's method, from any start step, on any grid.

All walk down a grid of steps and share everything but the move: estimate x_0, clip it, make it consistent with the
data, move. A move is a function of tensors, so that a GPU can do it as one program. In x_t / sqrt(a) = x_0 + s eps with
s = sqrt((1 - a) / a), DDIM with eta = 0 is Euler's method for dx/ds = (x - x_0) / s, and Heun's method (Karras et al.
2022, algorithm 1 without churn) averages that slope with the one found where Euler's step ends. Coefficients are
float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from ablate.core.diffusion.forward_process import Prediction, epsilon_from, posterior_between, x0_from
from ablate.core.programs.cuda_graphs import Through, directly
from ablate.core.schedules import Schedule

Sampler = Literal["ddim", "ancestral", "heun"]
Grid = Literal["linspace", "trailing", "karras", "log-snr"]
KARRAS_RHO = 7.0
"""rho of the grid of Karras et al. 2022, eq. 5."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t [N,...], t int64 [N]) -> the network's prediction [N,...]."""
Adjust = Callable[[Tensor, Tensor], Tensor]
"""(estimate of x_0, alpha-bar of the current step, float64 []) -> a better one, such as one consistent with data."""
Number = TypeVar("Number", float, Tensor)
Noise = Callable[[int], Tensor]
"""t -> standard normal noise of the images' shape, addressed by the step it is added at."""


@dataclass(frozen=True)
class Reverse:
    """How the reverse process is run."""

    sampler: Sampler = "ddim"
    steps: int = 50
    """Network evaluations, at most."""
    eta: float = 0.0
    variance: Literal["large", "small"] = "large"
    clip: bool = True
    """Clip estimates of x_0 to [-1, 1]: right for images, wrong for unbounded toy data."""
    grid: Grid = "linspace"


def time_grid(start: int, steps: int) -> list[int]:
    """Return the grid named ``linspace``: at most `steps` different steps, evenly spread from `start` down to 1.

    A single step stands at `start`.
    """
    if steps == 1:
        return [start]
    return [int(t) + 1 for t in np.unique(np.round(np.linspace(0, start - 1, steps)))[::-1]]


def trailing_grid(start: int, steps: int) -> list[int]:
    """Return the grid named ``trailing`` (Lin et al. 2023, table 2): from `start` down in strides of start / steps.

    The last step stands one stride above 0, not at 1. At most `start` steps.
    """
    count = min(steps, start)
    return [round(start - start * i / count) for i in range(count)]


def grid_of(settings: Reverse, start: int, schedule: Schedule) -> list[int]:
    """Return the steps at which the network is asked, falling from `start`, under the grid and sampler of `settings`.

    Besides ``linspace`` and ``trailing`` in t: ``log-snr``, even in log-SNR, which is the same noise levels under every
    schedule; and ``karras``, even in s^(1/7) (Karras et al. 2022, eq. 5). Both are rounded to the nearest steps of the
    schedule. Heun asks twice per point except at the last, so it has half as many points.
    """
    points = (settings.steps + 1) // 2 if settings.sampler == "heun" else settings.steps
    if settings.grid == "linspace" or points == 1 or start == 1:
        return time_grid(start, points)
    if settings.grid == "trailing":
        return trailing_grid(start, points)
    levels = schedule.log_snr[:start]
    finite = levels[np.isfinite(levels)]  # the last one is -inf where alpha-bar ends at 0
    if settings.grid == "log-snr":
        wanted = np.linspace(finite[-1], finite[0], points)
    else:
        first, last = (np.exp(-level / 2) ** (1 / KARRAS_RHO) for level in (finite[-1], finite[0]))
        wanted = -2 * KARRAS_RHO * np.log(np.linspace(first, last, points))
    nearest = {int(np.argmin(np.abs(levels - level))) + 1 for level in wanted[1:]}
    return sorted(nearest | {start}, reverse=True)


class Numbers(NamedTuple, Generic[Number]):
    """What a step needs besides images: numbers of the schedule and weights of the sampler, all float64."""

    t: Number
    here: Number
    """alpha-bar of step t."""
    on_x0: Number
    on_rest: Number
    """What the estimate of x_0 weighs in the result, and what x_t (ancestral) or the noise (others) does."""
    t_next: Number
    before: Number
    """alpha-bar of the next step, 1 at the end."""
    s_here: Number
    s_before: Number
    """s = sqrt((1 - a) / a); 0 where Heun's method has no use for it."""


@torch.no_grad()
def reverse(
    denoise: Denoiser,
    x: Tensor,
    *,
    start: int,
    schedule: Schedule,
    prediction: Prediction,
    settings: Reverse,
    noise: Noise,
    adjust: Adjust | None = None,
    through: Through = directly,
    grid: list[int] | None = None,
) -> Tensor:
    """Run the reverse process from x_start = `x` [N,...] and return the sample of x_0. No noise is added at the end.

    The steps are those of `grid_of`, or the falling ones of `grid`. They are functions of tensors alone, asked
    for by way of `through`: whole, or with `adjust`, which belongs to some images only, just their estimates of x_0.
    The numbers of all steps are brought to the device once.
    """
    moves = _Moves(denoise, prediction, settings.clip, adjust, through)
    steps = grid_of(settings, start, schedule) if grid is None else grid
    plan = [_step(settings, schedule, t, t_next) for t, t_next in zip(steps, [*steps[1:], 0], strict=True)]
    table = torch.tensor([numbers for _, numbers, _ in plan], dtype=torch.float64).to(x.device)
    for (kind, _, spread), t, row in zip(plan, steps, table, strict=True):
        x = moves.make(kind, x, row)
        if spread > 0.0:
            x = x + spread * noise(t)
    return x


def _step(settings: Reverse, schedule: Schedule, t: int, t_next: int) -> tuple[Sampler, Numbers[float], float]:
    """Return the move that leads from `t` to `t_next`, its numbers, and the noise to be added after it.

    Heun's last step, to s = 0, is Euler's alone, which is DDIM's; so is one from s = infinity (alpha-bar 0), where no
    slope is finite.
    """
    here = float(schedule.alpha_bars[t - 1])
    before = float(schedule.alpha_bars[t_next - 1]) if t_next else 1.0
    if settings.sampler == "ancestral":
        on_x0, on_xt, spread = _ancestral(here, before, settings.variance)
        return "ancestral", Numbers(t, here, on_x0, on_xt, t_next, before, 0.0, 0.0), spread
    eta = settings.eta if settings.sampler == "ddim" else 0.0
    on_x0, on_noise, spread = _ddim(here, before, eta)
    if settings.sampler == "ddim" or before == 1.0 or here == 0.0:
        return "ddim", Numbers(t, here, on_x0, on_noise, t_next, before, 0.0, 0.0), spread
    s_here, s_before = (((1.0 - a) / a) ** 0.5 for a in (here, before))
    return "heun", Numbers(t, here, on_x0, on_noise, t_next, before, s_here, s_before), spread


def _ancestral(here: float, before: float, variance: str) -> tuple[float, float, float]:
    """Posterior mean and noise of Ho et al. 2020, section 3.2, with beta' of the stride; none at the last step."""
    on_x0, on_xt, small = posterior_between(here, before)
    large = 0.0 if before == 1.0 else 1.0 - here / before
    return on_x0, on_xt, (large if variance == "large" else small) ** 0.5


def _ddim(here: float, before: float, eta: float) -> tuple[float, float, float]:
    """Song, Meng and Ermon 2021, eqs. 12 and 16: what x_0 and the noise found in x_t weigh, and the noise added."""
    variance = eta**2 * (1.0 - before) / (1.0 - here) * (1.0 - here / before)
    return before**0.5, max(1.0 - before - variance, 0.0) ** 0.5, variance**0.5


@dataclass(frozen=True)
class _Moves:
    """The moves of one reverse process, as functions of x [N,...] and a row of `Numbers`."""

    denoise: Denoiser
    prediction: Prediction
    clip: bool
    adjust: Adjust | None
    through: Through

    def make(self, kind: Sampler, x: Tensor, row: Tensor) -> Tensor:
        """Return x after the move called `kind`, without noise."""
        move = {"ddim": self.ddim, "ancestral": self.ancestral, "heun": self.heun}[kind]
        if self.adjust is not None:
            return move(x, row)
        return self.through((kind, self.clip), move, x, row, evaluations=2 if kind == "heun" else 1)

    def ancestral(self, x: Tensor, row: Tensor) -> Tensor:
        """To the mean of the posterior."""
        at = Numbers(*row)
        mean: Tensor = at.on_x0 * self._x0(x, at.t, at.here) + at.on_rest * x
        return mean

    def ddim(self, x: Tensor, row: Tensor) -> Tensor:
        """Along the noise, recomputed from the (clipped, adjusted) x_0."""
        at = Numbers(*row)
        return _along(self._x0(x, at.t, at.here), x, at)

    def heun(self, x: Tensor, row: Tensor) -> Tensor:
        """Karras et al. 2022, algorithm 1, lines 7 to 11: Euler's step, corrected by the slope where it ends."""
        at = Numbers(*row)
        x0 = self._x0(x, at.t, at.here)
        euler = _along(x0, x, at)
        scaled, end = x / at.here.sqrt(), euler / at.on_x0
        slopes = (scaled - x0) / at.s_here + (end - self._x0(euler, at.t_next, at.before)) / at.s_before
        corrected: Tensor = at.on_x0 * (scaled + (at.s_before - at.s_here) / 2 * slopes)
        return corrected

    def _x0(self, x: Tensor, t: Tensor, here: Tensor) -> Tensor:
        """The estimate of x_0, clipped and adjusted."""
        if self.adjust is None:
            return self._estimate(x, t, here)
        return self.adjust(self.through(("estimate", self.clip), self._estimate, x, t, here), here)

    def _estimate(self, x: Tensor, t: Tensor, here: Tensor) -> Tensor:
        x0 = x0_from(self.prediction, self.denoise(x, t.long().expand(len(x))), x, here)
        return x0.clamp(-1.0, 1.0) if self.clip else x0


def _along(x0: Tensor, x: Tensor, at: Numbers[Tensor]) -> Tensor:
    return at.on_x0 * x0 + at.on_rest * epsilon_from("x0", x0, x, at.here)
