"""What a start costs: a short training script by several tools, and the workers of ddpm-dip, warm and plain.

    python -m benchmarks.warm_starts [--trials 100] [--plain-trials 100] [--rounds 1] [--workers 3]

Workers of ddpm-dip are started one after another. Measured is what each one after the first adds: its private memory
(USS, from smaps_rollup) and the time until it is ready, which is when the core and torch are imported.
Then a script imports torch and trains a small network for 0.1 s of processor time, each time with another seed, on two
slots: by ``xargs -P2``, by a class core that calls subprocess, by `command` without and with ``warm: [torch]``, and by
Hydra's joblib launcher (if it is installed here). All take turns, and their losses are compared.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.frame import ROOT, machine

SCRIPT = """
import argparse, time
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
parser.add_argument("--steps", type=int)
parser.add_argument("--width", type=int)
words = parser.parse_args()
import torch
torch.manual_seed(words.seed)
net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
x, y = torch.randn(256, 64), torch.randint(10, (256,))
began = time.process_time()
for step in range(words.steps):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    if step == 0:
        began = time.process_time()  # what torch imports at its first step is no training
print("trained", time.process_time() - began)
print("loss", repr(loss.item()), flush=True)
"""
HYDRA = """
import sys
import hydra
@hydra.main(version_base=None, config_path=None, config_name=None)
def main(config):
    sys.argv = ["train.py", "--seed", str(config.seed), "--steps", str(config.steps)]
    with open(config.out + f"/{config.seed}.txt", "w") as sys.stdout:
        exec(compile(open(config.script).read(), "train.py", "exec"), {"__name__": "train"})
    sys.stdout = sys.__stdout__
if __name__ == "__main__":
    main()
"""
CORE = """
import re, subprocess, sys
from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind
class Settings(CoreSettings):
    steps: int = 1
    width: int = 0
class Script(Core):
    name, Settings, metrics = "script", Settings, (MetricInfo("loss", direction="min", margin=0.1),)
    def run(self, recipes, context):
        for recipe in recipes:
            words = [sys.executable, "train.py", "--seed", str(recipe.seed), "--steps", str(recipe.settings["steps"])]
            out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"loss": float(re.findall("loss (.*)", out)[-1])})
"""  # noqa: E501
STUDY = """
question: What does a start cost?
command: python train.py --seed {seed} --steps {steps} --width {width}
factors: {steps: STEPS, width: 0}
WARM
baseline: {}
vary: {width: [1]}
seeds: SEEDS
metrics: {loss: {direction: min, margin: 0.1, from: 'stdout:loss (.*)'}}
"""
CLASS_STUDY = """
question: What does a start cost?
core: script:Script
baseline: {steps: STEPS}
vary: {width: [1]}
seeds: SEEDS
metrics: {loss: {primary: true}}
"""
TARGET_CPU_S = 0.1


class Sides:
    """The ways to run the script, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "train.py").write_text(SCRIPT, encoding="utf-8")
        (folder / "app.py").write_text(HYDRA, encoding="utf-8")
        (folder / "script.py").write_text(CORE, encoding="utf-8")
        self.env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), self.env["PATH"]])
        self.steps = self._calibrated()
        self.losses: dict[str, list[float]] = {}

    def _calibrated(self) -> int:
        """Steps that take 0.1 s of processor time."""
        probe = 200
        out = self._call(["python", "train.py", "--seed", "0", "--steps", str(probe)])
        spent = float(out.split("trained ")[1].split()[0])
        return max(2, round(TARGET_CPU_S / (spent / (probe - 1))))

    def _call(self, words: list[str]) -> str:
        done = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{words[:3]}: exit code {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
        return done.stdout

    def xargs(self, trials: int) -> None:
        """Start the script for each seed, two at a time."""
        line = f"seq 0 {trials - 1} | xargs -P2 -I% sh -c 'python train.py --seed % --steps {self.steps} > %.txt'"
        self._call(["sh", "-c", line])
        self._keep("xargs", trials)

    def hydra(self, trials: int) -> None:
        """Let Hydra's joblib launcher do it, which keeps its processes."""
        words = ["python", "app.py", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]
        more = [f"+steps={self.steps}", f"+out={self.folder}", f"+script={self.folder / 'train.py'}"]
        self._call([*words, *more, f"+seed=range(0,{trials})"])
        self._keep("hydra", trials)

    def ablate(self, name: str, study: str, trials: int) -> None:
        """Run a study of two arms, which differ by name only, with storage and files as always; no report."""
        text = study.replace("STEPS", str(self.steps)).replace("SEEDS", str(trials // 2))
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        words = [
            "run",
            f"{name}.yaml",
            "--slots",
            "2",
            "--gpus",
            "none",
            "--no-figures",
            "--results",
            f"results-{name}-{time.time_ns()}",
        ]
        self._call(["python", "-m", "ablate", *words])
        # Only trials that are measured have a loss.
        found = sorted(self.folder.glob(f"results-{name}-*"))[-1]
        with next(found.glob("*/trials.csv")).open(encoding="utf-8", newline="") as handle:
            rows = {int(row["seed"]): float(row["loss"]) for row in csv.DictReader(handle) if row["arm"] == "baseline"}
        self.losses[name] = [rows[seed] for seed in sorted(rows)]

    def _keep(self, name: str, trials: int) -> None:
        texts = [(self.folder / f"{seed}.txt").read_text(encoding="utf-8") for seed in range(trials)]
        self.losses[name] = [float(text.split("loss ")[1]) for text in texts]


def scripts(trials: int, plain_trials: int, rounds: int) -> dict[str, object]:
    """Return seconds of wall time per trial, by side: the median over rounds in which all take turns."""
    with tempfile.TemporaryDirectory() as place:
        sides = Sides(Path(place))
        warm, plain = STUDY.replace("WARM", "warm: [torch]"), STUDY.replace("WARM", "")
        runs: dict[str, tuple[Callable[[int], None], int]] = {
            "xargs -P2": (sides.xargs, plain_trials),
            "class core with subprocess": (lambda n: sides.ablate("class", CLASS_STUDY, n), plain_trials),
            "ablate command": (lambda n: sides.ablate("plain", plain, n), plain_trials),
            "ablate command, warm: [torch]": (lambda n: sides.ablate("warm", warm, n), trials),
        }
        if importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(
            "hydra_plugins.hydra_joblib_launcher"
        ):
            runs["Hydra joblib launcher"] = (sides.hydra, trials)
        took: dict[str, list[float]] = {name: [] for name in runs}
        failed: dict[str, str] = {}
        for _ in range(rounds):
            for name, (run, count) in runs.items():
                began = time.perf_counter()
                try:
                    run(count)
                except RuntimeError as error:
                    failed[name] = str(error)
                    continue
                took[name].append((time.perf_counter() - began) / count)
                print(
                    f"{name}: {took[name][-1]:.3f} s per trial ({count} trials), load {os.getloadavg()[0]:.1f}",
                    file=sys.stderr,
                    flush=True,
                )
        least = min(map(len, sides.losses.values()))
        first = next(iter(sides.losses.values()))[:least]
        agree = {name: sum(a == b for a, b in zip(first, found, strict=False)) for name, found in sides.losses.items()}
        return {
            "steps": sides.steps,
            "seconds per trial": {name: median(times) for name, times in took.items() if times},
            "trials": {name: count for name, (_, count) in runs.items()},
            "equal losses": f"{agree} of {least}",
            "failed": failed,
        }


def uss_mb(pid: int) -> float:
    """Private memory of a process, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def workers(count: int, *, warm: bool, folder: Path) -> list[dict[str, float]]:
    """Start workers of ddpm-dip one after another; return what each took to be ready, and its private memory.

    Then each computes one small trial, one after another, and its memory is taken again.
    """
    from ablate.core.settings import DdpmDipSettings
    from ablate.engine.workers.launcher_api import WARM_WORKERS, LocalLauncher
    from ablate.engine.workers.messages import (
        VERSION,
        Assignment,
        BatchDone,
        Hello,
        Ready,
        RunBatch,
        WorkerNote,
        WorkerSetup,
    )
    from ablate.engine.workers.slots import Slot
    from ablate.interface import EAGER, SERIAL
    from ablate.paths import ResultsPaths
    from ablate.recipe import Recipe

    os.environ[WARM_WORKERS] = str(int(warm))
    results = ResultsPaths(folder / "results")
    paths = results.study("bench")
    paths.workers.mkdir(parents=True)
    results.cache.mkdir(parents=True, exist_ok=True)
    setup = WorkerSetup("ddpm-dip", {}, None, tuple(map(Path, sys.path)), results.folder, results.cache,
                        frozenset({"psnr"}), "psnr", 60.0, SERIAL, frozenset(), EAGER)  # fmt: skip
    found: list[dict[str, float]] = []

    def until(worker, kind) -> None:  # type: ignore[no-untyped-def]
        while True:
            select.select([worker.news], [], [])
            messages = worker.receive()
            if messages is None:
                raise RuntimeError(f"the worker is gone: {worker.reap()}")
            for message in messages:
                if isinstance(message, WorkerNote):
                    print(message.text, file=sys.stderr)
                if isinstance(message, kind):
                    return

    with LocalLauncher().opened(paths) as place:
        alive = []
        for index in range(count):
            slot = Slot(index, "cpu", 1, None, "CPU")
            began = time.perf_counter()
            worker = place.launch(slot, paths.workers / f"{index}.log", Hello(VERSION, setup, "cpu", "CPU", 1))
            alive.append(worker)
            until(worker, Ready)
            found.append({"ready_s": time.perf_counter() - began, "ready_uss_mb": uss_mb(worker.pid)})
        small = {
            "cap_per_image": 30,
            "train_images": 24,
            "eval_images": 3,
            "warmup_steps": 2,
            "dip_steps": 6,
            "epochs": 1,
        }
        settings = DdpmDipSettings(**small).resolved()
        for index, worker in enumerate(alive):
            trial = paths.trial("bench", index)
            trial.folder.mkdir(parents=True)
            recipe = Recipe("ddpm-dip", settings, index)
            worker.send(RunBatch("bench", (Assignment(recipe, trial.folder, "bench", index),)))
            until(worker, BatchDone)
            found[index]["trained_uss_mb"] = uss_mb(worker.pid)
        for worker in alive:
            worker.kill()
            worker.reap()
    return found


def further(rounds: list[list[dict[str, float]]]) -> dict[str, float]:
    """Return the medians over all workers but the first of each round."""
    rest = [one for found in rounds for one in found[1:]]
    return {name: median(one[name] for one in rest) for name in rest[0]}


def main() -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="of the sides that keep a process")
    parser.add_argument("--plain-trials", type=int, default=100, help="of the sides that start one for each")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3, help="of ddpm-dip, of each kind; 0 leaves them out")
    words = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(json.dumps(machine()), flush=True)
    if words.workers:
        sides: dict[str, list[list[dict[str, float]]]] = {"plain": [], "warm": []}
        for _ in range(max(2, words.rounds)):
            for name, found in sides.items():
                with tempfile.TemporaryDirectory() as folder:
                    found.append(workers(words.workers, warm=name == "warm", folder=Path(folder)))
                print(name, found[-1], file=sys.stderr, flush=True)
        plain, warm = further(sides["plain"]), further(sides["warm"])
        firsts = {name: median(one[0]["ready_s"] for one in found) for name, found in sides.items()}
        print("| each further worker of ddpm-dip | plain | warm | warm / plain |\n|---|---:|---:|---:|")
        for name in plain:
            print(f"| {name} | {plain[name]:.3g} | {warm[name]:.3g} | {warm[name] / plain[name]:.3f} |")
        ratio = firsts["warm"] / firsts["plain"]
        print(f"| first worker, ready_s | {firsts['plain']:.3g} | {firsts['warm']:.3g} | {ratio:.2f} |")
    if words.trials:
        found = scripts(words.trials, words.plain_trials, words.rounds)
        times = found["seconds per trial"]
        assert isinstance(times, dict)
        print("\n| script | s per trial | of xargs |\n|---|---:|---:|")
        for name, value in times.items():
            print(f"| {name} | {value:.3f} | {value / times['xargs -P2']:.3f} |")
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
