"""``KIND:PLACE#NAME`` to a table of trials."""

from __future__ import annotations

import difflib
from pathlib import Path

from ablate.errors import AblateError
from ablate.report.data.csv_reader import read_table
from ablate.report.sources.hydra_runs import hydra_runs
from ablate.report.sources.mlflow_runs import mlflow_runs
from ablate.report.sources.optuna_runs import optuna_runs
from ablate.report.sources.runs import ForeignTable, Naming, check_measured, table_of
from ablate.report.sources.tensorboard_runs import tensorboard_runs
from ablate.report.sources.wandb_export import wandb_runs
from ablate.storage.address import without_password

KINDS = ("csv", "hydra", "mlflow", "optuna", "tensorboard", "wandb")
"""Where results may come from."""


def read_source(source: str, naming: Naming, metrics: tuple[str, ...] = ()) -> ForeignTable:
    """Return the trials of `source`, ``KIND:PLACE`` or ``KIND:PLACE#NAME``.

    | source | what is read |
    |---|---|
    | ``csv:FILE`` | a table with the columns arm, seed and one per metric |
    | ``mlflow:URI#EXPERIMENT`` | the ended runs of an experiment |
    | ``tensorboard:DIR`` | one run per folder with event files |
    | ``wandb:FILE.csv`` | the table of runs that W&B exports |
    | ``optuna:URL#STUDY`` | the finished trials of a study |
    | ``hydra:DIR#FILE`` | the jobs of a multirun, metrics from FILE (default metrics.json) in each |

    `metrics` are the names asked for; only wandb needs them, to tell metrics from parameters. Raises AblateError.
    """
    kind, colon, place = source.partition(":")
    if not colon or kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {near[0]}:PLACE?" if near else f"known: {', '.join(f'{one}:' for one in KINDS)}"
        raise AblateError(f"unknown source {source!r}", hint=hint)
    if kind == "csv":
        return ForeignTable(read_table(Path(place)), {})
    where, _, name = place.partition("#")
    if not where:
        raise AblateError(f"{source!r} names no place", hint=f"for example {kind}:PLACE")
    match kind:
        case "mlflow":
            runs = mlflow_runs(where, name or None)
        case "tensorboard":
            runs = tensorboard_runs(Path(where))
        case "wandb":
            runs = wandb_runs(Path(where), metrics)
        case "optuna":
            runs = optuna_runs(where, name or None)
        case _:
            runs = hydra_runs(Path(where), name or None)
    if kind != "wandb":  # there the names that are asked for say what is a metric
        check_measured(runs, without_password(source))
    return table_of(runs, without_password(source), naming)
