"""What a running core sees of the engine: the worker's side of the `TrialContext` interface."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path

from ablate.engine.workers import peak_memory
from ablate.engine.workers.curve_file import CurveFile
from ablate.engine.workers.fork_guard import ForkGuard
from ablate.engine.workers.messages import Assignment, CurvePoint, FromWorker, Progress, RunBatch, WorkerNote
from ablate.engine.workers.spent import Spent
from ablate.errors import CoreError
from ablate.interface import EAGER, SERIAL, Compilation, Fusion
from ablate.outcome import number_of, whole_number_of
from ablate.paths import TrialPaths
from ablate.recipe import Recipe

Send = Callable[[FromWorker], None]

_LOGGER = logging.getLogger("ablate")
LARGEST_AMOUNT = 2**53
_PROGRESS_S = 0.2
"""A recipe's progress is passed on at most this often within a stage."""
CHECKPOINT_SHARE = 0.02
"""Checkpoints may take this share of the time."""
LONGEST_CHECKPOINT_S = 1800.0
"""No more work than this is ever at stake, however expensive a checkpoint is."""


def checkpoint_interval_s(save_s: float, shortest_s: float) -> float:
    """Return the seconds of work between checkpoints of which one takes `save_s`.

    At least `shortest_s`, at most half an hour; between these as short as the share permits: what a crash costs is
    half an interval on average, so that any longer one would only lose more.
    """
    return min(max(shortest_s, save_s / CHECKPOINT_SHARE), max(shortest_s, LONGEST_CHECKPOINT_S))


class CheckpointClock:
    """Says when a checkpoint is due: every `interval_s`, less often when writing one is expensive."""

    def __init__(self, interval_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shortest_s = self._interval_s = interval_s
        self._last = clock()
        self._asked: float | None = None

    def due(self) -> bool:
        """True when the interval has passed; from the first True on, the time counts as the checkpoint's cost."""
        now = self._clock()
        if now - self._last < self._interval_s:
            return False
        if self._asked is None:
            self._asked = now
        return True

    def done(self) -> None:
        """A checkpoint is on disk."""
        now = self._clock()
        if self._asked is not None:
            self._interval_s = checkpoint_interval_s(now - self._asked, self._shortest_s)
        self._last, self._asked = now, None


@dataclass
class _Trial:
    """A recipe of the current batch."""

    assignment: Assignment
    paths: TrialPaths
    curve: CurveFile
    before: Spent
    """What earlier attempts spent on what their checkpoint holds."""
    stage: str = ""
    sent_at: float = field(default=float("-inf"))
    not_finite: set[str] = field(default_factory=set)
    """Values of the curve that were not finite: said once."""


class WorkerTrialContext:
    """Implements `ablate.interface.TrialContext` for one worker process; safe to call from several threads."""

    def __init__(
        self,
        *,
        device: str,
        threads: int,
        cache: Path,
        send: Send,
        stop: threading.Event,
        checkpoint_s: float,
        pruned: Set[str] = frozenset(),
        fusion: Fusion = SERIAL,
        compilation: Compilation = EAGER,
        wanted: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device = device
        self._threads = threads
        self._cache = cache
        self._send = send
        self._stop = stop
        self._pruned = pruned
        self._checkpoint_s = checkpoint_s
        self._fusion = fusion
        self._fused = True
        self._compilation = compilation
        self._wanted = wanted
        self._clock = clock
        self._checkpoints = CheckpointClock(checkpoint_s, clock)
        self._study = ""
        self._began = 0.0
        self._trials: dict[str, _Trial] = {}
        self._warnings = _Warnings(self)
        self._guard = ForkGuard()

    def begin(self, order: RunBatch, *, fused: bool = True) -> None:
        """Start a batch, `fused` as far as fusion is on. Known points of curves are sent again."""
        self._fused = fused
        self._study = order.study
        self._began = self._clock()
        self._checkpoints = CheckpointClock(self._checkpoint_s, self._clock)
        self._trials = {one.recipe.digest: _trial(one) for one in order.batch}
        _LOGGER.addHandler(self._warnings)
        for digest, trial in self._trials.items():
            for images, values in trial.curve.points:
                self._send(CurvePoint(digest, images, values))

    def end(self) -> None:
        """Release the files of the batch."""
        _LOGGER.removeHandler(self._warnings)
        for trial in self._trials.values():
            trial.curve.close()
        self._trials = {}

    @property
    def device(self) -> str:
        """Where to compute, as torch names it."""
        return self._device

    @property
    def threads(self) -> int:
        """CPU threads of this slot."""
        return self._threads

    @property
    def cache(self) -> Path:
        """Root of the content-addressed stage cache."""
        return self._cache

    @property
    def fusion(self) -> Fusion:
        """Whether recipes of one batch may be computed as one program."""
        return self._fusion if self._fused else SERIAL

    @property
    def compilation(self) -> Compilation:
        """Whether networks may be compiled."""
        return self._compilation

    @property
    def wanted(self) -> frozenset[str]:
        """Names of the study's metrics."""
        return self._wanted

    @property
    def study(self) -> str:
        """Name of the study whose trials are computed."""
        return self._study

    def arm(self, recipe: Recipe) -> str:
        """Return the name of the trial's arm."""
        return self._trial(recipe, "arm").assignment.arm

    def seed_index(self, recipe: Recipe) -> int:
        """Return which of the study's seeds the trial has."""
        return self._trial(recipe, "seed_index").assignment.seed_index

    @property
    def stop_requested(self) -> bool:
        """True when the parent wants this worker to stop, or a search gave up a recipe of the batch."""
        return self._stop.is_set() or not self._pruned.isdisjoint(self._trials)

    @property
    def checkpoint_due(self) -> bool:
        """True when a checkpoint should be written at the next step boundary."""
        return self._checkpoints.due()

    def checkpointed(self) -> None:
        """Take note that a checkpoint is on disk, and keep with it what it took."""
        self._checkpoints.done()
        for trial in self._trials.values():
            self.spent(trial.assignment.recipe).write(trial.paths.spent)

    def spent(self, recipe: Recipe) -> Spent:
        """Return what all attempts at a trial have spent until now."""
        seconds = self._clock() - self._began
        return self._trials[recipe.digest].before.and_now(seconds, peak_memory.peak_mb(self._device))

    def images_seen(self, recipe: Recipe, stated: int) -> int:
        """Return the training images of all attempts: what the core states, or what its learning curve shows.

        A core that resumes may count from its checkpoint on; the curve has the points of every attempt.
        """
        curve = self._trials[recipe.digest].curve
        return max(stated, curve.furthest) if curve.points or not stated else stated

    def folder(self, recipe: Recipe) -> Path:
        """Return the trial's folder."""
        return self._trial(recipe, "folder").paths.folder

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        """Pass the progress on, unless it was passed on a moment ago."""
        self._guard.refuse_forked("context.progress")
        trial = self._trial(recipe, "progress")
        done, total = (_amount(value, f"progress: {name}") for name, value in (("done", done), ("total", total)))
        now = self._clock()
        if stage == trial.stage and done < total and now - trial.sent_at < _PROGRESS_S:
            return
        trial.stage, trial.sent_at = stage, now
        shown = {name: number_of(value, f"progress: {name}") for name, value in numbers.items()}
        self._send(Progress(recipe.digest, str(stage), done, total, shown))

    def curve(self, recipe: Recipe, images: int, **values: float) -> None:
        """Add a point to curve.jsonl and pass it on."""
        self._guard.refuse_forked("context.curve")
        trial = self._trial(recipe, "curve")
        images = whole_number_of(images, "curve: images")
        numbers = {name: number_of(value, f"curve: {name}") for name, value in values.items()}
        for name, value in numbers.items():
            if not math.isfinite(value) and name not in trial.not_finite:
                trial.not_finite.add(name)
                append_log(
                    trial.paths, f"curve: {name} is {value} at {images}; points without a finite value are left out"
                )
        added = trial.curve.append(images, numbers)
        if added:
            self._send(CurvePoint(recipe.digest, images, added))

    def log(self, recipe: Recipe, text: str) -> None:
        """Append `text` as a line to the trial's log.txt."""
        append_log(self._trial(recipe, "log").paths, str(text))

    def _trial(self, recipe: Recipe, method: str) -> _Trial:
        """The trial that a core reports on; raises CoreError for a recipe that is none of the batch's."""
        if not isinstance(recipe, Recipe):
            raise CoreError(f"context.{method} takes the recipe first, not a {type(recipe).__name__}")
        found = self._trials.get(recipe.digest)
        if found is None:
            raise CoreError(f"context.{method}: this recipe (seed {recipe.seed}) is not one of those being computed")
        return found

    def warn(self, text: str) -> None:
        """Append `text` to the log of every trial of the batch, and say it at the terminal."""
        for trial in self._trials.values():
            append_log(trial.paths, text)
        self._send(WorkerNote(text))


def _trial(assignment: Assignment) -> _Trial:
    paths = TrialPaths(assignment.folder)
    return _Trial(assignment, paths, CurveFile(paths.curve), Spent.read(paths.spent))


def _amount(value: float | None, what: str) -> int:
    """How much of something, for display only: fractions are cut off, nothing (an unknown total) is 0."""
    number = 0.0 if value is None else number_of(value, what)
    if not 0 <= number <= LARGEST_AMOUNT:
        raise CoreError(f"{what} is {value!r}, expected a number of at least 0")
    return int(number)


class _Warnings(logging.Handler):
    """Passes on what ablate's modules warn of through `logging` while a batch is computed."""

    def __init__(self, report: WorkerTrialContext) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one warning."""
        self._report.warn(record.getMessage())


def append_log(paths: TrialPaths, text: str) -> None:
    """Append a line with the time to a trial's log.txt."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with paths.log.open("a", encoding="utf-8") as handle:
        handle.write(f"{stamp} {text.rstrip()}\n")
