"""How the engine's cost grows: its pure state on up to 1,000 fake slots, and whole runs and commands on this machine.

    python -m benchmarks.engine_scale [--quick] [--json FILE]

The simulation has no processes and no torch: trials last a drawn time on a fake clock, and the state machine is fed
the events that real workers would cause. It shows microseconds of engine work per event, and makespan / ideal, where
ideal is the larger of the longest trial and all work shared out evenly over the slots. The runs use a core that does
nothing, so that what is measured is the engine, the storage and the files; `plan`, `status` and `report` are timed as
whole commands on what the runs left.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ablate.engine.rules import events_actions
from ablate.engine.rules.events_actions import Planned
from ablate.engine.rules.limits import Policy
from ablate.engine.rules.machine import EngineState
from ablate.interface import Stage
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import digest_of

HERE = Path(__file__).parent
PROGRESS_EVENTS = 4
"""Signs of life of each simulated trial."""


@dataclass(frozen=True)
class Simulated:
    """One simulated run."""

    trials: int
    slots: int
    events: int
    us_per_event: float
    makespan_ratio: float
    known: bool
    """Whether the core said what trials cost; else the engine learns it as it goes."""


def simulate(trials: int, slots: int, *, known: bool, seed: int = 0) -> Simulated:
    """Run `trials` with log-normal durations (standard deviation of the log 0.8) on `slots`, on a fake clock."""
    durations = np.random.default_rng(seed).lognormal(5.0, 0.8, trials)
    planned = [_planned(number, float(durations[number]) if known else None) for number in range(trials)]
    seconds = {one.key: float(durations[number]) for number, one in enumerate(planned)}
    state = EngineState(planned, [f"gpu{index}" for index in range(slots)], Policy())
    queue: list[tuple[float, int, events_actions.Event]] = [(0.0, 0, events_actions.RunBegan(0.0))]
    count = worked = 0
    ended = 0.0
    while queue:
        at, _, event = heapq.heappop(queue)
        began = time.perf_counter_ns()
        actions = state.handle(event)
        worked += time.perf_counter_ns() - began
        count += 1
        ended = max(ended, at) if isinstance(event, events_actions.OutcomeArrived) else ended
        for action in actions:
            for answer in _answers(action, at, seconds):
                heapq.heappush(queue, (answer.at, count * 1000 + len(queue), answer))
    ideal = max(float(durations.max()), float(durations.sum()) / slots)
    return Simulated(trials, slots, count, worked / count / 1000, ended / ideal, known)


def _planned(number: int, cost: float | None) -> Planned:
    name = f"lr={number}"
    digest = digest_of({"trial": number})
    stages = () if cost is None else (Stage("train", hashlib.sha256(name.encode()).hexdigest(), cost),)
    return Planned((name, 0), digest, digest, stages)


def _answers(
    action: events_actions.Action, at: float, seconds: dict[events_actions.Key, float]
) -> Iterator[events_actions.Event]:
    """What a worker that never fails answers to an action."""
    if isinstance(action, events_actions.StartWorker):
        yield events_actions.WorkerReady(at, action.slot)
    elif isinstance(action, events_actions.LetLeave):
        yield events_actions.WorkerDied(at, action.slot, "left")
    elif isinstance(action, events_actions.PlaceBatch):
        (key,) = action.keys
        end = at + seconds[key]
        for part in range(1, PROGRESS_EVENTS + 1):
            yield events_actions.ProgressMade(
                at + seconds[key] * part / (PROGRESS_EVENTS + 1), action.slot, key, "train"
            )
        outcome = Outcome(OutcomeKind.MEASURED, "", metrics={"score": 1.0}, seconds=seconds[key])
        yield events_actions.OutcomeArrived(end, action.slot, key, outcome)
        yield events_actions.BatchEnded(math.nextafter(end, math.inf), action.slot)


@dataclass(frozen=True)
class Took:
    """What a command took. Other programs on the machine disturb its wall time more than its processor time."""

    wall_s: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} ({self.processor_s:.2f})"


@dataclass(frozen=True)
class Ran:
    """One real run of trials that do nothing, and the commands after it."""

    trials: int
    run_ms_per_trial: float
    """Wall time of engine, storage and files, start-up left out (that of a run of two trials)."""
    fresh_plan: Took
    """Of as many trials of ``ddpm-dip``, none of them run."""
    plan: Took
    """Of the trials that were run."""
    status: Took
    report: Took
    """Without figures."""


def run(trials: int, seeds: int = 10) -> Ran:
    """Run `trials` no-op trials on two slots, then the commands; each is a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "durations.json").write_text(json.dumps([0.0] * max(2, trials // seeds)), encoding="ascii")
        _study(place / "two.yaml", 2, 1)
        _study(place / "many.yaml", max(2, trials // seeds), seeds)
        quiet = ("--slots", "2", "--gpus", "none", "--no-report", "--quiet")
        _fresh(place / "fresh.yaml", max(2, trials // seeds), seeds)
        start = _timed(place, "run", "two.yaml", *quiet)
        whole = _timed(place, "run", "many.yaml", *quiet)
        fresh = _timed(place, "plan", "fresh.yaml")
        plan, status = _timed(place, "plan", "many.yaml"), _timed(place, "status", "many")
        report = _timed(place, "report", "many", "--no-figures")
        per_trial = 1000 * (whole.wall_s - start.wall_s) / (trials - 2)
        return Ran(trials, per_trial, fresh, plan, status, report)


def _study(path: Path, arms: int, seeds: int) -> None:
    levels = ", ".join(str(number) for number in range(1, arms))
    path.write_text(
        f"question: What does a trial cost?\ncore: waiting_core:Waiting\nbaseline: {{i: 0}}\nvary: {{i: [{levels}]}}\n"
        f"seeds: {seeds}\nmetrics: {{score: {{primary: true, margin: 1}}}}\n",
        encoding="ascii",
    )


def _fresh(path: Path, arms: int, seeds: int) -> None:
    levels = "".join(f"  - {(7 * number + 1) / 1e6:.6f}\n" for number in range(1, arms))  # none is the default
    path.write_text(
        f"question: What does a plan cost?\ncore: ddpm-dip\nbaseline: {{method: dip+ddpm}}\nvary:\n  lr:\n{levels}"
        f"seeds: {seeds}\nmetrics: {{psnr: {{primary: true, margin: 0.1}}}}\n",
        encoding="ascii",
    )


def _timed(place: Path, *words: str) -> Took:
    (place / "trials").mkdir(exist_ok=True)
    paths = os.pathsep.join((str(HERE / "peers"), str(HERE.parent)))
    more = {"PYTHONPATH": paths, "DURATIONS": str(place / "durations.json"), "TRIALS": str(place / "trials")}
    command = [sys.executable, "-m", "ablate", *words]
    began, before = time.perf_counter(), _children_s()
    done = subprocess.run(command, cwd=place, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    took = Took(time.perf_counter() - began, _children_s() - before)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return took


def _children_s() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tables(simulated: Sequence[Simulated], ran: Sequence[Ran]) -> str:
    """Return both tables as Markdown."""
    lines = ["| trials | slots | costs known | events | us per event | events per s | makespan / ideal |"]
    lines.append("|---:|---:|---|---:|---:|---:|---:|")
    lines += [
        f"| {row.trials:,} | {row.slots:,} | {'yes' if row.known else 'learnt'} | {row.events:,} "
        f"| {row.us_per_event:.1f} | {1e6 / row.us_per_event:,.0f} | {row.makespan_ratio:.3f} |"
        for row in simulated
    ]
    lines += [
        "",
        "Wall seconds of commands, in brackets processor seconds:",
        "",
        "| trials | engine, storage and files, ms per trial | plan of ddpm-dip, none run | plan, all run "
        "| status | report without figures |",
    ]
    lines.append("|---:|---:|---:|---:|---:|---:|")
    lines += [
        f"| {row.trials:,} | {row.run_ms_per_trial:.1f} | {row.fresh_plan} | {row.plan} | {row.status} | {row.report} |"
        for row in ran
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the runs of 10,000 trials")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    words = parser.parse_args()
    sizes = [(100, 10), (1000, 100), (10_000, 100), (10_000, 1000)]
    simulated = [simulate(trials, slots, known=known) for trials, slots in sizes for known in (True, False)]
    ran = [run(trials) for trials in ([20, 1000] if words.quick else [20, 1000, 10_000])]
    print(tables(simulated, ran))
    if words.json is not None:
        figures = {"simulated": [asdict(row) for row in simulated], "ran": [asdict(row) for row in ran]}
        words.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
