"""An update of the first study's U-Net, compiled against eager, and what making the program ready costs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from ablate.core.programs.compile_rules import GAIN
from benchmarks.frame import Row, in_process, in_turn, worker_environment

ROUNDS, UPDATES = 3, {"cpu": 10, "cuda": 200}
TOLERANCE = 1e-4
"""Relative, of the first losses."""
PREDICTED = {"cpu": "0.8-0.9x: does not pay on CPU", "cuda": "1.2-1.7x of one lane"}


def rows(deadline: float) -> Iterator[Row]:
    """On CPU."""
    yield from on("cpu", deadline)


def on(device: str, deadline: float) -> Iterator[Row]:
    """The update (on a GPU in one lane), then what comes before the first one."""
    with tempfile.TemporaryDirectory() as cache:
        said: dict[str, list[dict[str, Any]]] = {"off": [], "on": []}

        def side(mode: str) -> float:
            options = [mode, str(UPDATES[device]), cache, device]
            said[mode].append(in_process("compile_side", options, worker_environment(1, gpu=device == "cuda")))
            return float(said[mode][-1]["seconds"])

        eager, compiled, rounds = in_turn(lambda: side("off"), lambda: side("on"), ROUNDS, deadline)
        if len(said["on"]) == 1:
            side("on")  # the programs of the first are on disk now
    first, later = said["on"][0], said["on"][1]
    apart = max(abs(a - b) / a for a, b in zip(said["off"][0]["losses"], first["losses"], strict=True))
    yield Row(
        name=f"U-Net update, compiled ({device})",
        unit="CPU ms" if device == "cpu" else "ms",
        theirs="eager",
        theirs_took=1e3 * eager,
        ours="torch.compile",
        ours_took=1e3 * compiled,
        agreement=f"first losses {apart:.1e} apart at most (asked: {TOLERANCE:g})",
        agrees=apart <= TOLERANCE,
        predicted=PREDICTED[device],
        rounds=rounds,
        left_out=f"making the program ready; --compile auto asks for {GAIN:g}x and that this is paid back",
    )
    same = first["losses"] == later["losses"]
    yield Row(
        name=f"U-Net, program ready ({device})",
        unit="s",
        theirs="compiled for the first time",
        theirs_took=first["ready"],
        ours="another process, from the cache",
        ours_took=later["ready"],
        agreement="losses bitwise equal" if same else "losses differ",
        agrees=same,
        predicted="5-20x",
        left_out="starting Python and importing torch",
    )
