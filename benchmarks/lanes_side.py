"""One update per training, alone or in a program of several lanes, one thread.

    python -m benchmarks.lanes_side replay 4 20           # core, width (0: the plain loop), updates
    python -m benchmarks.lanes_side unet 0 20 channels_last

Prints JSON: seconds per update and training (CPU time, on a GPU wall time), and the first training's losses before.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ablate.core.data import load
from ablate.core.diffusion.muon_lanes import lanes_for
from ablate.core.diffusion.training import Trainer
from ablate.core.diffusion.training_lanes import UNetLane
from ablate.core.programs.lanes import Lanes
from ablate.core.replay.lanes import ReplayLane, ReplayLanes
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import Plain, apply_numerics
from ablate.core.shared.stage_cache import StageFolder
from benchmarks.frame import clock
from benchmarks.replay_side import training

WARM_UP = 6


class Silent:
    """A report that hears nothing and asks for nothing."""

    stop_requested = checkpoint_due = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def replay(seed: int, device: str) -> Any:
    """A denoiser of the founding report's size."""
    apply_numerics(Plain())
    images = load("skimage-patches").train[:12_800].to(device)
    return training("ddpm", images, seed=seed)


def unet(seed: int, device: str, **settings: Any) -> Trainer:
    """A denoiser of the first study's size, or of another."""
    chosen = DdpmDipSettings.model_validate({"epochs": 100, **settings})
    apply_numerics(chosen)
    return Trainer(chosen, load("skimage-patches").train.to(device), seed)


Side = tuple[Callable[[], Any], Callable[[], float]]
"""An update, and the first training's loss in the latest one (which waits for the device)."""


def alone(one: Any) -> Side:
    """The plain training loop."""
    latest: list[Any] = []

    def update() -> None:
        latest[:] = [one.update()]

    return update, lambda: float(one.settle() if latest[0] is None else latest[0])


def together(trainings: list[Any], folder: Path) -> Side:
    """One program of all `trainings`."""
    report, some = Silent(), trainings[0]
    width = len(trainings)
    members: list[Any]
    program: Lanes
    if isinstance(some, Trainer):
        program = lanes_for(some, width)
        members = [UNetLane(one, [one.course.total], StageFolder(folder, "x"), None, report) for one in trainings]
    else:
        program = ReplayLanes(some.network, some.images, width, some.batch, dips=False)
        members = [ReplayLane(one, None, StageFolder(folder, "x"), None, report) for one in trainings]
    for lane, member in enumerate(members):
        program.put(lane, member.network, member.optimizer)
        member.enter(program, lane)

    def update() -> None:
        for lane, member in enumerate(members):
            member.feed(program, lane)
            member.step += 1
        program.step()

    return update, lambda: float(program.losses[0])


def main(core: str, width: int, updates: int, *options: str) -> None:
    """Time `updates` updates after a warm-up."""
    device = "cuda" if "cuda" in options else "cpu"
    sizes = dict(option.split("=") for option in options if "=" in option)
    make = replay if core == "replay" else unet
    trainings = [make(seed, device, **sizes) for seed in range(max(width, 1))]
    if "channels_last" in options:
        trainings[0].denoiser.network.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        update, loss = together(trainings, Path(folder)) if width else alone(trainings[0])
        losses = [loss() for _ in range(WARM_UP) if update() is None]
        began = clock(device)
        for _ in range(updates):
            update()
        took = (clock(device) - began) / updates / max(width, 1)
    print(json.dumps({"seconds": took, "losses": losses}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
