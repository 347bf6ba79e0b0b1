"""Whether trainings of one shape run in one program: asked for, or measured to pay on this device, once, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ablate.core.cache import StageFolder
from ablate.core.numerics import device_name
from ablate.interface import Report
from ablate.recipe import digest_of

GATE = {"cuda": 1.5, "cpu": 1.15}
"""A program of several lanes must be this many times faster per training than the training alone."""
ALONE = 0
"""The width that stands for the plain training loop without lanes."""

_UPDATES, _WARM_UP = 12, 3

Measure = Callable[[int], float]
"""Width -> seconds per update and training."""


def choose_width(report: Report, key: str, measure: Measure, *, alone: int = ALONE) -> int:
    """Return how many lanes recipes of batch key `key` get; `alone` is what a training that is not fused gets.

    Unless the user asked for a width, both are measured and the gain must reach `GATE`. The record is kept in the
    stage cache, so that every worker, and a run that goes on later, trains the recipes of a study in the same way.
    """
    device = torch.device(report.device)
    if report.fusion.width == 1:
        return alone
    if report.fusion.forced:
        return report.fusion.width
    wide = report.fusion.width
    record = _record(report, key, device, dict.fromkeys((alone, wide), measure))
    return wide if record[alone] / record[wide] >= GATE[device.type] else alone


def _record(report: Report, key: str, device: torch.device, measures: dict[int, Measure]) -> dict[int, float]:
    """Return width -> seconds per update and training, measured when nobody has done it here before."""
    about = {"calibration": key, "widths": sorted(measures), "device": device_name(device), "torch": torch.__version__}
    folder = StageFolder(report.cache, digest_of(about))
    with folder.locked(lambda: report.stop_requested):
        found = folder.load("calibration", 0)
        if found is None:
            found = {str(width): measure(width) for width, measure in measures.items()}
            folder.save("calibration", 0, found)
            folder.describe({**about, "stage": "calibration", "seconds_per_update": found})
    return {int(width): float(took) for width, took in found.items()}


def seconds_per_update(update: Callable[[], object]) -> float:
    """Return the seconds of one update after a warm-up, once the device is through with it."""
    for _ in range(_WARM_UP):
        update()
    _wait()
    began = time.perf_counter()
    for _ in range(_UPDATES):
        update()
    _wait()
    return (time.perf_counter() - began) / _UPDATES


def _wait() -> None:
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
