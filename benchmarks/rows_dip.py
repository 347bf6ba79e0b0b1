"""Deep Image Prior fits of 32x32 images: networks side by side in one program, of one trial and of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ablate.core.data import load
from ablate.core.ddpm_dip.batch_rules import most_rows
from ablate.core.dip.fit import DipSettings, Fitting
from ablate.core.dip.fit_batch import DipProgram
from ablate.engine.fuse_choice import AUTO_LANES
from benchmarks.frame import Row, clock, in_turn

IMAGES, STEPS, ROUNDS = 16, 4, 3
TOLERANCE = 1e-6
"""Of restored images in float64 after five iterations."""
COMPARED = 16
"""Images whose numbers are compared."""
TRIALS = {1: "1.5-2x", 4: "1.3x"}
"""Images of each trial -> what was predicted of fusing trials."""


def rows(deadline: float) -> Iterator[Row]:
    """Seconds per image and iteration."""
    torch.set_num_threads(1)
    images = load("skimage-patches").test[:IMAGES].float() / 255
    yield _images_of_one_trial(images, deadline)
    for count, predicted in TRIALS.items():
        yield trials(images[: most_rows(count, AUTO_LANES["cpu"], "cpu")], count, predicted, deadline)


def fits_of(images: Tensor, count: int, steps: int) -> list[Fitting]:
    """Trials of `count` images each: every trial its own seed and step size."""
    settings = [DipSettings(stop="fixed", steps=steps, lr=lr) for lr in (0.01, 0.003)]
    chosen = torch.split(images, count)
    return [Fitting(some, settings[n % 2], n, list(range(len(some)))) for n, some in enumerate(chosen)]


def together(fits: Sequence[Fitting]) -> Callable[[], None]:
    """One step of all fits in one program."""
    program = DipProgram()

    def step() -> None:
        for fit, done in zip(fits, program.descend(fits), strict=True):
            fit.follow(*done)

    return step


def one_by_one(fits: Sequence[Fitting]) -> Callable[[], None]:
    """One step of every fit in a program of its own."""

    def step() -> None:
        for fit in fits:
            fit.follow(*fit.descend())

    return step


def apart(images: Tensor, count: int) -> float:
    """Return the largest difference between images restored by trials alone and in one program, after 5 iterations."""
    sides = fits_of(images, count, 5), fits_of(images, count, 5)
    for step in (one_by_one(sides[0]), together(sides[1])):
        for _ in range(5):
            step()
    pairs = zip(*sides, strict=True)
    return max(float((alone.stop.best - fused.stop.best).abs().max()) for alone, fused in pairs)


def took(make: Callable[[], Callable[[], None]], images: int, steps: int = STEPS, device: str = "cpu") -> float:
    """Return milliseconds per image and iteration, the first left out."""
    step = make()
    step()
    began = clock(device)
    for _ in range(steps):
        step()
    return 1e3 * (clock(device) - began) / images / steps


def _images_of_one_trial(images: Tensor, deadline: float) -> Row:
    single, bank, rounds = in_turn(
        lambda: took(lambda: one_by_one(fits_of(images, 1, STEPS + 1)), IMAGES),
        lambda: took(lambda: one_by_one(fits_of(images, IMAGES, STEPS + 1)), IMAGES),
        ROUNDS,
        deadline,
    )
    between = _bank_apart(images[:4].double())
    return Row(
        name=f"DIP iteration of one of {IMAGES} images",
        unit="CPU ms",
        theirs="image by image",
        theirs_took=single,
        ours=f"{IMAGES} networks in one program",
        ours_took=bank,
        agreement=f"restored images in float64 {between:.1e} apart at most (asked: {TOLERANCE:g})",
        agrees=between <= TOLERANCE,
        predicted="1.5-2x",
        rounds=rounds,
        left_out="making the networks",
    )


def _bank_apart(images: Tensor) -> float:
    """Return the largest difference between images fitted together, as one trial, and alone."""
    settings = DipSettings(stop="fixed", steps=5)
    bank = Fitting(images, settings, 0, list(range(len(images))))
    list(bank.run())
    differences = []
    for number in range(len(images)):
        alone = Fitting(images[number : number + 1], settings, 0, [number])
        list(alone.run())
        differences.append(float((alone.stop.best[0] - bank.stop.best[number]).abs().max()))
    return max(differences)


def trials(
    images: Tensor, count: int, predicted: str, deadline: float, *, steps: int = STEPS, reach: float | None = None
) -> Row:
    """Trials of `count` of the `images` each, trial by trial and as rows of one program, where the images are."""
    device, rows = images.device.type, len(images)
    alone, fused, rounds = in_turn(
        lambda: took(lambda: one_by_one(fits_of(images, count, steps + 1)), rows, steps, device),
        lambda: took(lambda: together(fits_of(images, count, steps + 1)), rows, steps, device),
        ROUNDS,
        deadline,
    )
    between = apart(images[:COMPARED].double(), count)
    return Row(
        name=f"DIP iteration, {rows // count} trials of {count} image{'s' * (count > 1)}",
        unit="CPU ms per image" if device == "cpu" else "ms per image",
        theirs="trial by trial",
        theirs_took=alone,
        ours=f"one program of {rows} networks",
        ours_took=fused,
        agreement=f"restored images in float64 {between:.1e} apart at most (asked: {TOLERANCE:g})",
        agrees=between <= TOLERANCE,
        predicted=predicted,
        reach=reach,
        rounds=rounds,
        left_out="making the networks" + ("" if device == "cpu" else "; no CUDA graph on either side"),
    )
