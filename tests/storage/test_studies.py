"""Whole studies: renamed, removed, and trials that ended elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta
from optuna.storages import RDBStorage

from ablate.errors import StorageError
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Scalar
from ablate.storage.artifacts import keep
from ablate.storage.read import read_study, study_names
from ablate.storage.store import Store
from ablate.storage.studies import remove_study, rename_study

OpenStore = Callable[..., Store]
LEVELS: dict[str, Scalar] = {"lr": 0.001, "schedule": "cosine", "ema": None}
DIVERGED = Outcome(OutcomeKind.DIVERGED, "cd" * 32, error="loss is not finite")


def fill(store: Store, measured: Callable[..., Outcome]) -> None:
    first = store.start("a", 0, LEVELS, {"recipe": "ab" * 32, "log": "/old/demo/trials/a-s0/log.txt"})
    store.curve(first, 100, 20.0)
    store.finish(first, measured())
    store.finish(store.start("b", 0, {**LEVELS, "lr": 9.0}, {"recipe": "cd" * 32}), DIVERGED)


def test_a_renamed_study_has_everything_under_its_new_name(
    url: str, store: Store, measured: Callable[..., Outcome]
) -> None:
    fill(store, measured)
    _, before = read_study(url, "demo")
    rename_study(url, "demo", "new", attributes={"ablate.plan": "{}"}, folder="/old/demo", new_folder="/old/new")
    assert study_names(url) == ["new"]
    row, after = read_study(url, "new")
    assert row.attributes["ablate.plan"] == "{}"
    assert after[0].attributes["log"] == "/old/new/trials/a-s0/log.txt"
    logless = [replace(trial, attributes={**trial.attributes, "log": ""}) for trial in before]
    assert [replace(trial, attributes={**trial.attributes, "log": ""}) for trial in after] == logless
    with pytest.raises(StorageError, match="no study 'demo'"):
        rename_study(url, "demo", "other", attributes={}, folder="", new_folder="")


def test_no_two_studies_get_one_name(url: str, open_store: OpenStore) -> None:
    open_store()
    open_store(study="other")
    with pytest.raises(StorageError, match="has a study 'other' already"):
        rename_study(url, "demo", "other", attributes={}, folder="", new_folder="")
    assert study_names(url) == ["demo", "other"]


def test_a_removed_study_leaves_nothing_and_others_alone(
    url: str, open_store: OpenStore, measured: Callable[..., Outcome], tmp_path: Path
) -> None:
    for name in ("demo", "other"):
        with open_store(study=name) as store:
            fill(store, measured)
    _, others = read_study(url, "other")
    assert remove_study(url, "demo").trials == 2
    assert study_names(url) == ["other"]
    assert read_study(url, "other")[1] == others
    storage = RDBStorage(url)
    with storage.engine.connect() as connection:
        for table in ("trials", "studies"):
            assert connection.exec_driver_sql(f"select count(*) from {table}").scalar() == (
                2 if table == "trials" else 1
            )
        mine = "select count(*) from {} where trial_id not in (select trial_id from trials)"
        for table in ("trial_user_attributes", "trial_params", "trial_values", "trial_intermediate_values"):
            assert connection.exec_driver_sql(mine.format(table)).scalar() == 0
    storage.engine.dispose()


def test_adopted_trials_are_those_that_were_read(
    url: str, open_store: OpenStore, measured: Callable[..., Outcome]
) -> None:
    with open_store() as store:
        fill(store, measured)
    _, rows = read_study(url, "demo")
    with open_store(study="copy") as store:
        store.finish(store.start("c", 0, LEVELS, {}), measured(30.0))
        assert store.adopt(rows) == [1, 2]
    _, copied = read_study(url, "copy")
    assert copied[1:] == [replace(row, number=row.number + 1) for row in rows]
    assert optuna.load_study(study_name="copy", storage=url).best_trial.number == 0


def test_trials_are_adopted_all_or_none(url: str, open_store: OpenStore, measured: Callable[..., Outcome]) -> None:
    with open_store() as store:
        fill(store, measured)
    _, rows = read_study(url, "demo")
    broken = replace(rows[1], params={"lr": "fast"})
    with open_store(study="copy") as store:
        with pytest.raises(StorageError, match="lr"):
            store.adopt([rows[0], broken])
        with pytest.raises(ValueError, match=r"not ended: \[1\]"):
            store.adopt([rows[0], replace(rows[1], outcome=None)])
        assert store.rows() == []
        assert store.adopt(rows) == [0, 1]


def test_pictures_are_optuna_artifacts_and_go_with_the_last_study_that_has_them(
    url: str, open_store: OpenStore, measured: Callable[..., Outcome], tmp_path: Path
) -> None:
    picture = tmp_path / "samples.png"
    picture.write_bytes(b"a picture")
    named = keep([picture], tmp_path / "artifacts")
    for name in ("demo", "other"):
        with open_store(study=name) as store:
            store.finish(store.start("a", 0, LEVELS, {}), measured(), artifacts=named)
    (trial,) = optuna.load_study(study_name="demo", storage=url).trials
    (meta,) = get_all_artifact_meta(trial, storage=RDBStorage(url))
    assert (meta.filename, meta.mimetype) == ("samples.png", "image/png")
    download_artifact(
        artifact_store=FileSystemArtifactStore(tmp_path / "artifacts"),
        file_path=str(tmp_path / "copy.png"),
        artifact_id=meta.artifact_id,
    )
    assert (tmp_path / "copy.png").read_bytes() == b"a picture"
    assert remove_study(url, "demo").artifacts == frozenset()
    assert remove_study(url, "other").artifacts == {meta.artifact_id}
