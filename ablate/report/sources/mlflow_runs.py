"""``mlflow:URI#EXPERIMENT``: runs of an MLflow experiment."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ablate.errors import AblateError
from ablate.report.sources.runs import ForeignRun

_KIND = "ablate.kind"
"""Tag of runs that ablate made itself while it ran a study: of trials, and of arms, above these."""
_OUTCOMES = {"FINISHED": "measured", "FAILED": "failed", "KILLED": "stopped"}


def mlflow_runs(uri: str, experiment: str | None) -> list[ForeignRun]:
    """Return the ended runs of an experiment with their params, last metrics and metric histories.

    Raises AblateError without the package mlflow-skinny, for a store that is not there, and for an unknown experiment.
    """
    client = _client(uri)
    known = {one.name: one for one in client.search_experiments()}
    found = known.get(experiment) if experiment is not None else _only(known)
    if found is None:
        near = difflib.get_close_matches(experiment or "", known, n=1) or list(known)[:5]
        raise AblateError(
            f"{uri} has no experiment {experiment!r}" if experiment else f"{uri} holds {len(known)} experiments",
            hint=f"name one: mlflow:{uri}#{near[0] if near else 'NAME'}",
        )
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"], page_token=token)
        runs += page
        token = page.token
        if not token:
            return [_run(client, run) for run in runs if _is_trial(run)]


def _client(uri: str) -> Any:
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise AblateError(f"mlflow cannot be imported: {error}", hint="pip install 'ablate[mlflow]'") from error
    path = urlparse(uri)
    plain = path.path if path.scheme == "file" else uri if not path.scheme else None
    if plain is not None:
        if not Path(plain).is_dir():
            raise AblateError(f"there is no MLflow store {plain}")
        # MLflow 3 refuses folders unless this is set; they are only read here.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    elif uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise AblateError(f"there is no MLflow database {uri.removeprefix('sqlite:///')}")
    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise AblateError(f"MLflow cannot open {uri}: {' '.join(str(error).split())}") from error


def _only(known: dict[str, Any]) -> Any:
    """The one experiment that somebody made; MLflow adds one called Default."""
    own = [one for name, one in known.items() if name != "Default"] or list(known.values())
    return own[0] if len(own) == 1 else None


def _is_trial(run: Any) -> bool:
    return run.info.status in _OUTCOMES and run.data.tags.get(_KIND) != "arm"


def _run(client: Any, run: Any) -> ForeignRun:
    info, data = run.info, run.data
    curves = {
        name: tuple(sorted({point.step: point.value for point in history}.items()))
        for name in data.metrics
        if len(history := client.get_metric_history(info.run_id, name)) > 1
    }
    took = None if info.end_time is None else (info.end_time - info.start_time) / 1000
    seed = {"seed": data.tags["seed"]} if "seed" in data.tags and "seed" not in data.params else {}
    return ForeignRun(
        name=info.run_name or info.run_id,
        params={**data.params, **seed},
        metrics=dict(data.metrics),
        curves=curves,
        outcome=data.tags["outcome"] if _KIND in data.tags and "outcome" in data.tags else _OUTCOMES[info.status],
        seconds=took,
    )
