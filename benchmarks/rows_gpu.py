"""One GPU: updates by the founding loop, plain loops, one lane (a CUDA graph) and fused programs; and sampling."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ablate.core.data import load
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.diffusion.samplers import Reverse, reverse
from ablate.core.programs.cuda_graphs import Through, directly
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import Plain, apply_numerics
from benchmarks.frame import Row, clock, in_process, in_turn, plain_environment, worker_environment
from benchmarks.rows_compile import on
from benchmarks.rows_dip import trials

UPDATES, ROUNDS = 200, 3
DIP_ROWS = 64
STEPS, SAMPLED = 50, {64: "2-4x: 370 launches a step", 512: "1-1.5x: the kernels are what takes time"}
"""DDIM steps, and batches of images -> what was predicted."""
TOLERANCE = 1e-3
"""Relative, of the first training's first losses."""
PREDICTED = {
    ("replay", 1): "4x: 0.6-1.2 ms against 2.5-4.5 ms",
    ("replay", 16): "12-30x: 0.10-0.25 ms per training",
    ("replay", 64): "0.07-0.18 ms per training",
    ("unet", 1): "3x",
    ("unet", 4): "0.6-1.6x of one lane",
}


def rows(deadline: float) -> Iterator[Row]:
    """Both networks against their plain loops, ``replay`` also against the founding loop; the U-Net compiled."""
    yield _founding(deadline)
    for core, width in PREDICTED:
        yield _lanes(core, width, deadline)
    yield from on("cuda", deadline)
    yield _dip(deadline)
    for images in SAMPLED:
        yield _sampling(images, deadline)


def _founding(deadline: float) -> Row:
    theirs, ours, rounds = in_turn(
        lambda: float(in_process("founding", ["ddpm", str(UPDATES), "cuda"], plain_environment(1))["seconds"]),
        lambda: _side("replay", 1)[0],
        ROUNDS,
        deadline,
    )
    return Row(
        name="update of ddpm, batch 64",
        unit="ms",
        theirs="founding loop on this GPU",
        theirs_took=1e3 * theirs,
        ours="core replay, one lane",
        ours_took=1e3 * ours,
        agreement="see the row of one lane, and benchmarks/run for the loops",
        agrees=True,
        predicted="4x and more: its data come from the CPU",
        reach=4.0,
        rounds=rounds,
        left_out="starts, and recording the graph",
    )


def _lanes(core: str, width: int, deadline: float) -> Row:
    found: dict[int, list[float]] = {}

    def side(lanes: int) -> float:
        seconds, found[lanes] = _side(core, lanes)
        return seconds

    alone, fused, rounds = in_turn(lambda: side(0), lambda: side(width), ROUNDS, deadline)
    apart = max(abs(a - b) / a for a, b in zip(found[0], found[width], strict=True))
    return Row(
        name=f"{core}, {width} lane{'s' * (width > 1)}",
        unit="ms per update and training",
        theirs="plain loop",
        theirs_took=1e3 * alone,
        ours=f"program of {width} lane{'s' * (width > 1)}",
        ours_took=1e3 * fused,
        agreement=f"first losses {apart:.1e} apart at most (asked: {TOLERANCE:g})",
        agrees=apart <= TOLERANCE,
        predicted=PREDICTED[core, width],
        rounds=rounds,
        left_out="starts, and recording the graph",
    )


def _dip(deadline: float) -> Row:
    apply_numerics(Plain())
    images = load("skimage-patches").test[:DIP_ROWS].cuda().float() / 255
    return trials(images, 1, "20-50x", deadline, steps=UPDATES // 10, reach=20.0)


def _sampling(images: int, deadline: float) -> Row:
    """DDIM by an untrained U-Net of the size that trains in minutes: what it computes does not change what it takes."""
    settings = DdpmDipSettings(channels=32)
    apply_numerics(settings)
    denoiser = Denoiser.build(settings, 0, torch.device("cuda"))
    start = torch.randn(images, 3, 32, 32, generator=torch.Generator().manual_seed(0)).cuda()

    def sample(through: Through) -> Tensor:
        return reverse(
            denoiser.predict,
            start,
            start=denoiser.schedule.steps,
            schedule=denoiser.schedule,
            prediction=denoiser.prediction,
            settings=Reverse("ddim", STEPS),
            noise=lambda t: start,
            through=through,
        )

    def side(through: Through) -> float:
        began = clock("cuda")
        sample(through)
        return clock("cuda") - began

    same = torch.equal(sample(directly), sample(denoiser.through))
    eager, recorded, rounds = in_turn(lambda: side(directly), lambda: side(denoiser.through), ROUNDS, deadline)
    return Row(
        name=f"{STEPS} DDIM steps of {images} images",
        unit="ms per image",
        theirs="launched one by one",
        theirs_took=1e3 * eager / images,
        ours="a CUDA graph per step",
        ours_took=1e3 * recorded / images,
        agreement="bitwise equal" if same else "images differ",
        agrees=same,
        predicted=SAMPLED[images],
        rounds=rounds,
        left_out="recording the graph",
    )


def _side(core: str, width: int) -> tuple[float, list[float]]:
    said = in_process("lanes_side", [core, str(width), str(UPDATES), "cuda"], worker_environment(1, gpu=True))
    return float(said["seconds"]), list(said["losses"])
