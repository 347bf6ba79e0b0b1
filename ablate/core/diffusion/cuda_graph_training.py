"""A denoiser's training alone on a GPU: one lane, whose step is a CUDA graph."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ablate.core.diffusion.muon_lanes import lanes_for
from ablate.core.diffusion.training import CHECK_EVERY_GPU, Trainer
from ablate.core.diffusion.training_lanes import Feeder, UNetLanes
from ablate.core.diffusion.training_target import ORDINARY, TrainingTarget
from ablate.core.programs.compiled_forward import Program
from ablate.core.settings import DdpmDipSettings


class GraphedTrainer(Trainer):
    """A `Trainer` whose updates are done by a program of one lane; network, average and optimiser follow at `sync`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lanes: UNetLanes | None = None
        self._feeder = Feeder(self, self.course.total)

    def update(self) -> None:
        """Do one update. A non-finite loss raises DivergedError some updates later, with the images seen by then."""
        lanes = self._seated()
        self._feeder.feed(lanes, 0)
        lanes.step()
        self._count_update()
        self._losses.append(lanes.losses[0].clone())
        if len(self._losses) >= CHECK_EVERY_GPU:
            self.settle()

    def sync(self) -> None:
        """Bring network, average and optimiser to where the lane is."""
        if self._lanes is not None:
            self._lanes.take(0, self.denoiser.network, self.moments)
            self.ema.load(self._lanes.take_average(0))

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        super().load(state)
        self._lanes = None

    def run_by(self, program: Program | None) -> None:
        """Go on with a compiled network in the lane, whose graph is recorded anew."""
        self.sync()
        self._lanes = None
        super().run_by(program)

    def _weights(self) -> dict[str, Tensor]:
        return self._seated().parameters

    def _seated(self) -> UNetLanes:
        if self._lanes is None:
            self._lanes = lanes_for(self, 1, self.program)
            self._lanes.put(0, self.denoiser.network, self.moments)
            self._feeder.enter(self._lanes, 0)
        return self._lanes


def trainer_for(settings: DdpmDipSettings, images: Tensor, seed: int, lesson: TrainingTarget = ORDINARY) -> Trainer:
    """Return a training alone: on a GPU as a graph.

    Not with dropout, whose noise has an address of its own per step, and not where smoothed images stand beside x_t.
    """
    graphed = images.device.type == "cuda" and not settings.dropout and lesson.smooth is None
    return GraphedTrainer(settings, images, seed, lesson) if graphed else Trainer(settings, images, seed, lesson)
