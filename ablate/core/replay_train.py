"""Training of the founding report's networks: its loop, on resident images, continued from checkpoints bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ablate.core.cache import StageFolder
from ablate.core.data import as_unit
from ablate.core.seeding import generator
from ablate.errors import DivergedError, StoppedError
from ablate.interface import Report
from ablate.recipe import Recipe

Predict = Callable[[Tensor, torch.Generator], Tensor]
"""A batch [N,3,H,W] in [-1,1] and this step's noise -> the reconstruction that is compared with the batch."""
_SPEAK_EVERY_STEPS = 10
RESIDENT_IMAGES = 8192
"""Up to this many images are held as floats as well (100 MB)."""


@dataclass
class Training:
    """One network in training on mean squared error. `step` counts finished updates, `seconds` what they took."""

    name: str
    network: nn.Module
    predict: Predict
    images: Tensor
    """uint8 [N,3,H,W] on the device."""
    seed: int
    lr: float
    batch: int
    epochs: int
    score: Callable[[], float] | None = None
    """PSNR at the end of an epoch, for the learning curve, not counted in `seconds`; None for a curve nobody sees."""
    step: int = 0
    seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)
    """[images seen, mean loss of the epoch, PSNR, seconds trained so far] per finished epoch."""
    loss_sum: float = 0.0

    def __post_init__(self) -> None:
        self.batch = min(self.batch, len(self.images))
        self.per_epoch = math.ceil(len(self.images) / self.batch)
        self.total = self.per_epoch * self.epochs
        # The same floats either way; a small set is converted once, which is a fifth of the autoencoder's time.
        self.resident = as_unit(self.images) if len(self.images) <= RESIDENT_IMAGES else None
        self.network.to(self.images.device).to(memory_format=torch.channels_last)
        self.adam = torch.optim.Adam(self.network.parameters(), lr=self.lr, fused=True)

    @property
    def images_seen(self) -> int:
        """Training images seen in the finished updates."""
        epochs, rest = divmod(self.step, self.per_epoch)
        return epochs * len(self.images) + rest * self.batch

    def update(self) -> float:
        """Do one update and return its loss. Raises DivergedError at the first that is not finite."""
        start = time.perf_counter()
        epoch, place = divmod(self.step, self.per_epoch)
        if place == 0 or not hasattr(self, "_order"):
            order = torch.randperm(len(self.images), generator=generator(self.seed, f"{self.name}-order", epoch))
            self._order = order.to(self.images.device)
        chosen = self._order[place * self.batch : (place + 1) * self.batch]
        batch = as_unit(self.images[chosen]) if self.resident is None else self.resident[chosen]
        x = batch.contiguous(memory_format=torch.channels_last)
        noise = generator(self.seed, f"{self.name}-noise", self.step, device=self.images.device.type)
        loss = (self.predict(x, noise) - x).square().mean()
        self.adam.zero_grad()
        torch.autograd.backward(loss)
        self.adam.step()
        self.step += 1
        value = loss.detach().item()
        self.seconds += time.perf_counter() - start
        if not math.isfinite(value):
            raise DivergedError(f"{self.name} loss became {value}", images_seen=self.images_seen)
        self._account(value)
        return value

    def _account(self, loss: float) -> None:
        self.loss_sum += loss
        if self.step % self.per_epoch == 0:
            quality = self.score() if self.score is not None else math.nan
            self.curve.append([float(self.images_seen), self.loss_sum / self.per_epoch, quality, self.seconds])
            self.loss_sum = 0.0

    def state(self) -> dict[str, Any]:
        """Everything that continuing needs, as tensors and plain data."""
        return {
            "network": self.network.state_dict(),
            "adam": self.adam.state_dict(),
            "seconds": self.seconds,
            "curve": self.curve,
            "loss_sum": self.loss_sum,
        }

    def restore(self, step: int, state: dict[str, Any]) -> None:
        """Continue from what `state` returned after `step` updates."""
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.seconds = step, state["seconds"]
        # A cache that was filled before points had a time gives points without one.
        self.curve = [[*point, math.nan][:4] for point in state["curve"]]
        self.loss_sum = state["loss_sum"]


def train(training: Training, folder: StageFolder, report: Report, recipe: Recipe) -> float:
    """Train to the end, from the newest state in `folder`, and return the seconds that state had cost before.

    States are kept at the end of every epoch, because a shorter training is the beginning of a longer one. Raises
    StoppedError after a checkpoint when the engine asks to stop.
    """
    with folder.locked(lambda: report.stop_requested):
        found = folder.newest("epoch", "checkpoint", at_most=training.total)
        if found is not None:
            training.restore(*found)
        reused = training.seconds
        _tell_curve(training, report, recipe, first=0)
        while training.step < training.total:
            _pause(training, folder, report)
            loss = training.update()
            if training.step % training.per_epoch == 0:
                folder.save("epoch", training.step, training.state())
                _tell_curve(training, report, recipe, first=len(training.curve) - 1)
            if training.step % _SPEAK_EVERY_STEPS == 0 or training.step == training.total:
                report.progress(recipe, training.name, training.step, training.total, loss=loss)
    return reused


def _pause(training: Training, folder: StageFolder, report: Report) -> None:
    """Save a checkpoint when one is due, and leave when asked to."""
    stop = report.stop_requested
    if stop or report.checkpoint_due:
        folder.save("checkpoint", training.step, training.state())
        folder.prune("checkpoint", 1)
        report.checkpointed()
    if stop:
        raise StoppedError(f"stopped after {training.step} of {training.total} updates of {training.name}")


def _tell_curve(training: Training, report: Report, recipe: Recipe, first: int) -> None:
    """Report the epochs from `first` on, if this training has a learning curve."""
    if training.score is None:
        return
    for images, loss, quality, seconds in training.curve[first:]:
        values = {"loss": loss, "train_seconds": seconds} | ({"psnr": quality} if math.isfinite(quality) else {})
        report.curve(recipe, int(images), **values)
