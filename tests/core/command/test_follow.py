"""Files are read as they grow: each point once, no point half, and no oftener than it is worth."""

from __future__ import annotations

import itertools
from pathlib import Path

from ablate.core.command.follow import CurveFollower, Watch, stamp_of
from ablate.core.command.spec.sources import Source
from ablate.core.command.spec.specification import Curve
from tests.core.command.test_event_files import event, write


def follower(path: Path, text: str, x: str, **columns: str) -> CurveFollower:
    return CurveFollower(Curve(Source.parse(text), x, columns), path)


def test_json_lines_are_followed_and_a_line_that_is_not_whole_waits(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    found = follower(path, "jsonl:log.jsonl", "at/step", acc="val/acc", loss="loss")
    assert found.read(whole=False) == {}
    path.write_text('{"at": {"step": 1}, "loss": 3}\n{"at": {"step": 2}, "loss": 2}\n{"at": {"step": 3}, "lo')
    assert found.read(whole=False) == {1: {"loss": 3.0}}, "more of step 2 may come"
    with path.open("a") as handle:
        handle.write('ss": 1}\n{"at": {"step": 2}, "val": {"acc": 0.5}}\n{"epoch": 1}\n')
    assert found.read(whole=False) == {2: {"loss": 2.0, "acc": 0.5}}
    assert found.read(whole=True) == {3: {"loss": 1.0}}
    assert found.read(whole=True) == {}
    assert found.doubt == ""


def test_event_files_are_followed_with_tags_of_one_step_put_together(tmp_path: Path) -> None:
    found = follower(tmp_path, "tensorboard:.", "step", acc="val/acc", loss="train/loss")
    write(tmp_path, [event("train/loss", 1, 3.0), event("val/acc", 1, 0.5), event("lr", 5, 1.0)])
    assert found.read(whole=False) == {}
    write(tmp_path, [event("train/loss", 2, 2.0)], "events.out.tfevents.2")
    assert found.read(whole=False) == {1: {"loss": 3.0, "acc": 0.5}}
    assert found.read(whole=True) == {2: {"loss": 2.0}}


def test_what_cannot_be_a_point_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,acc\n0,0.1\n0.5,0.2\nx,0.3\n1,bad\n-1,0.4\n2,nan\n")
    found = follower(path, "csv:log.csv", "epoch", acc="acc")
    points = found.read(whole=True)
    assert points[0] == {"acc": 0.1}
    assert sorted(points) == [0, 2]
    assert "log.csv" in found.doubt


def test_a_file_is_read_again_when_it_changed_and_when_reading_has_paid_for_itself(tmp_path: Path) -> None:
    path, now, read = tmp_path / "log.csv", [0.0], list[float]()

    def act() -> None:
        read.append(now[0])
        now[0] += 0.5  # what reading takes

    watch = Watch(path, "csv", act, clock=lambda: now[0])
    for at in range(200):
        now[0] = max(now[0], float(at))
        path.write_text("x" * at)
        watch.look()
    assert read[0] >= 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(read)]
    assert min(gaps) >= 0.5 / 0.02
    before = len(read)
    now[0] += 1000
    watch.look()
    now[0] += 1000
    watch.look()
    assert len(read) == before + (stamp_of(path, "csv") != ()), "the last change is read once, and then nothing is new"
