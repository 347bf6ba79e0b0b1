"""What a benchmark is: two sides measured in turn, the ratio of their medians, and whether their numbers agree."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Row:
    """One comparison. Times are medians, in `unit`."""

    name: str
    unit: str
    theirs: str
    """What ablate is compared with, in words."""
    theirs_took: float
    ours: str
    ours_took: float
    agreement: str
    """How the numbers of the two sides were compared, and how far apart they were."""
    agrees: bool
    predicted: str
    """What was expected before it was measured."""
    reach: float | None = None
    """The ratio that is asked for; None where the row only informs."""
    rounds: int = 1
    left_out: str = ""
    """What neither time includes, or what only one of them does."""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs_took / self.ours_took if self.ours_took else float("inf")

    @property
    def verdict(self) -> str:
        """Whether the row holds."""
        if not self.agrees:
            return "numbers differ"
        if self.reach is None:
            return "informs"
        return "reached" if self.ratio >= self.reach else "missed"


def in_turn(
    theirs: Callable[[], float], ours: Callable[[], float], rounds: int, deadline: float = float("inf")
) -> tuple[float, float, int]:
    """Measure both sides `rounds` times, always one after the other; return both medians and the rounds done.

    Each function returns what it took. After the first round no further one begins beyond `deadline` (time.monotonic).
    """
    took: list[tuple[float, float]] = []
    while len(took) < rounds and (not took or time.monotonic() < deadline):
        took.append((theirs(), ours()))
    return median(first for first, _ in took), median(second for _, second in took), len(took)


def seconds(work: Callable[[], Any]) -> float:
    """Return the wall seconds of `work`."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def clock(device: str = "cpu") -> float:
    """Return seconds on a clock for work on `device`.

    On CPU the time this process has computed: the same whatever else runs on the machine. On a GPU the wall clock,
    once the device has done what was asked of it.
    """
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def worker_environment(threads: int = 1, *, gpu: bool = False) -> dict[str, str]:
    """Return the environment that ablate gives a worker on CPU, or on the first GPU."""
    from ablate.engine.workers.local_process import environment
    from ablate.engine.workers.slots import Slot

    slot = Slot(
        0, "cuda:0" if gpu else "cpu", threads, os.environ.get("CUDA_VISIBLE_DEVICES", "0") if gpu else None, ""
    )
    return environment(os.environ, slot)


def plain_environment(threads: int) -> dict[str, str]:
    """Return this process's environment with `threads` for torch: what a script is started with."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def in_process(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run ``python -m benchmarks.<module>`` and return the JSON object on its last line."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"benchmarks.{module} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


HEADER = (
    "benchmark",
    "unit",
    "compared with",
    "took",
    "ablate",
    "took",
    "ratio",
    "asked",
    "",
    "agreement",
    "predicted",
)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as one Markdown table, what was left out below it."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    for row in rows:
        asked = "" if row.reach is None else f"{row.reach:g}x"
        cells = (
            *(row.name, row.unit, row.theirs, figure(row.theirs_took), row.ours, figure(row.ours_took)),
            *(f"{row.ratio:.2f}x", asked, row.verdict, row.agreement, row.predicted),
        )
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"* {row.name}: {row.left_out}" for row in rows if row.left_out]
    return "\n".join([*lines, "", *notes])


def figure(value: float) -> str:
    """Return a time with three digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    import torch

    from ablate.engine.workers.slots import processor_name, usable_cores

    found = {"processor": processor_name(), "cores": str(usable_cores()), "load": f"{os.getloadavg()[0]:.1f}"}
    found |= {"python": platform.python_version(), "torch": torch.__version__}
    if torch.cuda.is_available():
        found |= {"gpu": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda)}
    return found


def run_all(
    benchmarks: Mapping[str, Callable[[float], Iterator[Row]]], *, budget_s: float, json_path: Path
) -> Iterator[Row | str]:
    """Yield every row, or a line on why a benchmark gave none; `json_path` holds all rows so far.

    A benchmark gets the time (time.monotonic) by which it should end: an equal share of what is left.
    """
    began, rows, failed, at = time.monotonic(), [], {}, machine()

    def save() -> None:
        plain = [asdict(row) | {"ratio": row.ratio, "verdict": row.verdict} for row in rows]
        data = {"machine": at, "seconds": round(time.monotonic() - began, 1), "rows": plain, "failed": failed}
        json_path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    for place, (name, benchmark) in enumerate(benchmarks.items()):
        left = budget_s - (time.monotonic() - began)
        try:
            for row in benchmark(time.monotonic() + left / (len(benchmarks) - place)):
                rows.append(row)
                save()
                yield row
        except Exception as error:  # noqa: BLE001 - one benchmark that fails must not hide the others
            failed[name] = f"{type(error).__name__}: {error}"
            save()
            yield f"{name}: no figure, {failed[name]}"
