"""The first study, by this build and by an earlier one, in turn on this machine: seconds, and what every arm reached.

    mkdir /tmp/before; git archive 15ce952 | tar -x -C /tmp/before
    python -m benchmarks.first_study --before /tmp/before             # one seed: some five minutes on two cores
    python -m benchmarks.first_study --before /tmp/before --seeds 3

Each build runs its own studies/schedules.yaml in an empty folder, as the README says: one worker per core, one thread
per worker. Figures are left out: they are the same work in both. `--short` is a trial of 16 updates that asks for PSNR
alone.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).parents[1]
METRICS = ("psnr", "ssim", "psnr_onestep", "val_ratio_s15", "val_ratio_s25", "val_ratio_s50")
SHORT = """\
core: ddpm-dip
baseline: {method: ddpm, train_images: 256, batch_size: 16, eval_images: 32, generated_images: 0}
vary: {noise_schedule: [cosine]}
seeds: 1
metrics: {psnr: {primary: true}}
"""


@dataclass(frozen=True)
class Ran:
    """What one build did."""

    wall_s: float
    cpu_s: float
    trials_s: float
    """Seconds of all trials together, without the start of the command and of its workers, and without the report."""
    arms: dict[str, dict[str, list[float]]]
    """Arm -> metric -> one value per seed."""


def cpu_seconds() -> float:
    """Return the processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(tree: Path, study: Path, *options: str) -> Ran:
    """Run `study` with the build in `tree`, in an empty folder."""
    env = {**os.environ, "PYTHONPATH": str(tree)}
    words = [sys.executable, "-m", "ablate", "run", str(study), "--gpus", "none", "--no-figures"]
    with tempfile.TemporaryDirectory() as folder:
        began, before = time.monotonic(), cpu_seconds()
        subprocess.run([*words, "--quiet", *options], cwd=folder, env=env, check=True, capture_output=True)
        wall, cpu = time.monotonic() - began, cpu_seconds() - before
        (table,) = Path(folder).glob("results/*/trials.csv")
        arms: dict[str, dict[str, list[float]]] = {}
        trials = 0.0
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                trials += float(row["seconds"])
                values = arms.setdefault(row["arm"], {})
                for name in METRICS:
                    if row.get(name):
                        values.setdefault(name, []).append(float(row[name]))
    return Ran(wall, cpu, trials, arms)


def main() -> None:
    """Print both times and, arm by arm, both values of every metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="folder with the other build")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="how often both run; the fastest counts")
    parser.add_argument("--short", action="store_true", help="the short trial instead of the first study")
    options = parser.parse_args()
    trees = {"before": options.before.resolve(), "now": ROOT}
    best: dict[str, Ran] = {}
    with tempfile.TemporaryDirectory() as folder:
        short = Path(folder, "short.yaml")
        short.write_text(SHORT, encoding="utf-8")
        for _ in range(options.rounds):
            for name, tree in trees.items():
                study = short if options.short else tree / "studies" / "schedules.yaml"
                ran = run(tree, study, "--seeds", str(options.seeds))
                if name not in best or ran.cpu_s < best[name].cpu_s:
                    best[name] = ran
    print("| build | wall s | CPU s | s of all trials |\n|---|---|---|---|")
    for name, ran in best.items():
        print(f"| {name} | {ran.wall_s:.1f} | {ran.cpu_s:.1f} | {ran.trials_s:.1f} |")
    before, now = best["before"], best["now"]
    ratios = before.wall_s / now.wall_s, before.cpu_s / now.cpu_s, before.trials_s / now.trials_s
    print(f"| times as fast | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |\n")
    print(f"| arm | {' | '.join(METRICS)} |\n|---|{'---|' * len(METRICS)}")
    for arm, values in best["now"].arms.items():
        then = best["before"].arms.get(arm, {})
        cells = [
            f"{mean(then[name]):.4f} → {mean(values[name]):.4f}" if name in values and name in then else ""
            for name in METRICS
        ]
        print(f"| {arm} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
