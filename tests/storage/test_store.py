"""What a storage promises, on every database there is to try it on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import make_url

from ablate.errors import ExitCode, StorageError
from ablate.json_values import JsonValue
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Scalar
from ablate.storage.foreign_trials import read_foreign_study
from ablate.storage.read import read_study, study_names
from ablate.storage.store import Store
from tests.servers import databases

OpenStore = Callable[..., Store]
OpenOptuna = Callable[[], RDBStorage]
LEVELS: dict[str, Scalar] = {
    "lr": 0.001,
    "batch": 64,
    "schedule": "cosine",
    "augment": True,
    "note": "plain",
    "ema": None,
}


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[databases.Server]:
    """A PostgreSQL of our own, where it and its driver are installed."""
    with databases.postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[databases.Server]:
    """A MariaDB of our own, where it and its driver are installed."""
    with databases.mariadb() as server:
        yield server


class StorageContract:
    """Subclass it with a fixture `url` to accept a new kind of storage."""

    def test_a_finished_trial_reads_back_as_it_was_told(
        self, url: str, open_store: OpenStore, measured: Callable[..., Outcome]
    ) -> None:
        store = open_store()
        number = store.start("lr=0.001", 2, LEVELS, {"recipe": "ab" * 32, "commit": "c0ffee"})
        store.curve(number, 100, 20.5)
        store.curve(number, 200, 25.25)
        outcome = measured(samples="samples.png", device_name="Model X", environment={"torch": "2.14"}, notes=("a",))
        store.finish(number, outcome, {"log": "log.txt"})

        study, (row,) = read_study(url, "demo")

        assert study.name == "demo"
        assert (row.number, row.arm, row.seed, row.state) == (0, "lr=0.001", 2, "COMPLETE")
        assert row.outcome is OutcomeKind.MEASURED
        assert row.metrics == {"psnr": 29.5, "ssim": 0.875}
        assert (row.seconds, row.device, row.recipe_digest) == (12.5, "cpu", "ab" * 32)
        assert row.params == LEVELS
        assert {name: type(value) for name, value in row.params.items()} == {k: type(v) for k, v in LEVELS.items()}
        assert row.curve == ((100, 20.5), (200, 25.25))
        expected = {"commit": "c0ffee", "log": "log.txt", "samples": "samples.png", "psnr": 29.5, "notes": ["a"]}
        assert expected.items() <= dict(row.attributes).items()
        assert row.started_at is not None
        assert row.finished_at is not None
        assert row.started_at <= row.finished_at
        assert row.finished_at.endswith("Z")

    def test_a_running_trial_has_no_outcome_yet(self, open_store: OpenStore) -> None:
        store = open_store()
        store.start("baseline", 0, LEVELS, {"recipe": "cd" * 32})
        (row,) = store.rows()
        assert (row.state, row.outcome, row.finished_at, row.seconds) == ("RUNNING", None, None, None)
        assert row.recipe_digest == "cd" * 32

    @pytest.mark.parametrize("kind", sorted(set(OutcomeKind) - {OutcomeKind.MEASURED, OutcomeKind.PRUNED}))
    def test_every_other_outcome_is_a_fail_with_its_cause(self, open_store: OpenStore, kind: OutcomeKind) -> None:
        """Optuna keeps no reason for a failure: ours is an attribute."""
        store = open_store()
        number = store.start("a", 0, LEVELS)
        store.finish(number, Outcome(kind, "00", metrics={"psnr": 11.0}, error="what happened", images_seen=640))
        (row,) = store.rows()
        assert (row.state, row.outcome) == ("FAIL", kind)
        assert row.attributes["error"] == "what happened"
        assert row.attributes["images_seen"] == 640
        assert row.metrics == {"psnr": 11.0}

    def test_measured_without_a_finite_primary_metric_is_not_complete(self, open_store: OpenStore) -> None:
        store = open_store()
        store.finish(store.start("a", 0, LEVELS), Outcome(OutcomeKind.MEASURED, "00", metrics={"ssim": 1.0}))
        (row,) = store.rows()
        assert (row.state, row.outcome) == ("FAIL", OutcomeKind.MEASURED)
        assert row.attributes["error"] == "the primary metric 'psnr' has no finite value"

    def test_a_second_finish_is_refused_and_changes_nothing(
        self, open_store: OpenStore, measured: Callable[..., Outcome]
    ) -> None:
        store = open_store()
        number = store.start("a", 0, LEVELS)
        store.finish(number, measured())
        before = store.rows()
        with pytest.raises(StorageError, match="not running"):
            store.finish(number, measured(11.0))
        with pytest.raises(StorageError, match="not running"):
            store.curve(number, 5, 1.0)
        assert store.rows() == before

    def test_a_curve_keeps_the_first_value_and_only_finite_ones(self, open_store: OpenStore) -> None:
        """A trial that goes on from a checkpoint repeats points; Optuna would overwrite or drop them silently."""
        store = open_store()
        number = store.start("a", 0, LEVELS)
        points = [(10, 1.0), (10, 9.0), (20, math.nan), (20, 2.0), (30, math.inf), (5, 0.5)]
        assert [store.curve(number, images, value) for images, value in points] == [
            *(True, False, False),
            *(True, False, True),
        ]
        assert store.rows()[0].curve == ((5, 0.5), (10, 1.0), (20, 2.0))

    def test_a_reopened_study_goes_on(self, open_store: OpenStore, measured: Callable[..., Outcome]) -> None:
        """Trials left RUNNING can still be finished, for their outcome may lie on disk; their curves are known."""
        first = open_store()
        number = first.start("a", 0, LEVELS)
        first.curve(number, 10, 1.0)
        first.close()
        second = open_store()
        assert not second.curve(number, 10, 2.0)
        second.finish(number, measured())
        assert second.start("a", 1, LEVELS) == 1
        assert [row.outcome for row in second.rows()] == [OutcomeKind.MEASURED, None]

    def test_settle_ends_what_was_left_running_and_nothing_else(
        self, open_store: OpenStore, measured: Callable[..., Outcome]
    ) -> None:
        first = open_store()
        first.finish(first.start("a", 0, LEVELS), measured())
        left = [first.start("a", 1, LEVELS), first.start("b", 0, LEVELS)]
        first.close()
        second = open_store()
        settled = second.settle("the run before this one was killed")
        assert [row.number for row in settled] == left
        assert {row.state for row in settled} == {"FAIL"}
        assert {row.outcome for row in settled} == {OutcomeKind.LOST}
        assert {row.attributes["error"] for row in settled} == {"the run before this one was killed"}
        assert second.rows()[0].state == "COMPLETE"
        assert second.settle("again") == []

    def test_a_replicate_runs_once_at_a_time_and_a_retry_is_a_new_trial(self, open_store: OpenStore) -> None:
        store = open_store()
        number = store.start("a", 0, LEVELS)
        with pytest.raises(StorageError, match="running already"):
            store.start("a", 0, LEVELS)
        store.finish(number, Outcome(OutcomeKind.OUT_OF_MEMORY, "00", error="too big"))
        assert store.start("a", 0, LEVELS) == number + 1

    def test_two_starters_the_later_one_takes_over(
        self, open_store: OpenStore, measured: Callable[..., Outcome]
    ) -> None:
        """Two writers would both start the same replicate; the one that was there before is told to stop."""
        first = open_store()
        number = first.start("a", 0, LEVELS)
        second = open_store()
        with pytest.raises(StorageError, match="taken over"):
            first.start("a", 1, LEVELS)
        with pytest.raises(StorageError, match="taken over"):
            first.finish(number, measured())
        with pytest.raises(StorageError, match="running already"):
            second.start("a", 0, LEVELS)
        second.settle("taken over")
        assert [(row.arm, row.seed, row.outcome) for row in second.rows()] == [("a", 0, OutcomeKind.LOST)]

    def test_a_finished_study_gains_levels(self, open_store: OpenStore, measured: Callable[..., Outcome]) -> None:
        """Optuna refuses a categorical whose choices change; here old and new trials read back as written."""
        levels: list[dict[str, Any]] = [
            LEVELS,
            LEVELS | {"lr": 1e-05, "ema": 0.999},
            LEVELS | {"schedule": "mine", "batch": 8, "augment": None},
            LEVELS | {"note": "free text, \"quoted\" 'ü'", "lr": 1e300},
        ]
        for seed, params in enumerate(levels):
            store = open_store()
            store.finish(store.start("a", seed, params), measured())
            store.close()
        assert [row.params for row in open_store().rows()] == levels

    def test_a_study_has_one_distribution_per_factor(
        self, open_store: OpenStore, measured: Callable[..., Outcome], optuna_storage: OpenOptuna
    ) -> None:
        """Otherwise Optuna leaves the factor out of its plots and importances, and cannot copy the study."""
        store = open_store()
        for seed, lr in enumerate([0.01, 0.1, 0.001]):
            store.finish(store.start("a", seed, {"lr": lr, "schedule": "s" * (seed + 1)}), measured(20.0 + seed))
        study = optuna.load_study(study_name="demo", storage=optuna_storage())
        assert {str(trial.distributions) for trial in study.trials} == {str(study.trials[0].distributions)}
        assert set(optuna.importance.get_param_importances(study)) == {"lr", "schedule"}
        optuna.copy_study(
            from_study_name="demo", from_storage=study._storage, to_storage=study._storage, to_study_name="copy"
        )

    def test_studies_in_one_storage_do_not_touch_each_other(self, url: str, open_store: OpenStore) -> None:
        one, other = open_store(study="one"), open_store(study="other", primary="fid", direction="min")
        one.start("a", 0, {"note": "x"})
        other.start("a", 0, {"note": "y"})
        one.start("b", 0, {"note": "z"})
        assert study_names(url) == ["one", "other"]
        assert [row.params["note"] for row in one.rows()] == ["x", "z"]
        assert [(row.number, row.params["note"]) for row in other.rows()] == [(0, "y")]

    def test_study_attributes_are_added_on_open_and_replaced_on_request(self, open_store: OpenStore) -> None:
        first = open_store(attributes={"ablate.plan": '{"arms": []}', "n": 1})
        first.close()
        second = open_store(attributes={"ablate.plan": "other", "new": [1.5, None, {"a": True}]})
        assert second.attributes()["ablate.plan"] == '{"arms": []}'
        second.set_attributes({"ablate.plan": "other"})
        found = second.attributes()
        assert (found["ablate.plan"], found["n"], found["new"]) == ("other", 1, [1.5, None, {"a": True}])

    def test_the_plan_of_a_large_study_is_kept_whole(self, url: str, open_store: OpenStore) -> None:
        plan = json.dumps(["an arm"] * 50_000)
        open_store(attributes={"ablate.plan": plan})
        assert read_study(url, "demo")[0].attributes["ablate.plan"] == plan

    def test_another_primary_metric_or_direction_is_refused(self, open_store: OpenStore) -> None:
        open_store()
        for change in ({"primary": "ssim"}, {"direction": "min"}):
            with pytest.raises(StorageError, match="was made for 'psnr'") as caught:
                open_store(**change)
            assert caught.value.hint is not None

    def test_a_study_that_others_made_is_refused_and_left_alone(
        self, url: str, open_store: OpenStore, optuna_storage: OpenOptuna
    ) -> None:
        open_store(study="ours").close()
        theirs = optuna.create_study(study_name="theirs", storage=optuna_storage())
        theirs.add_trial(optuna.create_trial(value=1.0))
        with pytest.raises(StorageError, match="not made by ablate"):
            open_store(study="theirs")
        with pytest.raises(StorageError, match="not made by ablate"):
            read_study(url, "theirs")
        assert study_names(url) == ["ours"]
        assert theirs.user_attrs == {}

    def test_a_trial_that_others_added_is_not_ours_to_read(
        self, open_store: OpenStore, optuna_storage: OpenOptuna
    ) -> None:
        store = open_store()
        study = optuna.load_study(study_name="demo", storage=optuna_storage())
        study.add_trial(optuna.create_trial(value=99.0))
        assert store.start("a", 0, LEVELS) == 1
        assert [row.number for row in store.rows()] == [1]

    def test_an_unknown_study_names_the_nearest(self, url: str, open_store: OpenStore) -> None:
        open_store(study="schedules")
        with pytest.raises(StorageError) as caught:
            read_study(url, "shedules")
        assert caught.value.hint == "did you mean 'schedules'?"

    def test_a_study_of_a_newer_ablate_is_refused(self, url: str, open_store: OpenStore) -> None:
        open_store().set_attributes({"ablate.schema": 2})
        with pytest.raises(StorageError, match="newer ablate"):
            open_store()
        with pytest.raises(StorageError, match="newer ablate"):
            read_study(url, "demo")

    def test_params_must_be_factors_of_the_study(self, open_store: OpenStore) -> None:
        with pytest.raises(ValueError, match="'typo'"):
            open_store().start("a", 0, {"typo": 1})

    def test_a_refused_level_leaves_no_half_trial(self, open_store: OpenStore) -> None:
        store = open_store()
        with pytest.raises(StorageError):
            store.start("a", 0, LEVELS | {"batch": 2**60})
        with pytest.raises(ValueError, match="JSON"):
            store.start("a", 0, LEVELS, {"loss": math.nan})
        assert store.rows() == []
        assert store.start("a", 0, LEVELS) == 0

    def test_metrics_never_shadow_what_is_known_of_a_trial(self, open_store: OpenStore) -> None:
        store = open_store()
        metrics = dict.fromkeys(("psnr", "seconds", "arm", "error", "search", "notes", "unset", "commit", "log"), 7.0)
        given: dict[str, JsonValue] = {"commit": "abc", "log": "a/log.txt"}
        number = store.start("a", 5, LEVELS, given)
        store.finish(number, Outcome(OutcomeKind.MEASURED, "00", metrics=metrics, seconds=2.0))
        (row,) = store.rows()
        assert (row.arm, row.seed, row.seconds) == ("a", 5, 2.0)
        assert row.metrics == metrics
        assert given.items() <= row.attributes.items()
        assert row.attributes["unset"] == ["ema"]
        assert not {"error", "notes", "search"} & row.attributes.keys()


class TestSqlite(StorageContract):
    """The default: one file."""


class ServerContract(StorageContract):
    """What holds for servers only: a database is there before anything is in it."""

    def test_an_empty_database_is_an_empty_storage(self, url: str, open_store: OpenStore) -> None:
        assert study_names(url) == []
        with pytest.raises(StorageError, match="no study 'demo'"):
            read_study(url, "demo")
        with pytest.raises(StorageError, match="no study"):
            read_foreign_study(url, None)
        assert study_names(url) == []
        open_store()
        assert study_names(url) == ["demo"]

    def test_a_wrong_password_or_database_is_refused_without_showing_a_password(self, url: str) -> None:
        right = make_url(url)
        wrong = [right.set(password="hunter2"), right.set(database="nothing")]
        for one in wrong:
            with pytest.raises(StorageError) as caught:
                study_names(one.render_as_string(hide_password=False))
            assert caught.value.exit_code is ExitCode.USAGE
            assert caught.value.hint is not None
            assert "hunter2" not in str(caught.value)
            assert str(right.password) not in str(caught.value)

    def test_four_processes_make_the_tables_at_once(self, url: str) -> None:
        """Optuna alone may fail here: the relation, or its type, exists already."""
        code = "import sys; from ablate.storage.database import open_database; open_database(sys.argv[1])"
        started = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE) for _ in range(4)]
        ended = [process.communicate()[1].decode() for process in started]
        assert [process.returncode for process in started] == [0] * 4, ended


@pytest.mark.slow
class TestPostgres(ServerContract):
    """A server."""

    @pytest.fixture
    def url(self, postgres_server: databases.Server) -> str:
        postgres_server.empty()
        return postgres_server.url


@pytest.mark.slow
class TestMariaDb(ServerContract):
    """A server with types of its own: no time below a second, texts of 64 KB, names in any case."""

    def test_a_name_that_differs_in_case_only_is_refused(self, open_store: OpenStore) -> None:
        open_store(study="demo")
        with pytest.raises(StorageError, match="takes 'Demo' for the same name"):
            open_store(study="Demo")

    @pytest.fixture
    def url(self, mariadb_server: databases.Server) -> str:
        mariadb_server.empty()
        return mariadb_server.url
