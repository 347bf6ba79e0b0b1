"""What a tool costs beside the trials: start-up, milliseconds per trial, and how well two workers are filled.

    python -m benchmarks.orchestration [--environments DIR] [--json FILE]

Every tool runs the same trials with two workers: 100 that do nothing, 24 of 0.75 s, and 15 of 0.75 s with one of 6 s
behind them (the worst order for whoever takes them as they come). Each peer is installed from PyPI into an environment
of its own, and all take turns. Makespan counts from the first trial's begin to the last one's end, so that start-up is
a column of its own. ablate keeps every trial in SQLite and in files meanwhile; what each peer keeps is said.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.peers.sides import PEERS, Went, prepare, run_ablate, run_peer

NOTHING = [0.0] * 100
EVEN = [0.75] * 24
UNEVEN = [0.75] * 15 + [6.0]
KEPT = {
    "joblib loky": "nothing",
    "Optuna, threads, in memory": "nothing",
    "Optuna, 2 processes, SQLite": "SQLite",
    "Hydra joblib launcher": "files",
    "Ray Tune, actors reused": "files",
    "ablate": "SQLite and files",
}


@dataclass(frozen=True)
class Figures:
    """One tool."""

    name: str
    kept: str
    start_s: float
    ms_per_trial: float
    even: float
    uneven: float
    ran: int
    distinct: int
    runs: int
    errors: tuple[str, ...]


def ideal_s(durations: Sequence[float], workers: int = 2) -> float:
    """Return the least makespan anybody could reach (a lower bound that these lists attain)."""
    return max(max(durations), sum(durations) / workers)


def measure(name: str, run: Callable[[Sequence[float]], Went], rounds: int) -> Figures:
    """Run every list `rounds` times; medians over the runs that did not fail, NaN where all of them did."""
    nothing = [run(NOTHING) for _ in range(rounds)]
    even, uneven = [run(EVEN) for _ in range(rounds)], [run(UNEVEN) for _ in range(rounds)]
    every = [*nothing, *even, *uneven]
    return Figures(
        name,
        KEPT[name],
        _median(every, "start_s"),
        1000 * _median(nothing, "makespan_s") / len(NOTHING),
        _median(even, "makespan_s") / ideal_s(EVEN),
        _median(uneven, "makespan_s") / ideal_s(UNEVEN),
        sum(went.trials for went in every),
        sum(went.distinct for went in every),
        len(every),
        tuple(went.error for went in every if went.error),
    )


def _median(runs: Sequence[Went], what: str) -> float:
    sound = [getattr(went, what) for went in runs if not went.error]
    return median(sound) if sound else float("nan")


def table(rows: Sequence[Figures]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| | keeps | first trial after, s | ms per no-op trial | 24 even, makespan / ideal "
        "| 16 uneven, makespan / ideal | trials run, of them different | runs that failed |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = (f"{row.start_s:.2f}", f"{row.ms_per_trial:.1f}", f"{row.even:.2f}", f"{row.uneven:.2f}")
        lines.append(
            f"| {row.name} | {row.kept} | {' | '.join(cells)} | {row.ran}, {row.distinct} "
            f"| {len(row.errors)} of {row.runs} |"
        )
    notes = [f"* {row.name}: {error}" for row in rows for error in sorted(set(row.errors))]
    return "\n".join([*lines, "", *notes])


def main() -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, default=Path(".venv-peers"), help="where peers are installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    words = parser.parse_args()
    rows = [measure("ablate", run_ablate, words.rounds)]
    for peer in PEERS:
        python = prepare(peer, words.environments.absolute())
        rows.append(measure(peer.name, lambda durations, p=python, q=peer: run_peer(p, q, durations), words.rounds))
    print(table(rows))
    if words.json is not None:
        words.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
