"""Whether trainings of one shape run in one program: asked for, or measured to pay on this device, once, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ablate.core.shared.numerics import device_name
from ablate.core.shared.stage_cache import StageFolder
from ablate.interface import TrialContext
from ablate.recipe import digest_of

GATE = {"cuda": 1.5, "cpu": 1.15}
"""A program of several lanes must be this many times faster per training than the training alone."""
ALONE = 0
"""The width that stands for the plain training loop without lanes."""

_WARM_UP, _ROUNDS, _UPDATES = 3, 3, 4

Measure = Callable[[int], float]
"""Width -> seconds per update and training."""


def choose_width(context: TrialContext, key: str, measure: Measure, *, alone: int = ALONE) -> int:
    """Return how many lanes recipes of batch key `key` get; `alone` is what a training that is not fused gets.

    Unless the user asked for a width, both are measured and the gain must reach `GATE`. The record is kept in the
    stage cache, so that every worker, and a run that goes on later, trains the recipes of a study in the same way.
    """
    device = torch.device(context.device)
    if context.fusion.width == 1:
        return alone
    if context.fusion.forced:
        return context.fusion.width
    wide = context.fusion.width
    about = {"calibration": key, "widths": sorted((alone, wide))}
    record = kept_record(context, about, lambda: {str(width): measure(width) for width in (alone, wide)})
    return wide if record[str(alone)] / record[str(wide)] >= GATE[device.type] else alone


def kept_record(
    context: TrialContext, about: Mapping[str, Any], measure: Callable[[], Mapping[str, float]]
) -> dict[str, float]:
    """Return what `measure` gave when it was first asked `about` this on this device, by this torch."""
    device = torch.device(context.device)
    about = {**about, "device": device_name(device), "torch": torch.__version__}
    folder = StageFolder(context.cache, digest_of(about))
    with folder.locked(lambda: context.stop_requested):
        found = folder.load("calibration", 0)
        if found is None:
            found = dict(measure())
            folder.save("calibration", 0, found)
            folder.describe({**about, "stage": "calibration", "measured": found})
    return {name: float(value) for name, value in found.items()}


def seconds_per_update(update: Callable[[], object]) -> float:
    """Return the seconds of one update after a warm-up, once the device is through with it.

    The best of a few rounds: whatever else runs on the machine makes a round longer, never shorter.
    """
    for _ in range(_WARM_UP):
        update()
    took = []
    for _ in range(_ROUNDS):
        wait_for_device()
        began = time.perf_counter()
        for _ in range(_UPDATES):
            update()
        wait_for_device()
        took.append((time.perf_counter() - began) / _UPDATES)
    return min(took)


def wait_for_device() -> None:
    """Return when everything asked of the GPU is done, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def charge(spent: dict[str, float], digest: str, seconds: float) -> float:
    """Return how many of the `seconds` that a stage has cost are charged to the trial that asks; they are taken out.

    `spent` is stage digest -> seconds that the stage has cost in this batch. What is not charged was spent before, or
    is another trial's: the stage is reused.
    """
    charged = min(seconds, spent.get(digest, 0.0))
    if charged:
        spent[digest] -= charged
    return charged
