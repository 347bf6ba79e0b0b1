"""Whether a training's network is compiled: asked for, or measured to pay, once for all trials of a study.

What is measured of a shape on a device is kept in the stage cache for every study; what follows from it is kept per
study, so that no comparison mixes compiled with uncompiled trainings.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from ablate.core.diffusion.training import Trainer
from ablate.core.programs.compile_cache import CompileCache
from ablate.core.programs.compile_rules import Choice, before_measuring, by_measurement, missing
from ablate.core.programs.compiled_forward import forget_programs, program_of
from ablate.core.programs.fusion_choice import wait_for_device
from ablate.core.shared.numerics import device_name
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import CompileError
from ablate.interface import TrialContext
from ablate.recipe import digest_of

_ROUNDS, _UPDATES, _WARM_UP = 5, 2, 2

Make = Callable[[], Trainer]
"""Makes a training like the one at hand, to be measured and thrown away."""


def prepare(trainer: Trainer, program: str, context: TrialContext, make: Make) -> Choice:
    """Compile the network of `trainer` if that was asked for or pays, and return the choice.

    `program` is the training's `Stage.program`. Under ``on`` a failure raises CompileError; under ``auto`` the training
    runs as it is, and the choice says why.
    """
    asked = context.compilation.mode
    if asked == "off" or not program:
        return Choice(False, "off" if program else "with dropout, a network is not compiled")
    if asked == "on":
        compile_now(trainer, program, context)
        return Choice(True, "asked for")
    choice = _choice(program, context, make)
    if choice.compiled:
        try:
            compile_now(trainer, program, context)
        except CompileError as error:
            return Choice(False, error.message)
    return choice


def compile_now(trainer: Trainer, program: str, context: TrialContext) -> float:
    """Give `trainer` its compiled program, ready to run; return the seconds that took.

    A failure with programs of an earlier process in the cache may be theirs: they are dropped, and it is tried again.
    Raises CompileError.
    """
    began = time.perf_counter()
    cache = CompileCache.take(context.cache)
    kept = not cache.empty
    try:
        _compile(trainer, program, cache)
    except CompileError:
        if not kept:
            raise
        forget_programs()
        cache.drop()
        _compile(trainer, program, cache)
    return time.perf_counter() - began


def _compile(trainer: Trainer, program: str, cache: CompileCache) -> None:
    try:
        with cache.compiling(), warnings.catch_warnings():
            # torch suggests TF32; the study asked for full float32 (`precision`).
            warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores", category=UserWarning)
            trainer.run_by(program_of(program, trainer.denoiser.network))
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        trainer.run_by(None)
        forget_programs()
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CompileError(
            f"compiling the network failed: {reason.strip()}", hint="run with --compile off, or see ablate doctor"
        ) from error


def _choice(program: str, context: TrialContext, make: Make) -> Choice:
    """Return what this study does with a program: decided by its first training, and kept."""
    about = {"compilation": program, "study": context.compilation.study, **_place(context)}
    folder = StageFolder(context.cache, digest_of(about))
    with folder.locked(lambda: context.stop_requested):
        found = folder.load("choice", 0)
        if found is None:
            choice = _decide(program, context, make)
            found = vars(choice)
            folder.save("choice", 0, found)
            folder.describe({**about, "stage": "calibration", **found})
    return Choice(bool(found["compiled"]), str(found["why"]))


def _decide(program: str, context: TrialContext, make: Make) -> Choice:
    updates = context.compilation.updates.get(program, 0)
    if (lacking := missing(context.device)) is not None:
        return Choice(False, f"no {lacking} here")
    about = {"calibration": "compilation", "program": program, **_place(context)}
    folder = StageFolder(context.cache, digest_of(about))
    with folder.locked(lambda: context.stop_requested):
        measured = folder.load("calibration", 0)
        if measured is None:
            plain = make()
            first = _seconds(plain, _WARM_UP + 1)
            choice = before_measuring(context.device, tensors=len(plain.ema.weights), eager_s=first, updates=updates)
            if choice is not None:
                return choice
            try:
                measured = time_both(program, context, make)
            except CompileError as error:
                return Choice(False, error.message)
            folder.save("calibration", 0, measured)
            folder.describe({**about, "stage": "calibration", **measured})
    return by_measurement(measured, updates)


def _place(context: TrialContext) -> dict[str, Any]:
    device = torch.device(context.device)
    return {"device": device_name(device), "threads": context.threads, "torch": torch.__version__}


def time_both(program: str, context: TrialContext, make: Make) -> dict[str, float]:
    """Return ``eager_s`` and ``compiled_s`` per update, ``compile_s``, and how far ``apart`` losses are, relative."""
    plain, compiled = make(), make()
    compile_s = compile_now(compiled, program, context)
    apart = 0.0
    for _ in range(_WARM_UP):
        plain.update()
        compiled.update()
        one, other = plain.settle(), compiled.settle()
        apart = max(apart, abs(one - other) / abs(one))
    took = [(_seconds(plain, _UPDATES), _seconds(compiled, _UPDATES)) for _ in range(_ROUNDS)]
    eager_s, compiled_s = (statistics.median(pair[side] for pair in took) for side in (0, 1))
    return {"eager_s": eager_s, "compiled_s": compiled_s, "compile_s": compile_s, "apart": apart}


def _seconds(trainer: Trainer, updates: int) -> float:
    """Return the seconds per update of `updates` of them."""
    wait_for_device()
    began = time.perf_counter()
    for _ in range(updates):
        trainer.update()
    wait_for_device()
    return (time.perf_counter() - began) / updates
