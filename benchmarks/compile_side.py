"""Updates of the first study's U-Net, eager or compiled, one thread on CPU.

    python -m benchmarks.compile_side off 6 /tmp/cache            # mode (off, on), updates, stage cache
    python -m benchmarks.compile_side on 200 /tmp/cache cuda      # in one lane, as a CUDA graph

Prints JSON: seconds per update after a warm-up, seconds that making the program ready took (wall), first losses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ablate.core.data import load
from ablate.core.ddpm_dip.stages.digests import denoiser_program
from ablate.core.diffusion.compiled_training import compile_now
from ablate.core.diffusion.cuda_graph_training import trainer_for
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import apply_numerics
from benchmarks.frame import clock

WARM_UP = 6


def main(mode: str, updates: int, cache: str, device: str = "cpu") -> None:
    """Time `updates` updates."""
    settings = DdpmDipSettings.model_validate({"epochs": 100})
    apply_numerics(settings)
    trainer = trainer_for(settings, load("skimage-patches").train.to(device), 0)
    report = cast(Any, SimpleNamespace(cache=Path(cache)))
    ready = compile_now(trainer, denoiser_program(settings), report) if mode == "on" else 0.0
    losses = []
    for _ in range(WARM_UP):
        trainer.update()
        losses.append(trainer.settle())
    began = clock(device)
    for _ in range(updates):
        trainer.update()
    print(json.dumps({"seconds": (clock(device) - began) / updates, "ready": ready, "losses": losses}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
