"""Training in a program of four lanes against training alone, per update and training, one thread."""

from __future__ import annotations

from collections.abc import Iterator

from ablate.core.programs.fusion_choice import ALONE, GATE
from benchmarks.frame import Row, in_process, in_turn, worker_environment

WIDTH, ROUNDS = 4, 3
UPDATES = {"replay": 12, "unet": 6}
NAMES = {"replay": "denoiser of replay", "unet": "default U-Net"}
TOLERANCE = 1e-4
"""Relative, of the first training's losses."""
PREDICTED = {"replay": "0.8-1.1x: does not pay on CPU", "unet": "0.8x: does not pay on CPU"}


def rows(deadline: float) -> Iterator[Row]:
    """Both networks."""
    for core, updates in UPDATES.items():
        found: dict[int, list[float]] = {}

        def side(width: int, core: str = core, updates: int = updates, found: dict[int, list[float]] = found) -> float:
            said = in_process("lanes_side", [core, str(width), str(updates)], worker_environment(1))
            found[width] = said["losses"]
            return float(said["seconds"])

        alone, fused, rounds = in_turn(lambda: side(ALONE), lambda: side(WIDTH), ROUNDS, deadline)
        apart = max(abs(a - b) / a for a, b in zip(found[ALONE], found[WIDTH], strict=True))
        yield Row(
            name=f"{NAMES[core]}, {WIDTH} lanes",
            unit="CPU ms",
            theirs="one training alone",
            theirs_took=1e3 * alone,
            ours=f"program of {WIDTH} lanes, per training",
            ours_took=1e3 * fused,
            agreement=f"losses {apart:.1e} apart at most (asked: {TOLERANCE:g})",
            agrees=apart <= TOLERANCE,
            predicted=PREDICTED[core],
            rounds=rounds,
            left_out=f"nothing; --fuse auto would ask for {GATE['cpu']:g}x on CPU, where it does not even measure",
        )
