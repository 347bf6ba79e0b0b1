"""Start a side on a list of trials, and read from what the trials wrote how it went."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT_S = 300.0


@dataclass(frozen=True)
class Peer:
    """Another tool: what to install, and the script that runs the trials with it."""

    name: str
    requirements: tuple[str, ...]
    script: str


PEERS = (
    Peer("joblib loky", ("joblib==1.6.0",), "side_joblib.py"),
    Peer("Optuna, threads, in memory", ("optuna==5.0.0",), "side_optuna_memory.py"),
    Peer("Optuna, 2 processes, SQLite", ("optuna==5.0.0",), "side_optuna_sqlite.py"),
    Peer("Hydra joblib launcher", ("hydra-core==1.3.8", "hydra-joblib-launcher==1.2.0"), "side_hydra.py"),
    Peer("Ray Tune, actors reused", ("ray[tune]==2.60.0",), "side_ray.py"),
)


@dataclass(frozen=True)
class Went:
    """How one side did on one list of trials."""

    start_s: float
    """From the command to the first trial."""
    makespan_s: float
    """From the first trial's begin to the last one's end."""
    total_s: float
    """From the command to its end."""
    trials: int
    """Trials that ran: more than there are when some ran twice."""
    distinct: int
    error: str = ""
    """Last line of what it said when it failed: its times then mean nothing."""


def prepare(peer: Peer, folder: Path) -> Path:
    """Install a peer into an environment of its own below `folder`, unless it is there; return its Python."""
    place = folder / "-".join(peer.requirements).replace("[", "_").replace("]", "_")
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.requirements], check=True)
        (place / "complete").touch()
    return python


def run_peer(python: Path, peer: Peer, durations: Sequence[float]) -> Went:
    """Run the trials with a peer."""
    return _run([str(python), str(HERE / peer.script), json.dumps(list(durations))], {})


def run_ablate(durations: Sequence[float]) -> Went:
    """Run the trials with ablate: one arm per trial, storage and files as always, no report."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "durations.json").write_text(json.dumps(list(durations)), encoding="ascii")
        levels = ", ".join(str(number) for number in range(1, len(durations)))
        (place / "bench.yaml").write_text(
            f"question: How long?\ncore: waiting_core:Waiting\nbaseline: {{i: 0}}\nvary: {{i: [{levels}]}}\n"
            "seeds: 1\nmetrics: {score: {primary: true, margin: 1}}\n",
            encoding="ascii",
        )
        command = [sys.executable, "-m", "ablate", "run", str(place / "bench.yaml"), "--slots", "2", "--gpus", "none"]
        command += ["--no-report", "--quiet", "--results", str(place / "results")]
        paths = os.pathsep.join((str(HERE), str(ROOT)))
        return _run(command, {"DURATIONS": str(place / "durations.json"), "PYTHONPATH": paths})


def _run(command: Sequence[str], more: Mapping[str, str]) -> Went:
    with tempfile.TemporaryDirectory() as trials, tempfile.TemporaryDirectory() as work:
        environment = {**os.environ, "TRIALS": trials, "RAY_TRAIN_V2_ENABLED": "0", **more}
        began = time.time()
        done = subprocess.run(
            command, env=environment, cwd=work, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        ended = time.time()
        found = {path.name: path.read_text(encoding="ascii").split() for path in Path(trials).iterdir()}
    begins = [float(begin) for begin, _ in found.values()]
    ends = [float(end) for _, end in found.values()]
    distinct = len({name.partition("-")[0] for name in found})
    error = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
    start, makespan = (min(begins) - began, max(ends) - min(begins)) if found else (float("nan"), float("nan"))
    return Went(start, makespan, ended - began, len(found), distinct, error)
