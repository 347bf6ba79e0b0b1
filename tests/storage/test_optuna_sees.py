"""What Optuna's own tools show of our storage."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Scalar
from ablate.storage.read import read_study
from ablate.storage.store import Store

LEVELS: dict[str, Scalar] = {
    "lr": 0.001,
    "batch": 64,
    "schedule": "cosine",
    "augment": True,
    "note": "plain",
    "ema": None,
}
OpenOptuna = Callable[[], RDBStorage]


@pytest.fixture
def finished(store: Store, measured: Callable[..., Outcome]) -> None:
    """Two measured trials and a diverged one."""
    for seed, psnr in enumerate([28.0, 29.5]):
        number = store.start("lr=0.001", seed, LEVELS, {"commit": "c0ffee"})
        store.curve(number, 100, 20.0 + seed)
        store.finish(number, measured(psnr))
    number = store.start("wild", 0, LEVELS | {"lr": 10.0})
    store.finish(number, Outcome(OutcomeKind.DIVERGED, "00", error="loss is nan"))
    store.close()


@pytest.fixture
def study(finished: None, optuna_storage: OpenOptuna) -> optuna.Study:
    return optuna.load_study(study_name="demo", storage=optuna_storage())


def test_load_study_gives_params_as_written(study: optuna.Study) -> None:
    written = {name: level for name, level in LEVELS.items() if level is not None}
    assert study.trials[0].params == written
    assert {type(value) for value in study.trials[0].params.values()} == {float, int, str, bool}


def test_a_pruned_trial_is_pruned_and_has_no_value(store: Store, optuna_storage: OpenOptuna) -> None:
    """Its last point is no measurement, so that no mean over values can contain it."""
    number = store.start("search #3", 1000, LEVELS)
    store.curve(number, 100, 20.0)
    store.finish(number, Outcome(OutcomeKind.PRUNED, "00", error="pruned by its search"))
    store.close()
    (trial,) = optuna.load_study(study_name="demo", storage=optuna_storage()).trials
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.PRUNED, None, {100: 20.0})


def test_best_trial_direction_and_metric_name_are_set(study: optuna.Study) -> None:
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["psnr"]
    assert (study.best_value, study.best_trial.user_attrs["seed"]) == (29.5, 1)


def test_texts_of_many_lines_stay_out_of_optunas_tables(store: Store, url: str, optuna_storage: OpenOptuna) -> None:
    """A plan of thousands of characters would make `optuna studies` unreadable; ablate reads it all the same."""
    store.set_attributes({"ablate.plan": '{"arms": []}', "ablate.yaml": "seeds: 3", "ablate.question": "why?"})
    store.close()
    shown = optuna.load_study(study_name="demo", storage=optuna_storage()).user_attrs
    assert {"ablate.plan", "ablate.yaml"}.isdisjoint(shown)
    assert shown["ablate.question"] == "why?"
    read = read_study(url, "demo")[0].attributes
    assert (read["ablate.plan"], read["ablate.yaml"]) == ('{"arms": []}', "seeds: 3")


def test_a_diverged_trial_is_a_fail_without_a_value(study: optuna.Study) -> None:
    """An infinite value would be COMPLETE and best; a NaN would be FAIL without a reason."""
    diverged = study.trials[2]
    assert (diverged.state, diverged.value) == (TrialState.FAIL, None)
    assert diverged.user_attrs["outcome"] == "diverged"


def test_a_trial_is_what_optunas_own_api_would_have_stored(study: optuna.Study, optuna_storage: OpenOptuna) -> None:
    """Our transactions write the rows that `ask`-less use of Optuna's public functions writes, value for value."""
    ours = study.trials[0]
    copy = optuna.create_study(study_name="copy", storage=optuna_storage(), direction="maximize")
    copy.add_trial(ours)
    theirs = copy.trials[0]
    fields = ("state", "values", "params", "distributions", "user_attrs", "system_attrs", "intermediate_values")
    assert {name: getattr(ours, name) for name in fields} == {name: getattr(theirs, name) for name in fields}
    assert ours.duration == theirs.duration
    assert ours.datetime_start == theirs.datetime_start
    assert ours.intermediate_values == {100: 20.0}


def test_trials_dataframe_has_a_column_per_factor_and_attribute(study: optuna.Study) -> None:
    frame = study.trials_dataframe()
    assert frame["params_schedule"].tolist() == ["cosine"] * 3
    assert frame["params_lr"].tolist() == [0.001, 0.001, 10.0]
    assert frame["value_psnr"].tolist()[:2] == [28.0, 29.5]
    assert "value" not in frame  # as docs/reference/results.md says: the primary metric has a name
    assert frame["user_attrs_ssim"].tolist()[:2] == [0.875, 0.875]
    assert frame["user_attrs_outcome"].tolist() == ["measured", "measured", "diverged"]
    assert frame["state"].tolist() == ["COMPLETE", "COMPLETE", "FAIL"]


def test_optuna_still_calls_the_tables_up_to_date(finished: None, optuna_storage: OpenOptuna) -> None:
    storage = optuna_storage()
    assert storage.get_current_version() == storage.get_head_version()


@pytest.mark.slow
def test_optunas_program_shows_studies_trials_and_the_best(finished: None, url: str) -> None:
    def program(*words: str) -> str:
        code = "import sys; from optuna.cli import main; sys.exit(main())"
        command = [sys.executable, "-W", "ignore", "-c", code, *words, "--storage", url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert json.loads(program("studies", "-f", "json"))[0]["name"] == "demo"
    trials = json.loads(program("trials", "--study-name", "demo", "-f", "json"))
    assert trials[0]["params"] == {name: level for name, level in LEVELS.items() if level is not None}
    assert json.loads(program("best-trial", "--study-name", "demo", "-f", "json"))["number"] == 1
    program("storage", "upgrade")
    assert json.loads(program("trials", "--study-name", "demo", "-f", "json")) == trials


@pytest.mark.slow
def test_optuna_dashboard_shows_curves_and_params(finished: None, url: str, tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        dashboard = pytest.importorskip("optuna_dashboard")
        app = dashboard.wsgi(url)
        (summary,) = call(app, "/api/studies")["study_summaries"]
        detail = call(app, f"/api/studies/{summary['study_id']}", "after=0")
    assert summary["study_name"] == "demo"
    trials = detail["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Complete", "Fail"]
    assert trials[0]["intermediate_values"] == [{"step": 100, "value": 20.0}]
    params = {param["name"]: param["param_external_value"] for param in trials[0]["params"]}
    assert params == {"lr": "0.001", "batch": "64", "schedule": "cosine", "augment": "True", "note": "plain"}


def call(app: Callable[..., Any], path: str, query: str = "") -> Any:
    """GET `path` from a WSGI application and decode the JSON it answers."""
    status: list[str] = []
    environment = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": io.BytesIO()}
    environment |= {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
    body = b"".join(app(environment, lambda code, _headers, _error=None: status.append(code)))
    assert status[0].startswith("200"), body
    return json.loads(body)
