"""Optuna: `study.optimize` in two processes on one SQLite file, as its manual shows for several processes."""

from __future__ import annotations

import json
import subprocess
import sys

import optuna
from work import trial

durations = json.loads(sys.argv[1])
url = "sqlite:///optuna.db"
optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(asked: optuna.Trial) -> float:
    """Run the trial that was queued."""
    number = asked.suggest_int("i", 0, len(durations) - 1)
    return trial(number, durations[number])


if len(sys.argv) > 2:
    study = optuna.load_study(study_name="bench", storage=url)
    study.optimize(objective, n_trials=len(durations) // 2)
else:
    study = optuna.create_study(study_name="bench", storage=url)
    for number in range(len(durations)):
        study.enqueue_trial({"i": number})
    workers = [subprocess.Popen([sys.executable, __file__, sys.argv[1], "worker"]) for _ in range(2)]
    sys.exit(max(worker.wait() for worker in workers))
