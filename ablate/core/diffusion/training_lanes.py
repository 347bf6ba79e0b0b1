"""The denoiser's training in lanes: one U-Net per lane, mapped over stacked weights by ``torch.func.vmap``."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ablate.core.diffusion.ema import ema_decay_at
from ablate.core.diffusion.forward_process import add_noise, loss_weights, network_input, target_of
from ablate.core.diffusion.training import STAGE, Trainer, learning_rate
from ablate.core.diffusion.training_course import TrainingCourse
from ablate.core.programs.compiled_forward import Program
from ablate.core.programs.lane_run import LaneTraining
from ablate.core.programs.lanes import Lanes
from ablate.core.shared.numerics import autocast
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError
from ablate.interface import TrialContext
from ablate.recipe import Recipe

_NORM_EPS = 1e-6
"""As in ``torch.nn.utils.clip_grad_norm_``."""


class UNetLanes(Lanes):
    """Denoisers of one shape. What is shown and what is wanted are inputs: schedules and predictions may differ."""

    def __init__(
        self,
        network: nn.Module,
        width: int,
        batch: int,
        image: Sequence[int],
        *,
        precision: str,
        program: Program | None = None,
    ) -> None:
        """`image` is the shape [C,H,W] of one image; a single lane may run by a compiled `program`."""
        device = next(network.parameters()).device
        super().__init__(network, width, batch, device)
        self.network = copy.deepcopy(network).train()
        self.precision = precision
        self.program = program
        self.average = torch.zeros_like(self.flat)
        """Averaged weights, laid out like `flat`."""
        self.follow = torch.zeros(width, dtype=torch.float64, device=device)
        """How far each lane's average moves towards its weights in this update."""
        self.limit = torch.full((width,), math.inf, dtype=torch.float64, device=device)
        """Largest gradient norm of each lane."""
        self.shown = torch.zeros(width, batch, *image, device=device)
        self.target = torch.zeros_like(self.shown)
        self.t = torch.ones(width, batch, dtype=torch.int64, device=device)

    def loss(self) -> Tensor:
        """Weighted squared error of every lane's prediction, [K]."""
        error = (self._output() - self.target).square().flatten(2).mean(2)
        losses: Tensor = (self.weight * error).sum(1)
        return losses

    def _output(self) -> Tensor:
        """[K,B,C,H,W] float32."""
        if self.width == 1:
            # One network as it is: autocast does not work under vmap.
            weights = {name: weight[0] for name, weight in self.parameters.items()}
            with autocast(self.precision, self.device):
                if self.program is not None:
                    alone = self.program(self.parameters, self.shown[0], self.t[0])
                else:
                    alone = functional_call(self.network, weights, (self.shown[0], self.t[0]))
            return alone.float().unsqueeze(0)

        def one(weights: dict[str, Tensor], shown: Tensor, t: Tensor) -> Tensor:
            predicted: Tensor = functional_call(self.network, weights, (shown, t))
            return predicted

        output: Tensor = vmap(one)(self.parameters, self.shown, self.t)
        return output

    def limited(self, gradients: Sequence[Tensor]) -> Tensor:
        """Scale each lane's gradients to its largest norm."""
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        scale = (self.limit / (norms + _NORM_EPS)).clamp(max=1.0)
        return super().limited(gradients) * self.each(scale)

    def _descend(self, gradient: Tensor) -> None:
        super()._descend(gradient)
        self.average.lerp_(self.flat, self.each(self.follow))

    def _everything(self) -> list[Tensor]:
        return [*super()._everything(), self.average]

    @torch.no_grad()
    def clear(self, lane: int) -> None:
        """Empty a lane."""
        super().clear(lane)
        for part in self.stacked(self.average):
            part[lane] = 0.0
        self.shown[lane], self.target[lane], self.t[lane] = 0.0, 0.0, 1
        self.follow[lane], self.limit[lane] = 0.0, math.inf

    @torch.no_grad()
    def put_average(self, lane: int, weights: Iterable[Tensor]) -> None:
        """Take over the averaged weights of a training."""
        for part, weight in zip(self.stacked(self.average), weights, strict=True):
            part[lane] = weight

    def take_average(self, lane: int) -> list[Tensor]:
        """Return the averaged weights of a lane."""
        return [part[lane] for part in self.stacked(self.average)]


class Feeder:
    """Puts what one `Trainer` would use for its next update into its lane."""

    def __init__(self, trainer: Trainer, total: int) -> None:
        self.trainer, self.total = trainer, total
        self._shared: dict[int, int] = {}
        self._follow: dict[int, float] = {}
        self._lr: dict[int, float] = {}
        """What each lane holds: a measurement feeds all lanes from one trainer."""

    def enter(self, lanes: UNetLanes, lane: int) -> None:
        """The average so far, and the largest gradient norm."""
        lanes.put_average(lane, self.trainer.ema.weights)
        lanes.limit[lane] = self.trainer.settings.grad_clip or math.inf
        for told in (self._shared, self._follow, self._lr):
            told.pop(lane, None)

    def feed(self, lanes: UNetLanes, lane: int) -> None:
        """The same images, noise and steps that `Trainer.update` would take."""
        trainer, settings = self.trainer, self.trainer.settings
        x0, noise, t = trainer.draw()
        count, alpha_bar = len(x0), trainer.denoiser.alpha_bar(t)
        lanes.shown[lane, :count] = network_input(settings.prediction, add_noise(x0, noise, alpha_bar), alpha_bar)
        lanes.target[lane, :count] = target_of(settings.prediction, x0, noise, alpha_bar)
        lanes.t[lane, :count] = t
        if settings.loss_weight != "simple":
            lanes.share(lane, count)
            lanes.weight[lane, :count] *= loss_weights(settings.loss_weight, settings.prediction, alpha_bar).float()
        elif count != self._shared.get(lane):
            lanes.share(lane, count)
        self._shared[lane] = count
        self._feed_numbers(lanes, lane)

    def _feed_numbers(self, lanes: UNetLanes, lane: int) -> None:
        """Step size and weight of the average, where they have changed."""
        settings, step = self.trainer.settings, self.trainer.step
        lr, follow = learning_rate(settings, step, self.total), 1 - ema_decay_at(step + 1, settings.ema_decay)
        if lr != self._lr.get(lane):
            lanes.lr[lane] = self._lr[lane] = lr
        if follow != self._follow.get(lane):
            lanes.follow[lane] = self._follow[lane] = follow


class UNetLane(LaneTraining[UNetLanes]):
    """A `Trainer` whose updates are done in a lane."""

    def __init__(
        self, trainer: Trainer, ends: Sequence[int], folder: StageFolder, recipe: Recipe, context: TrialContext
    ) -> None:
        """`ends` are the durations (updates) that recipes of this stage ask for; the trainer's is the longest."""
        self.trainer, self.ends, self.folder = trainer, frozenset(ends), folder
        self.recipe, self.context = recipe, context
        self.network, self.optimizer = trainer.denoiser.network, trainer.moments
        self.step, self.total = 0, trainer.course.total
        course = trainer.course
        courses = [TrainingCourse(course.images, course.batch, end // course.per_epoch) for end in self.ends]
        self._points = frozenset(step for one in courses for step in one.curve_steps())
        self._held = ExitStack()
        self._feeder = Feeder(trainer, self.total)
        self._lanes: UNetLanes | None = None
        self._lane = 0

    def begin(self) -> float:
        """Hold the stage and go on from the newest state in it."""
        self._held.enter_context(self.folder.locked(lambda: self.context.stop_requested))
        found = self.folder.newest("step", "end", at_most=self.total)
        if found is not None:
            self.trainer.load(found[1])
        self.step = self.trainer.step
        return self.trainer.seconds

    def end(self) -> None:
        """Release the stage."""
        self._held.close()

    def enter(self, lanes: UNetLanes, lane: int) -> None:
        """The average so far, and the largest gradient norm."""
        self._lanes, self._lane = lanes, lane
        self._feeder.enter(lanes, lane)

    def feed(self, lanes: UNetLanes, lane: int) -> None:
        """The same images, noise and steps that the training alone would take."""
        self.trainer.step = self.step
        self._feeder.feed(lanes, lane)

    def spend(self, seconds: float) -> None:
        """Count this training's share of a step of all lanes."""
        self.trainer.seconds += seconds

    def account(self, step: int, loss: float) -> None:
        """Take note of the loss of update `step`."""
        if not math.isfinite(loss):
            images = self.trainer.course.images_seen(step + 1)
            raise DivergedError(f"loss became {loss} after {images} images", images_seen=images)
        if (step + 1) % 10 == 0 or step + 1 == self.total:
            rate = (step + 1) / self.trainer.seconds if self.trainer.seconds else 0.0
            self.context.progress(self.recipe, STAGE, step + 1, self.total, loss=loss, steps_per_s=rate)

    def wants_state(self) -> bool:
        """True at a point of a curve, and where a recipe of this stage ends."""
        return self.step in self._points or self.step in self.ends

    def keep(self) -> None:
        """Keep the averaged weights for the curve, and everything where a recipe ends."""
        self._take_average()
        if self.step in self._points:
            snapshot = {"ema": self.trainer.ema.weights, "seconds": self.trainer.seconds}
            self.folder.save("ema", self.step, snapshot)
        if self.step in self.ends:
            self.folder.save("end", self.step, self.trainer.state())
        if self.step == self.total:
            self.folder.prune("step", keep=0)

    def checkpoint(self) -> None:
        """Save where the training stands."""
        self._take_average()
        self.folder.save("step", self.step, self.trainer.state())
        self.folder.prune("step", keep=2)

    def _take_average(self) -> None:
        assert self._lanes is not None
        self.trainer.step = self.step
        self.trainer.ema.load(self._lanes.take_average(self._lane))
