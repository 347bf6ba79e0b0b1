"""When networks are compiled: what it needs, and when ``--compile auto`` finds that it pays. Imports no torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GAIN = 1.1
"""A compiled update must be this many times faster."""
LEAST_UPDATES = 10_000
"""With fewer updates waiting for a program, ``auto`` does not even measure."""
MEASURING_SHARE = {"cpu": 0.05, "cuda": 0.2}
"""Measuring compiles once: that may cost this share of the work that waits."""
COMPILE_S_PER_TENSOR = 0.6
"""Seconds that compiling takes per tensor of weights: 64 s for the 104 of the first study's U-Net, on one core."""
APART = 1e-3
"""Losses of both programs may be so far apart, relative, in the first updates."""


@dataclass(frozen=True)
class Choice:
    """Whether a program is compiled, and why."""

    compiled: bool
    why: str


def missing(device: str) -> str | None:
    """Return what compiling for `device` (``cpu``, ``cuda:0``) needs and this machine lacks, None if all is here."""
    if device.startswith("cuda"):
        if importlib.util.find_spec("triton") is None:
            return "package triton"
        compiler = _first(os.environ.get("CC"), "gcc", "clang", "cc")
    else:
        compiler = _first(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))
    if compiler is None:
        return "C++ compiler (g++, or the one in CXX)" if device == "cpu" else "C compiler (gcc, or the one in CC)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "C headers of Python (python3-dev)"
    return None


def _first(*names: str | None) -> str | None:
    return next((found for name in names if name and (found := shutil.which(name))), None)


def before_measuring(device: str, *, tensors: int, eager_s: float, updates: int) -> Choice | None:
    """Return the choice that needs no measurement, None when one is worth its time.

    `tensors` are the network's tensors of weights, `eager_s` the seconds of one update as it is, `updates` what waits.
    """
    if updates < LEAST_UPDATES:
        return Choice(False, f"only {updates:,} updates would use it")
    cost_s, work_s = COMPILE_S_PER_TENSOR * tensors, eager_s * updates
    if cost_s > MEASURING_SHARE[device.partition(":")[0]] * work_s:
        return Choice(False, f"compiling takes about {cost_s:.0f} s, for {work_s:.0f} s of training")
    return None


def by_measurement(measured: Mapping[str, float], updates: int) -> Choice:
    """Return the choice that `measured` means where `updates` wait per slot.

    `measured` is what `ablate.core.diffusion.compiled_training` timed.
    """
    gain = measured["eager_s"] / measured["compiled_s"]
    saved_s = updates * (measured["eager_s"] - measured["compiled_s"])
    if not measured["apart"] <= APART:
        return Choice(False, f"its losses differ by {measured['apart']:.1e}; {APART:g} is allowed")
    if gain < GAIN:
        return Choice(False, f"measured {gain:.2f}x; {GAIN:g}x is required")
    if saved_s < measured["compile_s"]:
        return Choice(
            False, f"measured {gain:.2f}x saves {saved_s:.0f} s, compiling takes {measured['compile_s']:.0f} s"
        )
    return Choice(True, f"measured {gain:.2f}x")
