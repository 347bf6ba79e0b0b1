"""``optuna:URL#STUDY``: trials of an Optuna study that ablate did not make."""

from __future__ import annotations

from ablate.report.sources.runs import ForeignRun, flat

_OUTCOMES = {"COMPLETE": "measured", "FAIL": "failed", "PRUNED": "pruned"}


def optuna_runs(url: str, name: str | None) -> list[ForeignRun]:
    """Return the finished trials of a study; a seed may be a parameter or a user attribute.

    Numbers among the user attributes are metrics, too. Raises StorageError.
    """
    from ablate.storage.foreign_trials import read_foreign_study

    study = read_foreign_study(url, name)
    found = []
    for trial in study.trials:
        names = [objective for objective, _ in study.objectives]
        metrics = dict(zip(names, trial.values, strict=True)) if trial.values is not None else {}
        attributes = {key: value for key, value in trial.attributes.items() if not isinstance(value, bool)}
        words = {key: value for key, value in attributes.items() if not isinstance(value, float)}
        metrics |= {key: float(value) for key, value in attributes.items() if isinstance(value, float)}
        curve = tuple(sorted(trial.points.items()))
        found.append(
            ForeignRun(
                name=f"trial {trial.number}",
                params={
                    **flat(dict(trial.params)),
                    **{key: text for key, text in flat(words).items() if key == "seed"},
                },
                metrics=metrics,
                curves={names[0]: curve} if curve else {},
                outcome=_OUTCOMES.get(trial.state, "failed"),
                seconds=trial.seconds,
            )
        )
    return found
