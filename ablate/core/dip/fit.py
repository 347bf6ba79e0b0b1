"""The Deep Image Prior (Ulyanov, Vedaldi, Lempitsky 2018): a fresh network per image, fitted to it, stopped early.

min over theta of ||f_theta(z + rho n_k) - y||^2 with z fixed and n_k drawn afresh at every step. The fit passes close
to the clean image before it reproduces the noise; where to stop is the method's open question, so the rule is named:
``fixed`` after `steps`, ``wmv`` at the least windowed moving variance of the outputs (ES-WMV, Wang et al. 2023), or
``oracle`` at the best PSNR against the clean image, which no real restoration knows and no method may be compared by.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ablate.core.dip.skipnet import Architecture, Bank
from ablate.core.settings.prior import IMAGES_AT_ONCE
from ablate.core.shared.seeding import generator
from ablate.errors import DivergedError

StopRule = Literal["fixed", "wmv", "oracle"]
OnStep = Callable[[int, int, float], None]
Losses = Callable[[slice, Tensor], Tensor]
"""(which images, their networks' outputs [n,3,H,W] in [0,1]) -> the loss of each [n]."""

FALLBACK_EVERY_STEPS = 10
"""How often the weights are saved, and taken back when the fit has collapsed since."""


@dataclass(frozen=True)
class DipSettings:
    """How each image is fitted. The defaults suit 32x32 images; Ulyanov's for 512x512 are in the comments."""

    architecture: Architecture = "skip"
    channels: int = 16  # 128
    scales: int = 3  # 5; image sides must be divisible by 2**scales
    skip: int = 4
    code_channels: int = 32
    lr: float = 0.01
    steps: int = 150  # 1800 to 3000; the most that are done when the rule may stop earlier
    stop: StopRule = "wmv"
    ema: float = 0.9  # 0.99; weight of the past in the running average of outputs, which is what is returned
    window: int = 20  # 100; outputs over which the variance is taken, in steps
    patience: int = 60  # 1000; steps without a new minimum of the variance before stopping
    input_noise: float = 1 / 30  # rho; the deep decoder is meant to run with 0
    image_channels: int = 3
    fallback_db: float = 5.0  # PSNR against the noisy image may drop this far before saved weights are taken back


@dataclass(frozen=True)
class DipFit:
    """What a fit gave, image by image, in the order of the input."""

    restored: Tensor
    """[N,3,H,W] float32 in [0,1]: the running average of outputs at `stopped_at`."""
    stopped_at: Tensor
    """[N] int64: the step (counted from 1) whose running average was returned."""
    curve: Tensor
    """[steps,N] float32: mean squared error against the noisy image; NaN once an image's fit had ended."""
    clean_psnr: Tensor | None
    """[steps,N,2] float32, dB: PSNR of the output and of the running average against `clean`, when that was given."""
    steps_done: int
    """Steps computed in all, summed over images."""
    seconds: float


def fit(
    noisy: Tensor,
    settings: DipSettings,
    *,
    seed: int,
    on_step: OnStep | None = None,
    clean: Tensor | None = None,
    indices: Sequence[int] | None = None,
    losses: Losses | None = None,
) -> DipFit:
    """Fit one fresh network to each image of `noisy` ([N,3,H,W] in [0,1]) and return what they restored.

    Image i draws everything from streams addressed by (seed, purpose, ``indices[i]``), by default its position. In
    float64 its result is the one it would have alone; in float32 Adam blows the rounding of vanishing gradients up
    within a few steps, so its digits (not their distribution) depend on the group of images it is fitted with.
    `on_step` hears (steps done, steps at most, loss). `clean` is needed by the oracle rule and is otherwise only
    recorded. `losses` replaces the mean squared error against `noisy` where that is not what was measured; `noisy` then
    gives the sizes only. Raises DivergedError at the first non-finite loss and ValueError for sizes the architecture
    cannot take.
    """
    if settings.stop == "oracle" and clean is None:
        raise ValueError("the oracle rule needs the clean images")
    members = list(range(len(noisy))) if indices is None else list(indices)
    groups = groups_of(len(noisy), noisy.device.type)
    total = settings.steps * len(groups)
    start = time.perf_counter()
    parts = []
    for number, chosen in enumerate(groups):
        own = None if losses is None else partial(losses, chosen)
        known = None if clean is None else clean[chosen]
        fitting = Fitting(noisy[chosen], settings, seed, members[chosen], known, own)
        for step, loss in fitting.run():
            if on_step is not None:
                on_step(number * settings.steps + step, total, loss)
        parts.append(fitting)
    return DipFit(
        restored=torch.cat([part.stop.best for part in parts]),
        stopped_at=torch.cat([part.stop.best_step for part in parts]),
        curve=torch.cat([part.curve for part in parts], dim=1),
        clean_psnr=None if clean is None else torch.cat([part.clean_psnr for part in parts], dim=1),
        steps_done=sum(part.steps_done for part in parts),
        seconds=time.perf_counter() - start,
    )


def _mean_squared(noisy: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda outputs: (outputs - noisy).square().mean((1, 2, 3))


def groups_of(count: int, device: str) -> list[slice]:
    """Return which of `count` images are fitted in one program each, in order."""
    width = images_at_once(device)
    return [slice(first, min(first + width, count)) for first in range(0, count, width)]


def images_at_once(device: str) -> int:
    """Return how many networks one program fits on `device` (``cpu`` or ``cuda``)."""
    return IMAGES_AT_ONCE[device]


class Fitting:
    """One bank's fit of images `noisy` [N,3,H,W] in [0,1] with the addresses `members`, step by step.

    `settings.steps` only says when to stop: the first 100 steps of a long fit are a fit of 100 steps, under every
    stop rule, so `state` of one continues as the other. `losses` replaces the mean squared error against `noisy`.
    """

    def __init__(
        self,
        noisy: Tensor,
        settings: DipSettings,
        seed: int,
        members: list[int],
        clean: Tensor | None = None,
        losses: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.losses = _mean_squared(noisy) if losses is None else losses
        self.clean, self.settings = clean, settings
        self.device = noisy.device
        count, device = len(noisy), noisy.device
        self.bank = self.new_bank(count)
        side = _code_sides(noisy, settings, self.bank.code_shrink)
        self.bank.draw([generator(seed, "dip-init", member) for member in members])
        self.bank.to(device, noisy.dtype)
        self.weights = dict(self.bank.named_parameters())
        self.code = torch.empty(count, self.bank.code_channels, *side)
        for code, member in zip(self.code, members, strict=True):
            code.uniform_(0, 0.1, generator=generator(seed, "dip-code", member))
        self.code = self.code.to(device, noisy.dtype)
        self.noise = [generator(seed, "dip-noise", member, device=device.type) for member in members]
        self.adam = torch.optim.Adam(self.weights.values(), lr=settings.lr, fused=True)
        self.stop = StopWatch(settings, noisy)
        self.saved = [parameter.detach().clone() for parameter in self.weights.values()]
        self.saved_loss = torch.full((count,), torch.inf, device=device)
        self.step = 0
        self.curve = torch.full((settings.steps, count), torch.nan, device=device)
        self.clean_psnr = torch.full((settings.steps, count, 2), torch.nan, device=device)
        self.steps_done = 0

    def new_bank(self, count: int) -> Bank:
        """`count` networks of the shape of the settings, not drawn yet."""
        settings = self.settings
        return Bank(
            settings.architecture,
            count=count,
            channels=settings.channels,
            scales=settings.scales,
            skip=settings.skip,
            code_channels=settings.code_channels,
            image_channels=settings.image_channels,
        )

    @property
    def ended(self) -> bool:
        """True when `settings.steps` are done, or every image's rule has stopped it."""
        return self.step >= self.settings.steps or self.stop.all_done()

    def run(self) -> Iterator[tuple[int, float]]:
        """Fit until it has ended; yield (step, mean loss) after each step."""
        while not self.ended:
            loss = self.follow(*self.descend())
            yield self.step, loss

    def follow(self, output: Tensor, losses: Tensor) -> float:
        """Take note of a step that was done: outputs [N,3,H,W], losses [N] from before it. Return their mean.

        Raises DivergedError when one is not finite.
        """
        step, active = self.step + 1, ~self.stop.done
        values: list[float] = losses.tolist()  # the one time that a step waits for the device
        if not all(map(math.isfinite, values)):
            raise DivergedError(f"DIP loss is not finite at step {step}", images_seen=step * len(losses))
        self.stop.average_in(output)
        self._fall_back(step, losses)
        self.curve[step - 1] = torch.where(active, losses, torch.nan)
        self.steps_done += int(active.sum()) if self.stop.may_end else len(values)
        quality = self._quality(output, step, active)
        self.stop.see(step, output, quality)
        self.step = step
        return sum(values) / len(values)

    def state(self) -> dict[str, Any]:
        """All that the following steps depend on: weights, moments, averages, streams; plain tensors and numbers."""
        stop = self.stop
        return {
            "step": self.step,
            "steps_done": self.steps_done,
            "weights": [parameter.detach() for parameter in self.weights.values()],
            "adam": self.adam.state_dict(),
            "saved": self.saved,
            "saved_loss": self.saved_loss,
            "noise": [stream.get_state() for stream in self.noise],
            "average": stop.average,
            "recent": stop.recent,
            "best": (stop.best, stop.best_step, stop.best_value, stop.done),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; curves begin there."""
        device, stop = self.device, self.stop
        self.step, self.steps_done = int(state["step"]), int(state["steps_done"])
        with torch.no_grad():
            for mine, saved in zip(self.weights.values(), state["weights"], strict=True):
                mine.copy_(saved)
        self.adam.load_state_dict(state["adam"])
        self.saved = [weights.to(device) for weights in state["saved"]]
        self.saved_loss = state["saved_loss"].to(device)
        for stream, saved in zip(self.noise, state["noise"], strict=True):
            stream.set_state(saved)
        stop.average = state["average"].to(device)
        stop.recent = [output.to(device) for output in state["recent"]]
        stop.best, stop.best_step, stop.best_value, stop.done = (kept.to(device) for kept in state["best"])

    def codes(self) -> Tensor:
        """The input of every network in this step, [N,C,h,w]: fresh noise is drawn."""
        code = self.code
        if self.settings.input_noise:
            fresh = torch.empty_like(code)
            for noise, stream in zip(fresh, self.noise, strict=True):
                noise.normal_(generator=stream)
            code = code + self.settings.input_noise * fresh
        return code

    def descend(self) -> tuple[Tensor, Tensor]:
        """One step of every network; return outputs [N,3,H,W] and losses [N] from before the step."""
        output = self.bank(self.codes().flatten(0, 1).unsqueeze(0))
        losses = self.losses(output)
        self.adam.zero_grad()
        torch.autograd.backward(losses.sum())  # a sum, not a mean: each network descends its own loss as if alone
        self.adam.step()
        return output.detach(), losses.detach()

    def _fall_back(self, step: int, losses: Tensor) -> None:
        """Save the weights now and then; networks whose loss has risen by more than `fallback_db` take theirs back."""
        if step % FALLBACK_EVERY_STEPS:
            return
        collapsed = losses > self.saved_loss * 10 ** (self.settings.fallback_db / 10)
        with torch.no_grad():
            for parameter, saved in zip(self.weights.values(), self.saved, strict=True):
                mask = collapsed.view(-1, *(1,) * (parameter.dim() - 1))
                parameter.copy_(torch.where(mask, saved, parameter))
                saved.copy_(parameter)
        self.saved_loss = torch.where(collapsed, self.saved_loss, losses)

    def _quality(self, output: Tensor, step: int, active: Tensor) -> Tensor | None:
        """PSNR [N] of the running average against the clean images, recorded beside the output's; None without."""
        if self.clean is None:
            return None
        both = torch.stack([_psnr(output, self.clean), _psnr(self.stop.average, self.clean)], dim=1)
        self.clean_psnr[step - 1] = torch.where(active[:, None], both, torch.nan)
        return both[:, 1]


class StopWatch:
    """Running average, stop rule, and the best average so far, for N images at once."""

    def __init__(self, settings: DipSettings, noisy: Tensor):
        self.settings = settings
        count, device = len(noisy), noisy.device
        self.average = torch.empty(0)
        self.recent: list[Tensor] = []
        self.best = torch.zeros_like(noisy)
        self.best_step = torch.zeros(count, dtype=torch.int64, device=device)
        self.best_value = torch.full((count,), torch.inf, device=device)
        self.done = torch.zeros(count, dtype=torch.bool, device=device)

    @property
    def may_end(self) -> bool:
        """True when the rule may end a fit before its last step."""
        return self.settings.stop == "wmv"

    def all_done(self) -> bool:
        """True when it has ended every fit."""
        return self.may_end and bool(self.done.all())

    def average_in(self, output: Tensor) -> None:
        """Update the running average of outputs; the first output starts it."""
        started = self.average.numel() > 0
        self.average = torch.lerp(output, self.average, self.settings.ema) if started else output.clone()

    def see(self, step: int, output: Tensor, quality: Tensor | None) -> None:
        """Apply the rule after `step`: keep what improved, and mark the images whose fit has ended."""
        value = self._value(output, quality)
        if value is None:  # nothing to judge by yet: keep the latest
            self._keep(step, ~self.done)
        else:
            better = ~self.done & (value < self.best_value)
            self.best_value = torch.where(better, value, self.best_value)
            self._keep(step, better)
            if self.may_end:
                self.done |= step - self.best_step >= self.settings.patience

    def _value(self, output: Tensor, quality: Tensor | None) -> Tensor | None:
        """What the rule minimises, per image; None when it has nothing to say."""
        if self.settings.stop == "oracle":
            return None if quality is None else -quality
        if self.settings.stop == "fixed":
            return None
        self.recent = [*self.recent[-(self.settings.window - 1) :], output]
        if len(self.recent) < self.settings.window:
            return None
        return torch.stack(self.recent).var(dim=0, correction=0).mean((1, 2, 3))

    def _keep(self, step: int, chosen: Tensor) -> None:
        self.best = torch.where(chosen[:, None, None, None], self.average, self.best)
        self.best_step = torch.where(chosen, step, self.best_step)


def _psnr(a: Tensor, b: Tensor) -> Tensor:
    """PSNR [N] in dB of images in [0,1], for curves and the oracle."""
    return -10 * torch.log10((a - b).square().mean((1, 2, 3)))


def _code_sides(noisy: Tensor, settings: DipSettings, shrink: int) -> tuple[int, int]:
    """Height and width of the code; ValueError when the image cannot be halved `scales` times down to 2 pixels."""
    height, width = noisy.shape[-2:]
    step = 2**settings.scales
    if height % step or width % step or min(height, width) < 2 * step:
        raise ValueError(f"images of {height}x{width} pixels cannot be halved {settings.scales} times")
    return height // shrink, width // shrink
