"""A network together with the noise schedule and the prediction it was trained for."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ablate.core.diffusion.build_unet import build_unet
from ablate.core.diffusion.forward_process import Prediction, epsilon_from, network_input, x0_from
from ablate.core.programs.compiled_forward import Forward
from ablate.core.programs.cuda_graphs import Compute, programs_on
from ablate.core.schedules import Schedule, make_schedule
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import autocast


def schedule_of(settings: DdpmDipSettings) -> Schedule:
    """The noise schedule the settings name."""
    return make_schedule(
        settings.noise_schedule,
        settings.diffusion_steps,
        power=settings.schedule_power,
        zero_terminal_snr=settings.zero_terminal_snr,
    )


@dataclass
class Denoiser:
    """Called with x_t [N,3,H,W] and t int64 [N] (1..T), gives the network's prediction."""

    network: nn.Module
    schedule: Schedule
    prediction: Prediction
    precision: str
    device: torch.device
    evaluated: int = field(default=0, compare=False)
    """Images put through the network so far, each time counted."""
    guides: Tensor | None = None
    """What a guided network is shown, image by image; see `guided_by`."""

    def __post_init__(self) -> None:
        self._programs = programs_on(self.device)
        self._alpha_bars = torch.tensor([1.0, *self.schedule.alpha_bars], dtype=torch.float64, device=self.device)

    @classmethod
    def build(cls, settings: DdpmDipSettings, seed: int, device: torch.device) -> Denoiser:
        """Return an untrained denoiser with weights addressed by `seed`."""
        network = build_unet(
            channels=settings.channels,
            mults=settings.mults,
            blocks=settings.blocks,
            attention=settings.attention,
            dropout=settings.dropout,
            image_size=settings.image_shape[1],
            image_channels=settings.image_shape[0],
            seed=seed,
            guided=settings.is_guided,
            kind=settings.unet,
        )
        if device.type == "cpu":
            # Measured: a sixth faster. On a GPU the layout is cuDNN's business.
            network.to(memory_format=torch.channels_last)
        return cls(network.to(device), schedule_of(settings), settings.prediction, settings.precision, device)

    def alpha_bar(self, t: Tensor) -> Tensor:
        """Return alpha-bar of steps `t` (int64 [N], 0..T) as float64 [N]."""
        return self._alpha_bars[t]

    def __call__(self, xt: Tensor, t: Tensor) -> Tensor:
        """Predict, in evaluation mode and in float32 outside the network."""
        return self.through("network", self.predict, xt, t)

    def through(self, name: Hashable, compute: Compute, *inputs: Tensor, evaluations: int = 1) -> Tensor:
        """Return ``compute(*inputs)``, a function that asks `predict`; on a GPU as a program (see `Programs`).

        Images [N,...] come first among the inputs. Each counts `evaluations` times as evaluated.
        """
        self.evaluated += evaluations * len(inputs[0])
        return self._programs.run(name, compute, *inputs)

    @torch.no_grad()
    def predict(self, xt: Tensor, t: Tensor) -> Tensor:
        """Predict as part of a larger function, which counts the images."""
        self.network.eval()
        return self.output(xt, t, None if self.guides is None else self.guides[: len(xt)])

    @property
    def recorded(self) -> bool:
        """True when something that asks the network has been recorded."""
        return self._programs.recorded > 0

    def guided_by(self, guides: Tensor) -> Denoiser:
        """The same network, shown ``guides[i]`` (float32 [N,3,H,W] in [-1,1]) beside image i of what it is asked."""
        return replace(self, guides=guides, evaluated=0)

    def output(self, xt: Tensor, t: Tensor, guides: Tensor | None = None, forward: Forward | None = None) -> Tensor:
        """Return the network's output for x_t, scaled as the prediction wants it, in the mode it is in.

        `forward` computes what the network does in another way, for example compiled.
        """
        shown = network_input(self.prediction, xt, self.alpha_bar(t))
        if guides is not None:
            shown = torch.cat([shown, guides], dim=1)
        with autocast(self.precision, self.device):
            output: Tensor = (forward or self.network)(shown, t)
        return output.float()

    def x0(self, xt: Tensor, t: Tensor) -> Tensor:
        """Estimate of x_0 from one evaluation, clipped to [-1, 1]."""
        return x0_from(self.prediction, self(xt, t), xt, self.alpha_bar(t)).clamp(-1.0, 1.0)

    def epsilon(self, xt: Tensor, t: Tensor) -> Tensor:
        """Estimate of the noise from one evaluation."""
        return epsilon_from(self.prediction, self(xt, t), xt, self.alpha_bar(t))
