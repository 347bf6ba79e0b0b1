"""Deep Image Prior fits of 32x32 images: one network after the other against sixteen in one program."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ablate.core.data import load
from ablate.core.dip import DipSettings, Fitting
from benchmarks.frame import Row, clock, in_turn

IMAGES, STEPS, ROUNDS = 16, 4, 3


def rows(deadline: float) -> Iterator[Row]:
    """Seconds per image and iteration."""
    torch.set_num_threads(1)
    images = load("skimage-patches").test[:IMAGES].float() / 255
    settings = DipSettings(stop="fixed", steps=STEPS + 1)

    def fit(chosen: list[list[int]]) -> float:
        fits = [Fitting(images[some], settings, 0, some).run() for some in chosen]
        for one in fits:
            next(one)
        began = clock()
        for one in fits:
            list(one)
        return (clock() - began) / IMAGES / STEPS

    single, bank, rounds = in_turn(
        lambda: fit([[number] for number in range(IMAGES)]), lambda: fit([list(range(IMAGES))]), ROUNDS, deadline
    )
    apart = _apart(images[:4].double(), settings)
    yield Row(
        name=f"DIP iteration of one of {IMAGES} images",
        unit="CPU ms",
        theirs="image by image",
        theirs_took=1e3 * single,
        ours=f"{IMAGES} networks in one program",
        ours_took=1e3 * bank,
        agreement=f"restored images in float64 {apart:.1e} apart at most (asked: 1e-6)",
        agrees=apart <= 1e-6,
        predicted="1.5-2x",
        rounds=rounds,
        left_out="making the networks",
    )


def _apart(images: torch.Tensor, settings: DipSettings) -> float:
    """Return the largest difference between images fitted together and alone."""
    together = Fitting(images, settings, 0, list(range(len(images))))
    list(together.run())
    differences = []
    for number in range(len(images)):
        alone = Fitting(images[number : number + 1], settings, 0, [number])
        list(alone.run())
        differences.append(float((alone.stop.best[0] - together.stop.best[number]).abs().max()))
    return max(differences)
