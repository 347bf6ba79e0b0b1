"""Optuna: `study.optimize` with two threads, nothing kept on disk."""

from __future__ import annotations

import json
import sys

import optuna
from work import trial

durations = json.loads(sys.argv[1])
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study()
for number in range(len(durations)):
    study.enqueue_trial({"i": number})


def objective(asked: optuna.Trial) -> float:
    """Run the trial that was queued."""
    number = asked.suggest_int("i", 0, len(durations) - 1)
    return trial(number, durations[number])


study.optimize(objective, n_trials=len(durations), n_jobs=2)
