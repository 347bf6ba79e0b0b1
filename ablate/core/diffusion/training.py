"""Training of the denoiser: resident data, addressed randomness, and checkpoints that continue bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ablate.core.data import as_unit
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.ema import Ema
from ablate.core.diffusion.forward_process import (
    add_noise,
    epsilon_from,
    lognormal_steps,
    loss_weights,
    stratified_steps,
    target_of,
)
from ablate.core.diffusion.muon import Muon, optimizer_for
from ablate.core.diffusion.training_course import TrainingCourse
from ablate.core.diffusion.training_target import ORDINARY, TrainingTarget
from ablate.core.programs.compiled_forward import Forward, Program
from ablate.core.programs.lanes import AdamMoments, MomentsOf
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import autocast
from ablate.core.shared.seeding import address, generator
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError, StoppedError
from ablate.interface import TrialContext
from ablate.recipe import Recipe

STAGE = "denoiser"
SNAPSHOT_PARAMETERS = 4_000_000
"""Larger networks are not kept at every point of the curve, only at their end: it would fill the disk."""
CHECK_EVERY_GPU = 16
"""Losses are looked at once in so many updates on a GPU: looking waits for the device."""


def learning_rate(settings: DdpmDipSettings, step: int, total: int) -> float:
    """Step size of update `step` (0-based): linear warm-up (Ho et al. 2020, appendix B), then constant or cosine."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.lr_decay == "constant":
        return settings.lr * warm
    rest = max(total - settings.warmup_steps, 1)
    done = min(max(step - settings.warmup_steps, 0) / rest, 1.0)
    return settings.lr * warm * 0.5 * (1.0 + math.cos(math.pi * done))


def choose_images(train: Tensor, settings: DdpmDipSettings, seed: int) -> Tensor:
    """Return the training images of a trial: all, or a seeded subset (uint8 [N,3,H,W], same device)."""
    chosen = chosen_images(len(train), settings, seed)
    return train if chosen is None else train[chosen.to(train.device)]


def chosen_images(count: int, settings: DdpmDipSettings, seed: int) -> Tensor | None:
    """Return which of `count` training images a trial trains on, int64 positions; None for all of them."""
    if not settings.train_images or settings.train_images >= count:
        return None
    return torch.randperm(count, generator=generator(seed, "train-images"))[: settings.train_images]


@dataclass
class Trainer:
    """One denoiser in training. `step` counts finished updates, `seconds` the time they took."""

    settings: DdpmDipSettings
    images: Tensor
    """uint8 [N,3,H,W] on the device."""
    seed: int
    lesson: TrainingTarget = ORDINARY
    step: int = 0
    seconds: float = 0.0
    lanes: int = 1
    """Width of the program that trains it; 1 when it is trained alone."""
    program: Program | None = None
    """The compiled network, where it is compiled; smaller batches, at the end of an epoch, run as they are."""
    compiled_updates: int = 0
    """How many of the updates a compiled network has done."""
    _losses: list[Tensor] = field(default_factory=list)
    _last_loss: float = math.nan

    def __post_init__(self) -> None:
        self.device = self.images.device
        batch = min(self.settings.batch_size, len(self.images))
        self.course = TrainingCourse(len(self.images), batch, self.settings.epochs, self.lesson.updates_spent)
        self.denoiser = Denoiser.build(self.settings, self.seed, self.device)
        if self.lesson.weights is not None:
            self.denoiser.network.load_state_dict(dict(self.lesson.weights))
        self.ema = Ema(self.denoiser.network, self.settings.ema_decay)
        self.optimizer = optimizer_for(self.settings.optimizer, self.denoiser.network, self.settings.lr)
        self._order_of: tuple[int, Tensor] | None = None

    @property
    def moments(self) -> MomentsOf:
        """The optimiser's averages, for a lane to go on from."""
        return self.optimizer if isinstance(self.optimizer, Muon) else AdamMoments(self.optimizer)

    @property
    def done(self) -> bool:
        """True when the last update is behind us."""
        return self.step >= self.course.total

    def update(self) -> None:
        """Do one update of the weights and of their average. Raises DivergedError at the first non-finite loss."""
        loss = self._loss(*self.draw(), self._smooth(self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.step, self.course.total)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own signature has no types here
        if self.settings.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.denoiser.network.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        self._count_update()
        self.ema.update(self.step)
        self._losses.append(loss.detach())
        if self.device.type == "cpu" or len(self._losses) >= CHECK_EVERY_GPU:
            self.settle()

    def run_by(self, program: Program | None) -> None:
        """Go on with a compiled network, which is compiled now, forward and backward; no number changes by that."""
        self.program = program
        if program is None:
            return
        weights = self._weights()
        channels = self.images.shape[1] * (2 if self.settings.is_guided else 1)
        shown = torch.zeros(self.course.batch, channels, *self.images.shape[2:], device=self.device)
        t = torch.ones(self.course.batch, dtype=torch.int64, device=self.device)
        with autocast(self.settings.precision, self.device):
            output = program(weights, shown, t)
        torch.autograd.grad(output.float().sum(), list(weights.values()))

    def _weights(self) -> dict[str, Tensor]:
        """The tensors that a program is given, by name."""
        return dict(self.denoiser.network.named_parameters())

    def _count_update(self) -> None:
        self.step += 1
        self.compiled_updates += self.program is not None

    def settle(self) -> float:
        """Check the losses since the last check; return the newest one. Waits for the device."""
        if self._losses:
            losses = torch.stack(self._losses).tolist()
            self._losses.clear()
            for back, loss in zip(range(len(losses) - 1, -1, -1), losses, strict=True):
                if not math.isfinite(loss):
                    images = self.course.images_seen(self.step - back)
                    raise DivergedError(f"loss became {loss} after {images} images", images_seen=images)
            self._last_loss = losses[-1]
        return self._last_loss

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return images [B,3,H,W] in [-1,1], noise of their shape and steps int64 [B] of the next update."""
        x0 = self._batch(self.step)
        noise = torch.randn(x0.shape, generator=self._generator("noise"), device=self.device)
        return x0, noise, self._steps(len(x0))

    def _generator(self, purpose: str) -> torch.Generator:
        return generator(self.seed, purpose, self.step, device=str(self.device))

    def _batch(self, step: int) -> Tensor:
        """Images of update `step`, float32 [B,3,H,W] in [-1,1]: a fresh permutation per epoch, half of it flipped."""
        return self._flipped(as_unit(self.images[self._chosen(step)]))

    def _smooth(self, step: int) -> Tensor | None:
        """The smoothed versions of the images of update `step`, flipped as they are."""
        return None if self.lesson.smooth is None else self._flipped(self.lesson.smooth[self._chosen(step)])

    def _chosen(self, step: int) -> Tensor:
        """Positions of the images of update `step`, int64 [B]."""
        epoch, place = divmod(step, self.course.per_epoch)
        if self._order_of is None or self._order_of[0] != epoch:
            order = torch.randperm(len(self.images), generator=generator(self.seed, "order", epoch))
            self._order_of = (epoch, order.to(self.device))
        return self._order_of[1][place * self.course.batch : (place + 1) * self.course.batch]

    def _flipped(self, batch: Tensor) -> Tensor:
        if not self.settings.horizontal_flip:
            return batch
        mirrored = torch.rand(len(batch), generator=self._generator("flip"), device=self.device) < 0.5
        return torch.where(mirrored[:, None, None, None], batch.flip(-1), batch)

    def _steps(self, batch: int) -> Tensor:
        """Which step each image of a batch is diffused to, int64 [batch]."""
        generator, last = self._generator("steps"), self.lesson.last_step or self.settings.diffusion_steps
        if self.settings.step_law == "lognormal":
            return lognormal_steps(batch, self.denoiser.schedule, generator).clamp_(max=last)
        return stratified_steps(batch, last, generator)

    def _loss(self, x0: Tensor, noise: Tensor, t: Tensor, smooth: Tensor | None) -> Tensor:
        settings, denoiser = self.settings, self.denoiser
        alpha_bar = denoiser.alpha_bar(t)
        if settings.dropout:
            torch.manual_seed(address(self.seed, "dropout", self.step))
        denoiser.network.train()
        if smooth is not None and self.lesson.literal:
            xt = add_noise(smooth, noise, alpha_bar)
            # The output that gives x_0 from this x_t is the one whose noise leads from x_0 to it.
            noise, smooth = epsilon_from("x0", x0, xt, alpha_bar), None
        else:
            xt = add_noise(x0, noise, alpha_bar)
        output = denoiser.output(xt, t, smooth, self._forward(len(xt)))
        error = (output - target_of(settings.prediction, x0, noise, alpha_bar)).square().flatten(1).mean(1)
        weights = loss_weights(settings.loss_weight, settings.prediction, alpha_bar)
        loss: Tensor = (weights.to(error.dtype) * error).mean()
        return loss

    def _forward(self, count: int) -> Forward | None:
        """The compiled network, for full batches."""
        if self.program is None or count < self.course.batch:
            return None
        return self.program.of(self.denoiser.network)

    def sync(self) -> None:
        """Bring network, average and optimiser up to date, where something else does the updates."""

    def state(self) -> dict[str, Any]:
        """All that the following updates depend on, and the seconds spent so far."""
        self.sync()
        return {
            "network": self.denoiser.network.state_dict(),
            "ema": self.ema.weights,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "lanes": self.lanes,
            "compiled": self.compiled_updates,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.denoiser.network.load_state_dict(state["network"])
        self.ema.load(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.compiled_updates = int(state.get("compiled", 0))
        if self.done:
            self.lanes = int(state.get("lanes", 1))


OnPoint = Callable[[int, float, Denoiser], None]
"""(training images seen, seconds trained so far, denoiser with averaged weights) at a point of the learning curve."""


def train(
    trainer: Trainer,
    folder: StageFolder,
    *,
    recipe: Recipe,
    context: TrialContext,
    on_point: OnPoint,
    before: Callable[[], object] = lambda: None,
) -> float:
    """Train a fresh `trainer` to the end, continuing whatever `folder` holds; the caller has locked it.

    `before` is called when there is something left to train. In the end the averaged weights are in its denoiser.
    Returns the seconds that were not spent now because they had been spent before. Raises DivergedError, or
    StoppedError after a checkpoint when the engine asks to stop.
    """
    found = folder.newest("step", "end", at_most=trainer.course.total)
    if found is not None:
        trainer.load(found[1])
    reused = trainer.seconds
    points = trainer.course.curve_steps()
    _replay_points(trainer, folder, points, on_point)
    if not trainer.done:
        before()
    while not trainer.done:
        _advance(trainer, min(step for step in points if step > trainer.step), folder, recipe, context)
        if trainer.step in points:
            _point(trainer, folder, on_point)
    if found is None or found[0] < trainer.course.total:
        folder.save("end", trainer.step, trainer.state())
        folder.prune("step", keep=0)
        context.checkpointed()
    trainer.sync()
    trainer.ema.use()
    return reused


def _advance(trainer: Trainer, until: int, folder: StageFolder, recipe: Recipe, context: TrialContext) -> None:
    """Do updates up to step `until`, with progress, checkpoints and the wish to stop looked at after each."""
    total = trainer.course.total
    began = time.perf_counter()

    def pause() -> float:
        nonlocal began
        loss = trainer.settle()
        now = time.perf_counter()
        trainer.seconds += now - began
        began = now
        return loss

    while trainer.step < until:
        trainer.update()
        if trainer.step % 10 == 0 or trainer.step == total:
            loss = pause()
            rate = trainer.step / trainer.seconds if trainer.seconds else 0.0
            context.progress(recipe, STAGE, trainer.step, total, loss=loss, steps_per_s=rate)
        if context.stop_requested or context.checkpoint_due:
            pause()
            folder.save("step", trainer.step, trainer.state())
            folder.prune("step", keep=2)
            context.checkpointed()
            began = time.perf_counter()
            if context.stop_requested:
                raise StoppedError(f"stopped after {trainer.step} of {total} updates")
    pause()


def keeps_snapshots(trainer: Trainer) -> bool:
    """True when the averaged weights are kept at every point of the curve."""
    return sum(weight.numel() for weight in trainer.ema.weights) <= SNAPSHOT_PARAMETERS


def _point(trainer: Trainer, folder: StageFolder, on_point: OnPoint) -> None:
    trainer.sync()
    if keeps_snapshots(trainer):
        folder.save("ema", trainer.step, {"ema": trainer.ema.weights, "seconds": trainer.seconds})
    with trainer.ema.applied():
        on_point(trainer.course.images_seen(trainer.step), trainer.seconds, trainer.denoiser)


def _replay_points(trainer: Trainer, folder: StageFolder, points: list[int], on_point: OnPoint) -> None:
    """Evaluate the points of the curve that earlier computation left in the cache."""
    live = [weight.clone() for weight in trainer.ema.weights]
    for step in (step for step in points if step <= trainer.step):
        snapshot = folder.load("ema", step)
        if snapshot is not None:
            trainer.ema.load(snapshot["ema"])
            with trainer.ema.applied():
                on_point(trainer.course.images_seen(step), snapshot.get("seconds", math.nan), trainer.denoiser)
    trainer.ema.load(live)
