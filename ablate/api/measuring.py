"""Metrics that a study did not ask for, measured later from what its trials left in the stage cache.

Nothing is trained. A value is written into the trial's outcome file first, then into the storage, by a store that holds
the study alone: after an interruption the same command goes on where it stopped.
"""

from __future__ import annotations

import difflib
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablate.api.param_kinds import param_kinds
from ablate.api.stored_studies import ResultsLocation, StoredStudy, latest, name_of
from ablate.core.shared.registry import BUILT_IN, core_class
from ablate.engine.records.folders import read_outcome, writing
from ablate.engine.records.lock import StudyLock
from ablate.engine.workers.messages import Assignment, RunBatch
from ablate.engine.workers.slots import list_gpus, visible_gpus
from ablate.engine.workers.trial_context import WorkerTrialContext
from ablate.engine.workers.worker import apply_threads
from ablate.errors import AblateError, ResultsError, StudyChangedError
from ablate.interface import Core
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import TrialPaths, write_json
from ablate.recipe import Recipe
from ablate.search import second_objective
from ablate.storage.rows import TrialRow, core_versions
from ablate.storage.store import Store
from ablate.study.core_version import other_versions, version_sentence

Tell = Callable[[str, int, "dict[str, float]"], None]
"""(arm, seed, the values that were added) after every trial."""


@dataclass
class Measured:
    """What came of it, trial by trial, each as (arm, seed)."""

    added: list[tuple[str, int]] = field(default_factory=list)
    known: list[tuple[str, int]] = field(default_factory=list)
    """They had all the metrics already."""
    without: list[tuple[str, int]] = field(default_factory=list)
    """Their method has none of the metrics: a DIP alone has no validation loss."""
    gone: dict[tuple[str, int], str] = field(default_factory=dict)
    """What they left is gone: the trial, and what exactly."""


def measure(place: ResultsLocation, study: str, metrics: Sequence[str], tell: Tell = lambda *_: None) -> Measured:
    """Measure `metrics` of every measured trial of `study` that lacks one; without `metrics`, all that it names.

    `study` is a name or a study file. A user's own core is imported from beside a file only: what is stored may have
    come with an archive. Raises AblateError for a metric that the core does not have or cannot measure with an arm's
    settings, StudyChangedError where another version of the core computed trials, and StudyLockedError while the study
    is being run.
    """
    name = name_of(study)
    stored = place.study(name, "plain")
    core = _core(stored, study)
    asked = list(dict.fromkeys(metrics)) or [metric.name for metric in stored.study.metrics]
    _check_names(core, asked)
    trials = [row for _, row in sorted(latest(stored.rows).items()) if row.outcome is OutcomeKind.MEASURED]
    if not trials:
        raise ResultsError(f"study {name!r} has no measured trial yet", hint="run it first: ablate run")
    for settings in {arm.name: arm.settings for arm in stored.study.arms if arm.settings}.values():
        core.require_metrics(core.Settings.model_validate(dict(settings)), asked)
    _check_version(stored, core, trials)
    found = Measured()
    watch = place.command("ablate", "status")
    with StudyLock(stored.paths.lock, watch), _store(stored, core) as store, writing(stored.paths.folder):
        desk = _Desk(name, core, place.results.cache.absolute(), asked)
        for row in trials:
            lacking = [metric for metric in asked if metric not in row.metrics]
            if lacking:
                _measure(stored, store, desk, row, lacking, found, tell)
            else:
                found.known.append((row.arm, row.seed))
    return found


def _core(stored: StoredStudy, study: str) -> type[Core]:
    name = stored.study.core
    if name in BUILT_IN:
        return core_class(name, None, stored.study.core_parameters)
    path = Path(study)
    if not path.is_file():
        raise AblateError(
            f"core {name} of study {stored.study.name!r} is imported from beside its study file",
            hint=f"name the file: {stored.place.command('ablate', 'measure', f'{stored.study.name}.yaml')}",
        )
    return core_class(name, path.absolute().parent, stored.study.core_parameters)


def _check_version(stored: StoredStudy, core: type[Core], trials: Sequence[TrialRow]) -> None:
    if others := other_versions(core, core_versions(trials)):
        raise StudyChangedError(
            version_sentence(stored.study, core, others),
            hint="a trial is measured by the version that computed it: install that one, or run the study again under "
            "another --name",
        )


def _check_names(core: type[Core], asked: Collection[str]) -> None:
    names = [info.name for info in core.metrics]
    for name in asked:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"core {core.name} measures: {', '.join(names)}"
            raise AblateError(f"core {core.name} has no metric {name!r}", hint=hint)


def _store(stored: StoredStudy, core: type[Core]) -> Store:
    primary = stored.study.primary
    return Store.open(
        stored.url,
        stored.study.name,
        kinds=param_kinds(core),
        primary=primary.name,
        direction=primary.direction,
        attributes={},
        second=second_objective(stored.study.searches),
    )


class _Desk:
    """Where recipes are measured: in this process, one after another."""

    def __init__(self, study: str, core: type[Core], cache: Path, metrics: Collection[str]) -> None:
        self.study, self.core, self.cache, self.metrics = study, core(), cache, frozenset(metrics)
        self._kept: dict[str, Outcome] = {}

    def measure(self, key: tuple[str, int], recipe: Recipe, trial: TrialPaths, ran: Outcome) -> Outcome:
        """Measure one recipe as it was computed: on a device of that kind, with as many threads."""
        if recipe.digest in self._kept:  # another arm has the same one
            return self._kept[recipe.digest]
        if ran.device != "cpu" and not visible_gpus(list_gpus(), os.environ):
            raise ResultsError(
                f"this trial was computed on {ran.device_name or ran.device}, and there is no GPU here",
                hint="measure it where it was run: digits depend on the device",
            )
        threads = int(ran.environment.get("threads", "1"))
        context = WorkerTrialContext(
            device=ran.device,
            threads=threads,
            cache=self.cache,
            send=lambda message: None,
            stop=threading.Event(),
            checkpoint_s=float("inf"),
            wanted=self.metrics,
        )
        with _batch(context, RunBatch(self.study, (Assignment(recipe, trial.folder, key[0], key[1]),))):
            apply_threads(threads)
            self._kept[recipe.digest] = self.core.measure(recipe, context)
        return self._kept[recipe.digest]


class _batch:
    """A batch of one recipe, whose files are let go whatever happens."""

    def __init__(self, context: WorkerTrialContext, order: RunBatch) -> None:
        self.context, self.order = context, order

    def __enter__(self) -> None:
        self.context.begin(self.order)

    def __exit__(self, *_: object) -> None:
        self.context.end()


def _measure(
    stored: StoredStudy, store: Store, desk: _Desk, row: TrialRow, lacking: Sequence[str], found: Measured, tell: Tell
) -> None:
    """Bring what one trial lacks into its outcome file and the storage."""
    key, trial = (row.arm, row.seed), stored.paths.trial(row.arm, row.seed)
    outcome = read_outcome(trial, row.recipe_digest)
    if outcome is None:
        found.gone[key] = f"its outcome {trial.outcome} is gone or damaged"
        return
    missing = [name for name in lacking if name not in outcome.metrics]
    if missing:
        try:
            recipe = Recipe.from_dict(json.loads(trial.recipe.read_text(encoding="utf-8")))
            later = desk.measure(key, recipe, trial, outcome)
        except (OSError, ValueError, KeyError, TypeError):
            found.gone[key] = f"its recipe {trial.recipe} is gone or damaged"
            return
        except ResultsError as error:
            found.gone[key] = error.message
            return
        outcome = _with(outcome, later, missing)
    added = {name: outcome.metrics[name] for name in lacking if name in outcome.metrics}
    if not added:
        found.without.append(key)
        return
    write_json(trial.outcome, outcome.to_dict())
    store.amend(row, outcome)
    found.added.append(key)
    tell(row.arm, row.seed, added)


def _with(outcome: Outcome, later: Outcome, names: Collection[str]) -> Outcome:
    """`outcome` with those of `names` that were measured `later`, and the conventions of how."""
    more = {name: value for name, value in later.metrics.items() if name in names}
    notes = tuple(note for note in later.notes if note not in outcome.notes)
    return replace(
        outcome,
        metrics={**outcome.metrics, **more},
        environment={**later.environment, **outcome.environment},
        notes=(*outcome.notes, *notes, *([f"measured later: {', '.join(sorted(more))}"] if more else [])),
    )


def told(found: Measured) -> Iterator[str]:
    """Say in sentences what was not measured, and why."""
    if found.without:
        arms = ", ".join(sorted({arm for arm, _ in found.without}))
        yield f"nothing to measure in {arms}: their method does not have this metric"
