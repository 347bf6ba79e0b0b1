"""Trials of an Optuna study that ablate did not make, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import RDBStorage

from ablate.errors import StorageError
from ablate.storage.address import shown, sqlite_path
from ablate.storage.database import explained
from ablate.storage.faults import unusable
from ablate.storage.row_reading import unknown_study
from ablate.storage.server import open_for_reading


@dataclass(frozen=True)
class ForeignTrial:
    """One finished trial of somebody's study."""

    number: int
    params: Mapping[str, Any]
    values: Sequence[float] | None
    """One per objective; None for a trial that gave none."""
    state: str
    """Optuna's word: COMPLETE, PRUNED, FAIL."""
    attributes: Mapping[str, Any]
    points: Mapping[int, float]
    """Step -> intermediate value."""
    seconds: float | None


@dataclass(frozen=True)
class ForeignStudy:
    """Somebody's Optuna study."""

    name: str
    objectives: tuple[tuple[str, str], ...]
    """(name, ``max`` or ``min``) of each objective."""
    trials: tuple[ForeignTrial, ...]


def read_foreign_study(url: str, name: str | None) -> ForeignStudy:
    """Read the study `name` (or the only one there) of any Optuna database; nothing is created or changed.

    Raises StorageError when there is none, and for a database that this Optuna cannot read.
    """
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise StorageError(f"there is no database {path}")
    where = shown(url)
    try:
        with explained(where):
            storage = open_for_reading(url) if path is None else RDBStorage(_read_only(path))
            if storage is None:
                raise StorageError(f"{where} holds no study of Optuna's: it has none of its tables")
            names = optuna.get_all_study_names(storage)
            chosen = name if name is not None else names[0] if len(names) == 1 else None
            if chosen is None:
                raise StorageError(
                    f"{where} holds {len(names)} studies",
                    hint=f"name one: optuna:{where}#{names[0] if names else 'NAME'}",
                )
            if chosen not in names:
                raise unknown_study(chosen, names, where)
            return _taken(optuna.load_study(study_name=chosen, storage=storage))
    except RuntimeError as error:
        raise unusable(error, where) from error


def _read_only(path: Path) -> str:
    return f"sqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true"


def _taken(study: optuna.Study) -> ForeignStudy:
    count = len(study.directions)
    named = study.metric_names or (["value"] if count == 1 else [f"value_{at}" for at in range(count)])
    ways = ["max" if direction.name == "MAXIMIZE" else "min" for direction in study.directions]
    trials = tuple(_trial(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
    return ForeignStudy(study.study_name, tuple(zip(named, ways, strict=True)), trials)


def _trial(trial: optuna.trial.FrozenTrial) -> ForeignTrial:
    took = trial.duration
    return ForeignTrial(
        number=trial.number,
        params=dict(trial.params),
        values=trial.values,
        state=trial.state.name,
        attributes=dict(trial.user_attrs),
        points=dict(trial.intermediate_values),
        seconds=None if took is None else took.total_seconds(),
    )
