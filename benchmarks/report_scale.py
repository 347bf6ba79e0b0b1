"""How long `ablate report` takes on 1,000 trials, with learning curves, with and without figures.

    python -m benchmarks.report_scale

The storage is fabricated: no training. Whole commands are timed, in processes of their own, the median of three;
processor seconds stand beside, for machines that do something else meanwhile. Asked for: 5 s and 20 s.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from ablate.outcome import Outcome, OutcomeKind
from ablate.storage.store import Store
from ablate.study.spec import Arm, Design, MetricSpec, Study

SHAPES = ((11, 91), (200, 5), (1000, 1))
"""(arms, seeds): about 1,000 trials each."""
ROUNDS = 3
POINTS = 5
"""Points of each learning curve."""
METRICS = (
    MetricSpec("quality", "max", margin=0.1, primary=True, unit="dB"),
    MetricSpec("similarity", "max", margin=0.005, digits=4),
    MetricSpec("train_seconds", "min", "log", 0.05, relative=True, unit="s"),
)


def fabricate(folder: Path, arms: int, seeds: int) -> int:
    """Write a finished study of that shape; return its number of trials."""
    settings = [{"level": float(place)} for place in range(arms)]
    names = ["baseline", *(f"level={place}" for place in range(1, arms))]
    all_arms = tuple(
        Arm(name, own, own, factor="level" if place else None)
        for place, (name, own) in enumerate(zip(names, settings, strict=True))
    )
    cells = {name: dict(own) for name, own in zip(names[1:], settings[1:], strict=True)}
    study = Study("many", "?", "none", all_arms, ("level",), METRICS, (seeds,), designs=(Design("vary", cells),))
    rng = np.random.default_rng(0)
    with Store.open(
        f"sqlite:///{folder / 'ablate.db'}",
        study.name,
        kinds={"level": "float"},
        primary="quality",
        direction="max",
        attributes={"ablate.plan": json.dumps(study.to_dict())},
    ) as store:
        for seed in range(seeds):
            shared = rng.normal()
            for place, arm in enumerate(all_arms):
                number = store.start(arm.name, seed, dict(arm.settings), {})
                quality = 20 + shared + 0.01 * place + 0.3 * rng.normal()
                for point in range(1, POINTS + 1):
                    store.curve(number, 100 * point, quality - 1 / point)
                metrics = {"quality": quality, "similarity": quality / 30, "train_seconds": 10 + rng.random()}
                recipe = study.recipe(arm, seed)
                store.finish(number, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=metrics, seconds=11.0), {})
    return arms * seeds


def timed(folder: Path, *options: str) -> tuple[float, float]:
    """Wall and processor seconds that ``ablate report many`` takes in a process of its own."""
    command = [sys.executable, "-m", "ablate", "report", "many", "--results", str(folder), "--quiet", *options]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, env={**os.environ, "COLUMNS": "80"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, spent


def middle(folder: Path, *options: str) -> str:
    """The medians of both, as printed."""
    wall, spent = zip(*(timed(folder, *options) for _ in range(ROUNDS)), strict=True)
    return f"{median(wall):.1f} ({median(spent):.1f})"


def main() -> None:
    """Print one Markdown row per shape."""
    print("wall seconds (processor seconds), medians\n")
    print("| arms x seeds | trials | without figures | with figures | report.html, MB |\n|---|---:|---:|---:|---:|")
    for arms, seeds in SHAPES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            trials = fabricate(folder, arms, seeds)
            plain, drawn = middle(folder, "--no-figures"), middle(folder)
            size = (folder / "many" / "report.html").stat().st_size / 1e6
            print(f"| {arms} x {seeds} | {trials:,} | {plain} | {drawn} | {size:.2f} |", flush=True)


if __name__ == "__main__":
    main()
