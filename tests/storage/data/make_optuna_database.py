"""Make a small database with the Optuna that runs this: ``python make_optuna_database.py FILE.db``.

The SQL files beside it came from it, each in an environment of its own (Python 3.11), with ``TZ=Asia/Tokyo``, and
``"\n".join(sqlite3.connect("FILE.db").iterdump())``:

* optuna-2.10.sql: optuna 2.10.1, SQLAlchemy 1.4.54, alembic 1.13.3, numpy 1.26.4
* optuna-3.6.sql: optuna 3.6.2, SQLAlchemy 2.0.58, alembic 1.20.1, numpy 1.26.4
* optuna-4.0.sql: optuna 4.0.0, SQLAlchemy 2.0.58, alembic 1.20.1, numpy 2.1.3
"""

from __future__ import annotations

import sys

import optuna


def objective(trial: optuna.Trial) -> float:
    """One param of each kind, a curve of two points, and a trial that is pruned."""
    x = trial.suggest_float("x", 1e-5, 1e-1, log=True)
    depth = trial.suggest_int("depth", 1, 3)
    kind = trial.suggest_categorical("kind", ["linear", "cosine"])
    trial.set_user_attr("note", kind)
    for step in range(2):
        trial.report(depth + step + x, step)
    if depth == 2:
        raise optuna.TrialPruned
    return depth + x


def main() -> None:
    """Three trials of one study."""
    url = f"sqlite:///{sys.argv[1]}"
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=url, study_name="tuning", direction="maximize", sampler=sampler)
    study.set_user_attr("owner", "somebody")
    study.optimize(objective, n_trials=3)


if __name__ == "__main__":
    main()
