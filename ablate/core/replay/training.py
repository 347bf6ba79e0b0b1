"""Training of the founding report's networks: its loop, on resident images, continued from checkpoints bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ablate.core.data import as_unit
from ablate.core.shared.seeding import generator
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError, StoppedError
from ablate.interface import TrialContext
from ablate.recipe import Recipe

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""A batch [N,3,H,W] in [-1,1] and this step's noise -> mean squared error of the batch's reconstruction."""
_SPEAK_EVERY_STEPS = 10
RESIDENT_IMAGES = 8192
"""Up to this many images are held as floats as well (100 MB)."""


@dataclass
class Training:
    """One network in training on mean squared error. `step` counts finished updates, `seconds` what they took."""

    name: str
    network: nn.Module
    loss: Loss
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
    lanes: int = 1
    """Width of the program that trains it; 1 when it is trained alone."""
    _order: tuple[int, Tensor] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.batch = min(self.batch, len(self.images))
        self.per_epoch = math.ceil(len(self.images) / self.batch)
        self.total = self.per_epoch * self.epochs
        self.network.to(self.images.device)
        self.adam = torch.optim.Adam(self.network.parameters(), lr=self.lr, fused=True)

    @cached_property
    def _floats(self) -> Tensor | None:
        """The same floats as a small set's bytes give, converted once."""
        return as_unit(self.images) if len(self.images) <= RESIDENT_IMAGES else None

    @property
    def images_seen(self) -> int:
        """Training images seen in the finished updates."""
        return self.images_after(self.step)

    def images_after(self, updates: int) -> int:
        """Training images seen in the first `updates` updates."""
        epochs, rest = divmod(updates, self.per_epoch)
        return epochs * len(self.images) + rest * self.batch

    def chosen_at(self, step: int) -> Tensor:
        """Indices of the images of update `step`, int64 [B] on the device: a fresh permutation per epoch."""
        epoch, place = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.images), generator=generator(self.seed, f"{self.name}-order", epoch))
            self._order = (epoch, order.to(self.images.device))
        return self._order[1][place * self.batch : (place + 1) * self.batch]

    def update(self) -> float:
        """Do one update and return its loss. Raises DivergedError at the first that is not finite."""
        start = time.perf_counter()
        chosen = self.chosen_at(self.step)
        x = as_unit(self.images[chosen]) if self._floats is None else self._floats[chosen]
        noise = generator(self.seed, f"{self.name}-noise", self.step, device=self.images.device.type)
        loss = self.loss(x, noise)
        self.adam.zero_grad()
        torch.autograd.backward(loss)
        self.adam.step()
        self.step += 1
        value = loss.detach().item()
        self.seconds += time.perf_counter() - start
        self.note(self.step - 1, value)
        if self.step % self.per_epoch == 0:
            self.end_epoch()
        return value

    def note(self, step: int, loss: float) -> None:
        """Take note of the loss of update `step`. Raises DivergedError when it is not finite."""
        if not math.isfinite(loss):
            raise DivergedError(f"{self.name} loss became {loss}", images_seen=self.images_after(step + 1))
        self.loss_sum += loss

    def end_epoch(self) -> None:
        """Add the epoch that ends with update `step` to the curve; the network is scored as it stands."""
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
            "lanes": self.lanes,
        }

    def restore(self, step: int, state: dict[str, Any]) -> None:
        """Continue from what `state` returned after `step` updates."""
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.seconds = step, state["seconds"]
        # A cache that was filled before points had a time gives points without one.
        self.curve = [[*point, math.nan][:4] for point in state["curve"]]
        self.loss_sum = state["loss_sum"]
        if step == self.total:
            self.lanes = state.get("lanes", 1)


def train(training: Training, folder: StageFolder, context: TrialContext, recipe: Recipe) -> float:
    """Train to the end, from the newest state in `folder`, and return the seconds that state had cost before.

    States are kept at the end of every epoch, because a shorter training is the beginning of a longer one. Raises
    StoppedError after a checkpoint when the engine asks to stop.
    """
    with folder.locked(lambda: context.stop_requested):
        found = folder.newest("epoch", "checkpoint", at_most=training.total)
        if found is not None:
            training.restore(*found)
        reused = training.seconds
        tell_curve(training, context, recipe, first=0)
        while training.step < training.total:
            _pause(training, folder, context)
            loss = training.update()
            if training.step % training.per_epoch == 0:
                save_epoch(training, folder, context, recipe)
            tell_progress(training, context, recipe, training.step, loss)
    return reused


def save_epoch(training: Training, folder: StageFolder, context: TrialContext, recipe: Recipe) -> None:
    """Save the state at the end of an epoch, and report the epoch."""
    folder.save("epoch", training.step, training.state())
    tell_curve(training, context, recipe, first=len(training.curve) - 1)


def tell_progress(training: Training, context: TrialContext, recipe: Recipe, updates: int, loss: float) -> None:
    """Report where a training is, now and then."""
    if updates % _SPEAK_EVERY_STEPS == 0 or updates == training.total:
        context.progress(recipe, training.name, updates, training.total, loss=loss)


def _pause(training: Training, folder: StageFolder, context: TrialContext) -> None:
    """Save a checkpoint when one is due, and leave when asked to."""
    stop = context.stop_requested
    if stop or context.checkpoint_due:
        folder.save("checkpoint", training.step, training.state())
        folder.prune("checkpoint", 2)
        context.checkpointed()
    if stop:
        raise StoppedError(f"stopped after {training.step} of {training.total} updates of {training.name}")


def tell_curve(training: Training, context: TrialContext, recipe: Recipe, first: int) -> None:
    """Report the epochs from `first` on, if this training has a learning curve."""
    if training.score is None:
        return
    for images, loss, quality, seconds in training.curve[first:]:
        values = {"loss": loss, "train_seconds": seconds} | ({"psnr": quality} if math.isfinite(quality) else {})
        context.curve(recipe, int(images), **values)
