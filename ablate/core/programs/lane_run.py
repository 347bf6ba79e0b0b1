"""Running trainings in lanes: seat them, step all at once, and treat each as if it were alone.

A training that ends leaves its lane to the next one that waits. One that diverges leaves too; nobody else notices.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from torch import nn

from ablate.core.programs.fusion_choice import seconds_per_update
from ablate.core.programs.lane_losses import LossReader
from ablate.core.programs.lanes import Lanes, MomentsOf
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DivergedError, StoppedError
from ablate.interface import TrialContext

Program = TypeVar("Program", bound=Lanes)


class LaneTraining(ABC, Generic[Program]):
    """One training as the lanes see it. Everything that is kept on disk is what it would keep if it were alone."""

    network: nn.Module
    optimizer: MomentsOf
    folder: StageFolder
    step: int
    """Updates that have been fed to the lane."""
    total: int

    @abstractmethod
    def begin(self) -> float:
        """Take the stage and whatever it holds already; return the seconds that has cost."""

    @abstractmethod
    def end(self) -> None:
        """Let go of the stage."""

    @abstractmethod
    def enter(self, lanes: Program, lane: int) -> None:
        """Put into the lane what does not change from step to step."""

    @abstractmethod
    def feed(self, lanes: Program, lane: int) -> None:
        """Put the data and the random numbers of update `step` into the lane."""

    @abstractmethod
    def spend(self, seconds: float) -> None:
        """Count this training's share of the time that a step of all lanes took."""

    @abstractmethod
    def account(self, step: int, loss: float) -> None:
        """Take note of the loss of update `step` (0-based). Raises DivergedError when it is not finite."""

    @abstractmethod
    def wants_state(self) -> bool:
        """True when after the updates done something is kept: the end of an epoch, a point of the curve, the end."""

    @abstractmethod
    def keep(self) -> None:
        """Keep that; the network and its optimiser hold the lane's state."""

    @abstractmethod
    def checkpoint(self) -> None:
        """Save where the training stands; the network and its optimiser hold the lane's state."""


def seconds_in_lanes(lanes: Program, training: LaneTraining[Program]) -> float:
    """Return seconds per update and training of a program whose every lane holds `training`; nothing is kept of it."""
    for lane in range(lanes.width):
        lanes.put(lane, training.network, training.optimizer)
        training.enter(lanes, lane)

    def step() -> None:
        for lane in range(lanes.width):
            training.feed(lanes, lane)
        lanes.step()
        training.step += 1

    return seconds_per_update(step) / lanes.width


Ended = tuple["LaneTraining[Program]", float, "tuple[int, DivergedError] | None"]
"""(training, seconds it had cost before, update at which it diverged and how; None when it ended well)."""


class LaneRun(Generic[Program]):
    """Trainings on their way through the lanes of one program."""

    def __init__(self, lanes: Program, trainings: Sequence[LaneTraining[Program]], context: TrialContext) -> None:
        self.lanes, self.context = lanes, context
        self.waiting = deque(trainings)
        self.seats: dict[int, LaneTraining[Program]] = {}
        self.before: dict[LaneTraining[Program], float] = {}
        self.losses: LossReader[LaneTraining[Program]] = LossReader(lanes.device)
        self.diverged: dict[LaneTraining[Program], tuple[int, DivergedError]] = {}

    def run(self) -> Iterator[Ended[Program]]:
        """Train all of them, and yield each when it ends. Raises StoppedError after checkpoints when asked to stop."""
        try:
            while self.waiting or self.seats:
                yield from self._fill()
                if not self.seats:
                    continue
                self._pause()
                self._step()
                yield from self._settle()
        finally:
            for training in self.seats.values():
                training.end()

    def _fill(self) -> Iterator[Ended[Program]]:
        """Seat what waits; a training that is complete already ends at once."""
        for lane in range(self.lanes.width):
            while lane not in self.seats and self.waiting:
                training = self.waiting.popleft()
                self.before[training] = training.begin()
                if training.step >= training.total:
                    training.end()
                    yield training, self.before[training], None
                    continue
                self.lanes.put(lane, training.network, training.optimizer)
                training.enter(self.lanes, lane)
                self.seats[lane] = training

    def _step(self) -> None:
        began = time.perf_counter()
        for lane, training in self.seats.items():
            training.feed(self.lanes, lane)
        self.lanes.step()
        owners = {lane: (training, training.step) for lane, training in self.seats.items()}
        self._account(self.losses.add(self.lanes.losses, owners))
        for training in self.seats.values():
            training.step += 1
        if any(training.wants_state() for training in self.seats.values()):
            self._account(self.losses.drain())
        share = (time.perf_counter() - began) / len(self.seats)
        for training in self.seats.values():
            training.spend(share)

    def _account(self, entries: Sequence[tuple[LaneTraining[Program], int, float]]) -> None:
        for training, step, loss in entries:
            if training in self.diverged:
                continue
            try:
                training.account(step, loss)
            except DivergedError as error:
                self.diverged[training] = (step, error)

    def _settle(self) -> Iterator[Ended[Program]]:
        """Keep what is to be kept, and let go what has ended."""
        for lane, training in list(self.seats.items()):
            if training not in self.diverged and training.wants_state():
                self.lanes.take(lane, training.network, training.optimizer)
                training.keep()
            if training in self.diverged or training.step >= training.total:
                del self.seats[lane]
                self.lanes.clear(lane)
                training.end()
                yield training, self.before[training], self.diverged.get(training)

    def _pause(self) -> None:
        """Save a checkpoint of every lane when one is due, and leave when asked to."""
        stop = self.context.stop_requested
        if not stop and not self.context.checkpoint_due:
            return
        self._account(self.losses.drain())
        for lane, training in self.seats.items():
            if training not in self.diverged:
                self.lanes.take(lane, training.network, training.optimizer)
                training.checkpoint()
        self.context.checkpointed()
        if stop:
            raise StoppedError(f"stopped with {len(self.seats)} trainings in one program")
