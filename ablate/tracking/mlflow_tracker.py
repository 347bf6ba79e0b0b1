"""MLflow: an experiment per study, a run per arm, and below it a run per replicate."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ablate.errors import AblateError
from ablate.json_values import JsonValue
from ablate.outcome import OutcomeKind
from ablate.storage.address import without_password
from ablate.tracking.runs_file import KnownRun, RunsFile
from ablate.tracking.tracker import (
    CURVE,
    WORDS,
    ArmVerdict,
    Point,
    TrackedOutcome,
    TrackedStudy,
    TrackedTrial,
    text_of,
)

KIND_TAG = "ablate.kind"
"""Tag that tells a run of a replicate (``trial``) from that of an arm (``arm``)."""
_AT_ONCE = 100
"""Entries of one request: MLflow takes so many params, and more metrics."""
_ANSWER_S = 10.0
_NO_URL = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
_STATUS = {OutcomeKind.MEASURED: "FINISHED", OutcomeKind.DIVERGED: "FINISHED", OutcomeKind.STOPPED: "KILLED"}
"""Others have failed."""


class MlflowTracker:
    """Runs in the experiment that is called like the study."""

    kind = "mlflow"

    def __init__(self, client: Any, experiment: str, place: str, study: TrackedStudy) -> None:
        self.place = place
        self._client = client
        self._experiment = experiment
        self._study = study
        self._runs = RunsFile(study.paths.tracked, self.kind, place)
        self._open: dict[tuple[str, int], str] = {}
        self._arms: dict[str, str] = {}
        """Arm -> its run, once it is known to be there."""
        self._written: dict[str, set[tuple[str, int]]] = {}
        """Run -> points it has: name and step."""

    def begin(self, trial: TrackedTrial) -> None:
        """Begin the run of a replicate below the run of its arm, or go on with the one it has."""
        if trial.key in self._open:
            self._client.set_tag(self._open[trial.key], "trial", str(trial.trial))
            return
        parent = self._arm(trial)
        tags = {"mlflow.parentRunId": parent, "seed": str(trial.seed), "trial": str(trial.trial)}
        known = self._runs.get(*trial.key)
        run = known.run if known is not None and self._goes_on(known.run) else None
        if run is None:
            run = self._create("trial", trial.name, trial.arm, trial.params, tags)
            self._runs.put(KnownRun(*trial.key, run))
            self._written[run] = set()
        else:
            self._client.update_run(run, status="RUNNING")
            self._client.set_tag(run, "trial", tags["trial"])
            data = self._client.get_run(run).data
            for word in WORDS & data.tags.keys():  # how the attempt before ended
                self._client.delete_tag(run, word)
            self._written[run] = set(self._steps(run, data.metrics))
        self._open[trial.key] = run

    def curve(self, key: tuple[str, int], points: Sequence[Point]) -> None:
        """Log points that the run does not have yet."""
        from mlflow.entities import Metric

        run = self._open[key]
        new = [
            Metric(f"{CURVE}{name}", value, round(point.at * 1000), point.images)
            for point in points
            for name, value in point.values.items()
            if (f"{CURVE}{name}", point.images) not in self._written[run]
        ]
        for some in _parts(new):
            self._client.log_batch(run, metrics=some)
            self._written[run].update((one.key, one.step) for one in some)

    def end(self, key: tuple[str, int], outcome: TrackedOutcome) -> None:
        """Log the outcome and end the run."""
        from mlflow.entities import Metric, RunTag

        run = self._open[key]
        now = round(time.time() * 1000)
        numbers = [Metric(name, value, now, outcome.images_seen) for name, value in outcome.numbers.items()]
        tags = [RunTag(name, word) for name, word in outcome.words.items()]
        for some in _parts(numbers):
            self._client.log_batch(run, metrics=some, tags=tags)
            tags = []
        self._terminate(run, _STATUS.get(outcome.kind, "FAILED"))
        self._ended(key)

    def verdict(self, arm: str, verdict: ArmVerdict) -> None:
        """Tag the arm's run and those of its replicates."""
        from mlflow.entities import RunTag

        tags = [RunTag("verdict", verdict.verdict), RunTag("verdict_on", verdict.sentence)]
        for known in self._runs.of(arm):
            if known.verdict != verdict.sentence and self._goes_on(known.run):
                self._client.log_batch(known.run, tags=tags)
                if known.seed is None:
                    self._terminate(known.run, "FINISHED")
                self._runs.change(known, verdict=verdict.sentence)

    def close(self) -> None:
        """End the runs of trials that were stopped, and of arms."""
        for key, run in list(self._open.items()):
            self._terminate(run, "KILLED")
            self._ended(key)

    def hint(self) -> str:
        """What shows a local store; a server has its own address."""
        return f"mlflow ui --backend-store-uri {self.place}" if self.place.startswith("sqlite:") else ""

    def _ended(self, key: tuple[str, int]) -> None:
        known = self._runs.get(*key)
        if known is not None:
            self._runs.change(known, ended=True)
        del self._written[self._open.pop(key)]

    def _arm(self, trial: TrackedTrial) -> str:
        """The run of the arm, under which its replicates are shown."""
        if trial.arm in self._arms:
            return self._arms[trial.arm]
        known = self._runs.get(trial.arm, None)
        if known is not None and self._goes_on(known.run):
            self._arms[trial.arm] = known.run
            return known.run
        run = self._create("arm", trial.arm, trial.arm, trial.params, {})
        self._terminate(run, "FINISHED")
        self._runs.put(KnownRun(trial.arm, None, run))
        self._arms[trial.arm] = run
        return run

    def _create(self, kind: str, name: str, arm: str, params: Mapping[str, JsonValue], more: Mapping[str, str]) -> str:
        from mlflow.entities import Param

        tags = {KIND_TAG: kind, "study": self._study.name, "arm": arm, **more}
        run: str = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        for some in _parts([Param(factor, text_of(level)) for factor, level in params.items()]):
            self._client.log_batch(run, params=some)
        return run

    def _terminate(self, run: str, status: str) -> None:
        """End a run, without MLflow's line on stdout: it shows the server's URL, with its password if it has one."""
        before = os.environ.get(_NO_URL)
        os.environ[_NO_URL] = "true"
        try:
            self._client.set_terminated(run, status)
        finally:
            if before is None:
                del os.environ[_NO_URL]
            else:
                os.environ[_NO_URL] = before

    def _goes_on(self, run: str) -> bool:
        """Whether the store still has a run: somebody may have deleted it."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(run).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _steps(self, run: str, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        for name in names:
            if name.startswith(CURVE):
                yield from ((name, point.step) for point in self._client.get_metric_history(run, name))


def open_mlflow(uri: str, study: TrackedStudy) -> MlflowTracker:
    """Return the tracker for an MLflow store; empty `uri`: what MLflow is set to (``MLFLOW_TRACKING_URI``).

    Makes the experiment. Raises AblateError without the package mlflow-skinny, and for a store or server that cannot
    be used.
    """
    try:
        import mlflow
        from mlflow import MlflowClient
    except ImportError as error:
        raise AblateError(f"mlflow cannot be imported: {error}", hint="pip install 'ablate[mlflow]'") from error
    uri = uri or mlflow.get_tracking_uri()
    place = without_password(uri)
    _reach(uri, place)
    with _quiet():
        try:
            client = MlflowClient(tracking_uri=uri)
            experiment = client.get_experiment_by_name(study.name)
            identity = client.create_experiment(study.name) if experiment is None else experiment.experiment_id
        except Exception as error:  # MLflow's, SQLAlchemy's, or those of a plugin for its own kind of store
            reason = without_password(" ".join(str(error).split()))
            raise AblateError(
                f"MLflow cannot use {place}: {reason}", hint="for example --track mlflow:sqlite:///mlflow.db"
            ) from error
    if experiment is not None and experiment.lifecycle_stage != "active":
        raise AblateError(
            f"the experiment {study.name!r} in {place} was deleted",
            hint=f"restore it (mlflow experiments restore -x {identity}), or run the study under another --name",
        )
    return MlflowTracker(client, identity, place, study)


def _reach(uri: str, place: str) -> None:
    """Refuse a server that is not there: MLflow itself would try again for minutes."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        with urllib.request.urlopen(f"{_bare(uri)}/health", timeout=_ANSWER_S):  # noqa: S310 - http or https
            return
    except urllib.error.HTTPError:
        return  # something answers: whether it is MLflow is seen next
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # whether a certificate will do is for MLflow's own settings
        raise AblateError(
            f"the MLflow server {place} does not answer: {reason}", hint="start it, or leave out --track"
        ) from error


def _bare(uri: str) -> str:
    """The address without user and password, which are not needed to see whether a server is there."""
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow from telling how it makes its tables, in the middle of what ablate shows."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _parts(entries: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (entries[at : at + _AT_ONCE] for at in range(0, len(entries), _AT_ONCE))
