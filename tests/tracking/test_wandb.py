"""W&B: what is told to a module that writes it down, and, where wandb is installed, what an offline run holds."""

from __future__ import annotations

import importlib
import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.tracking.background import BackgroundTracker
from ablate.tracking.tracker import ArmVerdict, TrackedStudy
from ablate.tracking.wandb_tracker import open_wandb
from tests.tracking.conftest import finished, no_wait, point, started

pytestmark = pytest.mark.usefixtures("no_usage_reports")
VERDICT = ArmVerdict("better", "score +1, 2 seeds")


class FakeRun:
    """A run that writes down what it is told."""

    def __init__(self, module: FakeWandb, words: dict[str, Any]) -> None:
        self.id = words["id"]
        self.words = words
        before = module.server.get(self.id, {})
        self.resumed = words["resume"] == "allow" and bool(before)
        self.summary: dict[str, Any] = dict(before) if self.resumed else {}
        self.logged: list[dict[str, Any]] = []
        self.over: dict[str, str | None] = {}
        self.exit_code: int | None = None
        self._module = module

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.over[name] = step_metric

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)
        self.summary.update(values)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self._module.server[self.id] = self.summary


class FakeWandb(ModuleType):
    """Stands for the package: a server that remembers the summaries of runs."""

    class Error(Exception):
        """What wandb raises."""

    class CommError(Error):
        """The server refuses."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.errors = SimpleNamespace(Error=self.Error, CommError=self.CommError)
        self.runs: list[FakeRun] = []
        self.server: dict[str, dict[str, Any]] = {}
        self.deleted: set[str] = set()
        self.mode = "online"
        self.logged_in = True

    def Settings(self, **settings: Any) -> Any:
        return SimpleNamespace(mode=self.mode, update_from_env_vars=lambda environment: None, **settings)

    def login(self, *, prompt: bool) -> bool:
        assert not prompt, "nobody is asked for a key in the middle of a run"
        return self.logged_in

    def init(self, **words: Any) -> FakeRun:
        os.environ["WANDB_SERVICE"] = "as wandb sets it"
        if words["id"] in self.deleted:
            raise self.CommError("that run was deleted")
        run = FakeRun(self, words)
        self.runs.append(run)
        return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    module = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    return module


def test_a_trial_is_a_run_grouped_by_study_and_arm(fake: FakeWandb, study: TrackedStudy) -> None:
    tracker = BackgroundTracker(open_wandb("team/speech", study), study)
    tracker.take(started("lr=0.2", 1, trial=4))
    for images in (10, 20):
        tracker.take(point("lr=0.2", 1, images, score=images / 10))
    tracker.take(finished("lr=0.2", 1, score=2.5))
    tracker.take(started("baseline", 0))
    tracker.take(finished("baseline", 0, OutcomeKind.FAILED))
    assert tracker.close(no_wait).warning == ""
    run, failed = fake.runs
    words = {name: run.words[name] for name in ("entity", "project", "group", "job_type", "name")}
    assert words == {"entity": "team", "project": "speech", "group": "steps", "job_type": "lr=0.2", "name": "lr=0.2 s1"}
    assert {name: run.words["config"][name] for name in ("study", "arm", "seed", "lr", "layers")} == {
        "study": "steps", "arm": "lr=0.2", "seed": 1, "lr": 0.2, "layers": [8, 8],
    }  # fmt: skip
    assert run.logged == [{"images": 10, "curve/score": 1.0}, {"images": 20, "curve/score": 2.0}]
    assert run.over == {"images": None, "curve/*": "images"}
    assert {name: run.summary[name] for name in ("score", "seconds", "outcome", "trial")} == {
        "score": 2.5, "seconds": 2.0, "outcome": "measured", "trial": 4,
    }  # fmt: skip
    assert (run.exit_code, failed.exit_code) == (0, 1)


def test_workers_inherit_nothing_of_it(fake: FakeWandb, study: TrackedStudy) -> None:
    tracker = BackgroundTracker(open_wandb("", study), study)
    tracker.take(finished("baseline", 0, score=1.0))
    tracker.close(no_wait)
    assert "WANDB_SERVICE" not in os.environ
    settings = fake.runs[0].words["settings"]
    assert settings.x_disable_meta, "the command line, which may hold a password, is not sent"


def test_a_trial_that_resumes_goes_on_and_repeats_nothing(fake: FakeWandb, study: TrackedStudy) -> None:
    first = BackgroundTracker(open_wandb("", study), study)
    first.take(started("baseline", 0))
    first.take(point("baseline", 0, 1, score=1.0))
    first.take(finished("baseline", 0, OutcomeKind.STOPPED))
    first.close(no_wait)
    second = BackgroundTracker(open_wandb("", study), study)
    second.take(started("baseline", 0))
    for images in (1, 2):
        second.take(point("baseline", 0, images, score=1.0))
    second.take(finished("baseline", 0, score=1.0))
    second.close(no_wait)
    one, other = fake.runs
    assert (one.id, one.exit_code, other.exit_code) == (other.id, 1, 0)
    assert [values["images"] for values in other.logged] == [2]
    assert (one.summary["error"], other.summary["error"]) == ("it went wrong", "")


def test_the_verdict_reaches_every_run_and_keeps_its_summary(fake: FakeWandb, study: TrackedStudy) -> None:
    for seed in (0, 1):
        tracker = BackgroundTracker(open_wandb("", study), study)
        tracker.take(started("lr=0.2", seed))
        tracker.take(finished("lr=0.2", seed, OutcomeKind.MEASURED if seed else OutcomeKind.FAILED, score=1.0 + seed))
        if seed:
            tracker.verdict("lr=0.2", VERDICT)
        tracker.close(no_wait)
    told = [run for run in fake.runs if "verdict" in run.summary]
    assert [(run.summary["verdict"], run.summary["score"], run.exit_code) for run in told] == [
        ("better", 1.0, 1),
        ("better", 2.0, 0),
    ]
    again = BackgroundTracker(open_wandb("", study), study)
    again.verdict("lr=0.2", VERDICT)
    again.close(no_wait)
    assert len(fake.runs) == 4, "a verdict that is there already opens no run"


def test_a_run_that_was_deleted_is_begun_anew(fake: FakeWandb, study: TrackedStudy) -> None:
    for _ in range(2):
        tracker = BackgroundTracker(open_wandb("", study), study)
        tracker.take(finished("baseline", 0, score=1.0))
        assert tracker.close(no_wait).warning == ""
        fake.deleted.add(fake.runs[-1].id)
    assert len({run.id for run in fake.runs}) == 2


def test_what_would_ask_or_keep_nothing_is_refused(fake: FakeWandb, study: TrackedStudy) -> None:
    fake.logged_in = False
    with pytest.raises(AblateError, match="nobody is logged in"):
        open_wandb("", study)
    fake.mode = "disabled"
    with pytest.raises(AblateError, match="would keep nothing"):
        open_wandb("", study)
    fake.mode = "offline"
    assert "wandb sync" in open_wandb("", study).hint()


def records(path: Path) -> Iterator[Any]:
    """Yield the records of an offline run: a log of LevelDB's form behind a header of seven bytes."""
    proto: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    raw, at, data = path.read_bytes(), 7, b""
    while at + 7 <= len(raw):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", raw[at : at + 7])
        data += raw[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield proto.Record.FromString(data)
            data = b""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_offline_run_of_the_real_package(study: TrackedStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb: Any = pytest.importorskip("wandb")
    monkeypatch.setattr(sys, "argv", ["ablate", "run", "--storage", "postgresql://me:s3cret@host/db"])
    tracker = BackgroundTracker(open_wandb("team/speech", study), study)
    tracker.take(started("lr=0.2", 1))
    for images in (10, 20):
        tracker.take(point("lr=0.2", 1, images, score=images / 10))
    tracker.take(finished("lr=0.2", 1, score=2.5))
    tracker.verdict("lr=0.2", VERDICT)
    assert tracker.close(no_wait).warning == ""
    wandb.teardown()  # a run that has finished is on disk a moment later
    # A second run of one moment is called like the first, with -1.
    files = sorted(study.paths.wandb.glob("offline-run-*/*.wandb"), key=lambda path: path.parent.name)
    assert len(files) == 2, "the run, and the verdict on it"
    first, second = ([*records(path)] for path in files)
    (begun,) = [one.run for one in first if one.HasField("run")]
    assert (begun.entity, begun.project, begun.run_group, begun.job_type) == ("team", "speech", "steps", "lr=0.2")
    config = {one.key: json.loads(one.value_json) for one in begun.config.update}
    assert (config["lr"], config["seed"], config["layers"]) == (0.2, 1, [8, 8])
    history = [
        {one.nested_key[0]: one.value_json for one in step.history.item} for step in first if step.HasField("history")
    ]
    assert [(one["images"], one["curve/score"]) for one in history] == [("10", "1"), ("20", "2")]

    def summary(part: list[Any]) -> dict[str, Any]:
        updates = [one for record in part if record.HasField("summary") for one in record.summary.update]
        return {one.key or one.nested_key[0]: json.loads(one.value_json) for one in updates}

    assert (summary(first)["score"], summary(first)["outcome"]) == (2.5, "measured")
    whole = summary(second)
    assert (whole["verdict"], whole["score"], whole["curve/score"]) == ("better", 2.5, 2.0)
    (resumed,) = [one.run for one in second if one.HasField("run")]
    assert resumed.run_id == begun.run_id
    everything = b"".join(path.read_bytes() for path in study.paths.wandb.rglob("*") if path.is_file())
    assert b"s3cret" not in everything
