"""Weights & Biases: a run per replicate, grouped by study, its job type is the arm."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ablate.errors import AblateError
from ablate.json_values import plain_settings
from ablate.outcome import OutcomeKind
from ablate.storage.address import without_password
from ablate.tracking.runs_file import KnownRun, RunsFile
from ablate.tracking.tracker import CURVE, WORDS, ArmVerdict, Point, TrackedOutcome, TrackedStudy, TrackedTrial

_DEFAULT_PROJECT = "ablate"
_LONGEST_NAME = 128
"""Characters that W&B takes of a group, a job type and a name."""
_FINISH_S = 60.0
"""How long the upload of a run may take when it ends; `wandb sync` sends what is left."""
_SERVICE = "WANDB_SERVICE"
"""Set by wandb for its process's children."""


class WandbTracker:
    """Runs of one project. Offline runs are written below ``results/STUDY/wandb``."""

    kind = "wandb"

    def __init__(self, wandb: Any, entity: str | None, project: str, study: TrackedStudy, *, offline: bool) -> None:
        self.place = f"{entity}/{project}" if entity else project
        self._wandb = wandb
        self._entity = entity
        self._project = project
        self._study = study
        self._offline = offline
        self._runs = RunsFile(study.paths.tracked, self.kind, self.place)
        self._open: dict[tuple[str, int], Any] = {}
        self._last: dict[tuple[str, int], int] = {}
        """The last point of every curve: a trial that resumes repeats the points before."""
        self._summary: dict[tuple[str, int], dict[str, Any]] = {}
        """What stands in the summary of an open run."""
        self._params = dict(study.params_of)

    def begin(self, trial: TrackedTrial) -> None:
        """Begin the run of a replicate, or go on with the one it has."""
        if trial.key in self._open:
            self._summarise(trial.key, {"trial": trial.trial})
            return
        self._params[trial.arm] = trial.params
        known = self._runs.get(*trial.key)
        run = self._init(trial, known)
        if known is None or known.run != run.id:
            self._runs.put(KnownRun(*trial.key, run.id))
        self._open[trial.key] = run
        # What the server has of an earlier attempt; an offline run holds its own curve from the start.
        self._last[trial.key] = int(run.summary.get(self._study.curve_over) or -1) if run.resumed else -1
        self._summarise(trial.key, {"trial": trial.trial})

    def curve(self, key: tuple[str, int], points: Sequence[Point]) -> None:
        """Log points that the run does not have yet."""
        for point in points:
            if point.images > self._last[key]:
                values = {f"{CURVE}{name}": value for name, value in point.values.items()}
                values[self._study.curve_over] = point.images
                self._open[key].log(values)
                self._summary.setdefault(key, {}).update(values)
                self._last[key] = point.images

    def end(self, key: tuple[str, int], outcome: TrackedOutcome) -> None:
        """Put the outcome into the summary and end the run."""
        # What an attempt before this one said must not stay beside it.
        stale = dict.fromkeys(WORDS & before.summary.keys(), "") if (before := self._runs.get(*key)) is not None else {}
        self._summarise(key, {**outcome.numbers, **stale, **outcome.words})
        summary = self._summary[key]
        self._finish(key, failed=not outcome.kind.is_result)
        known = self._runs.get(*key)
        if known is not None:
            self._runs.change(known, ended=True, summary=summary)

    def verdict(self, arm: str, verdict: ArmVerdict) -> None:
        """Put the verdict into the summaries: ended runs are opened once more.

        The summary is written whole: of two parts of one offline run the later one counts.
        """
        words = {"verdict": verdict.verdict, "verdict_on": verdict.sentence}
        params = self._params.get(arm, {})
        for known in self._runs.of(arm):
            if known.seed is None or known.verdict == verdict.sentence:
                continue
            key = (known.arm, known.seed)
            run = self._init(TrackedTrial(*key, params, -1), known)
            self._open[key] = run
            self._summarise(key, {**known.summary, **words})
            self._finish(key, failed=known.summary.get("outcome") not in (OutcomeKind.MEASURED, OutcomeKind.DIVERGED))
            self._runs.put(replace(known, run=run.id, verdict=verdict.sentence))

    def close(self) -> None:
        """End the runs of trials that were stopped."""
        for key in list(self._open):
            self._finish(key, failed=True)

    def hint(self) -> str:
        """How offline runs get to the server."""
        return f"wandb sync {self._study.paths.wandb}/offline-run-*" if self._offline else ""

    def _summarise(self, key: tuple[str, int], words: Mapping[str, Any]) -> None:
        self._open[key].summary.update(words)
        self._summary.setdefault(key, {}).update(words)

    def _finish(self, key: tuple[str, int], *, failed: bool) -> None:
        run = self._open.pop(key)
        self._last.pop(key, None)
        self._summary.pop(key, None)
        run.finish(exit_code=int(failed))

    def _init(self, trial: TrackedTrial, known: KnownRun | None) -> Any:
        """Begin a run, or go on with `known`; where that was deleted on the server, begin a new one."""
        if known is not None:
            try:
                return self._called(trial, known.run, "allow")
            except self._wandb.errors.CommError:
                pass
        return self._called(trial, secrets.token_hex(4), None)

    def _called(self, trial: TrackedTrial, run: str, resume: str | None) -> Any:
        settings = self._wandb.Settings(
            silent=True,
            console="off",  # what trials print is in their own logs
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_stats=True,  # this process only waits: its load says nothing of the trials
            x_disable_meta=True,  # the command line among it, and with it the password of a storage's URL
            x_disable_machine_info=True,
            x_save_requirements=False,
            finish_timeout=_FINISH_S,
            finish_timeout_raises=True,
        )
        params = plain_settings(trial.params)
        with _service_of_its_own():
            begun = self._wandb.init(
                entity=self._entity,
                project=self._project,
                group=self._study.name[:_LONGEST_NAME],
                job_type=trial.arm[:_LONGEST_NAME],
                name=trial.name[:_LONGEST_NAME],
                config={"study": self._study.name, "arm": trial.arm, "seed": trial.seed, **params},
                dir=str(self._study.paths.folder),
                id=run,
                resume=resume,
                reinit="create_new",
                settings=settings,
            )
        # Every part of a run says what its curves are drawn over.
        begun.define_metric(self._study.curve_over)
        begun.define_metric(f"{CURVE}*", step_metric=self._study.curve_over)
        return begun


def open_wandb(target: str, study: TrackedStudy) -> WandbTracker:
    """Return the tracker for ``PROJECT`` or ``ENTITY/PROJECT``; empty: ``WANDB_PROJECT``, or ``ablate``.

    Raises AblateError without the package wandb, and where nobody is logged in and nothing says to stay offline.
    """
    try:
        import wandb
    except ImportError as error:
        raise AblateError(f"wandb cannot be imported: {error}", hint="pip install 'ablate[wandb]'") from error
    entity, _, project = target.rpartition("/")
    project = project or os.environ.get("WANDB_PROJECT") or _DEFAULT_PROJECT
    settings = wandb.Settings()
    settings.update_from_env_vars(dict(os.environ))
    mode = settings.mode
    if mode == "disabled":
        raise AblateError("WANDB_MODE=disabled: W&B would keep nothing", hint="WANDB_MODE=offline, or no --track wandb")
    offline = mode in ("offline", "dryrun")
    if not offline:
        _log_in(wandb)
    return WandbTracker(wandb, entity or None, project, study, offline=offline)


def _log_in(wandb: Any) -> None:
    """Check the key for the server before anything starts: wandb would ask for one in the middle of a run."""
    try:
        with _service_of_its_own():
            known = wandb.login(prompt=False)
    except wandb.errors.Error as error:
        reason = without_password(" ".join(str(error).split()))
        raise AblateError(f"W&B cannot be used: {reason}", hint="wandb login, or WANDB_MODE=offline") from error
    if not known:
        raise AblateError("nobody is logged in to W&B on this machine", hint="wandb login, or WANDB_MODE=offline")


@contextlib.contextmanager
def _service_of_its_own() -> Iterator[None]:
    """Leave the environment as it is, which workers inherit: a trial that uses wandb must not share this service."""
    inherited = os.environ.get(_SERVICE)
    try:
        yield
    finally:
        if inherited is None:
            os.environ.pop(_SERVICE, None)
