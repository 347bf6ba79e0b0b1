"""TensorBoard: what is written is read back with TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from ablate.outcome import OutcomeKind
from ablate.tracking.background import BackgroundTracker
from ablate.tracking.tensorboard_tracker import open_tensorboard
from ablate.tracking.tracker import ArmVerdict, TrackedStudy
from tests.tracking.conftest import AT, finished, no_wait, point, started


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def texts(events: EventAccumulator, tag: str) -> list[str]:
    return [one.tensor_proto.string_val[0].decode() for one in events.Tensors(tag)]


def test_a_trial_is_a_folder_with_params_curve_outcome_and_verdict(study: TrackedStudy) -> None:
    tracker = BackgroundTracker(open_tensorboard("", study), study)
    tracker.take(started("lr=0.2", 1))
    for images in (10, 20):
        tracker.take(point("lr=0.2", 1, images, score=images / 10, loss=0.5))
    tracker.take(finished("lr=0.2", 1, score=2.5))
    tracker.verdict("lr=0.2", ArmVerdict("better", "score +1, 3 seeds"))
    assert tracker.close(no_wait).warning == ""
    events = read(study.paths.folder / "tensorboard" / "lr=0.2-s1")
    assert [(one.step, one.value, one.wall_time) for one in events.Scalars("curve/score")] == [
        (10, 1.0, AT),
        (20, 2.0, AT),
    ]
    assert {tag: events.Scalars(tag)[-1].value for tag in ("curve/loss", "score", "seconds")} == {
        "curve/loss": 0.5,
        "score": 2.5,
        "seconds": 2.0,
    }
    assert texts(events, "outcome") == ["measured"]
    assert texts(events, "verdict") == ["better: score +1, 3 seeds"]
    metadata = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = HParamsPluginData.FromString(metadata).session_start_info
    assert start.group_name == "lr=0.2", "the seeds of an arm are one group"
    assert start.hparams["lr"].number_value == 0.2
    assert start.hparams["augment"].bool_value is True
    assert [start.hparams[name].string_value for name in ("layers", "norm", "name")] == ["[8, 8]", "null", "plain"]


def test_a_trial_that_resumes_replaces_its_file_and_a_verdict_the_one_before(study: TrackedStudy) -> None:
    for last in (1, 2):
        tracker = BackgroundTracker(open_tensorboard("", study), study)
        tracker.take(started("baseline", 0))
        for images in range(last + 1):  # points of earlier attempts come again
            tracker.take(point("baseline", 0, images, score=images))
        tracker.take(finished("baseline", 0, OutcomeKind.STOPPED if last == 1 else OutcomeKind.MEASURED))
        tracker.verdict("baseline", ArmVerdict("better", f"{last} seeds"))
        tracker.close(no_wait)
    events = read(study.paths.folder / "tensorboard" / "baseline-s0")
    assert [one.step for one in events.Scalars("curve/score")] == [0, 1, 2]
    assert texts(events, "outcome") == ["measured"]
    assert texts(events, "verdict") == ["better: 2 seeds"]


def test_a_folder_of_ones_own_has_a_folder_per_study(study: TrackedStudy, tmp_path: Path) -> None:
    other = tmp_path / "boards" / "steps" / "baseline-s0" / "events.out.tfevents.1.host.1.0"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"somebody else's")
    tracker = BackgroundTracker(open_tensorboard(str(tmp_path / "boards"), study), study)
    tracker.take(finished("baseline", 0, score=1.0))
    tracked = tracker.close(no_wait)
    assert len(list(other.parent.iterdir())) == 2
    assert other.read_bytes() == b"somebody else's"
    assert tracked.place == str(tmp_path / "boards" / "steps")


def test_trials_that_were_stopped_end_as_failures(study: TrackedStudy) -> None:
    tracker = BackgroundTracker(open_tensorboard("", study), study)
    tracker.take(started("baseline", 0))
    tracker.close(no_wait)
    events = read(study.paths.folder / "tensorboard" / "baseline-s0")
    content = events.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    assert HParamsPluginData.FromString(content).session_end_info.status == 2


@pytest.mark.parametrize("arm", ["a/b", "../up", "x" * 300])
def test_an_arms_name_never_leaves_the_folder(study: TrackedStudy, arm: str) -> None:
    tracker = BackgroundTracker(open_tensorboard("", study), study)
    event = finished("baseline", 0, score=1.0)
    tracker.take(type(event)(**{**vars(event), "arm": arm}))
    assert tracker.close(no_wait).warning == ""
    (folder,) = (study.paths.folder / "tensorboard").iterdir()
    assert len(list(folder.iterdir())) == 1
