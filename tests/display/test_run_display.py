"""One line per event, one JSON object per event, and silence."""

from __future__ import annotations

import io
import json as json_text
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ablate.display.console import Screen
from ablate.display.run_display import Foresight, JsonLines, Lines, Picture, Silence, event_line
from ablate.display.run_state import RunView
from ablate.engine.display import display_events
from ablate.engine.display.display_events import Estimate
from ablate.outcome import OutcomeKind
from ablate.study.spec import Arm, MetricSpec, Study
from tests.sentences import SENTENCES

AT = 1_795_480_867.4  # 2026-11-24T00:41:07Z
FAILED = display_events.TrialFinished(
    at=AT,
    trial=41,
    arm="both lr 0.01",
    seed=2,
    slot=0,
    outcome=OutcomeKind.FAILED,
    error="ValueError: no luck",
    log="log.txt",
)
PROGRESS = [
    display_events.TrialProgress(
        at=AT + late,
        trial=41,
        arm="a",
        seed=2,
        slot=0,
        stage="dip",
        done=1,
        total=9,
        fraction=0.1,
        elapsed_s=1,
        left_s=9,
    )
    for late in (0.0, 4.9, 5.1)
]


def screen(*, json: bool = False, quiet: bool = False) -> tuple[Screen, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    consoles = [Console(file=stream, width=80, markup=False, highlight=False) for stream in (out, err)]
    return Screen(consoles[0], consoles[1], json=json, quiet=quiet), out, err


def retrying(retry: int, reason: str) -> display_events.Retrying:
    return display_events.Retrying(at=AT, trial=41, slot=0, arm="a", seed=2, retry=retry, retries=2, reason=reason)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            retrying(1, "worker died"),
            '2026-11-24T00:41:07Z retry      trial=41  slot=0  arm=a  seed=2  retry=1/2  reason="worker died"',
        ),
        (
            retrying(0, "pre-empted"),
            '2026-11-24T00:41:07Z retry      trial=41  slot=0  arm=a  seed=2  retry="none used"  reason=pre-empted',
        ),
        (
            display_events.TrialStarted(at=AT, trial=41, arm="both lr 0.01", seed=2, slot=0),
            '2026-11-24T00:41:07Z start      trial=41  slot=0  arm="both lr 0.01"  seed=2',
        ),
        (
            display_events.TrialFinished(
                at=AT,
                trial=41,
                arm="lr=0.2",
                seed=2,
                slot=0,
                outcome=OutcomeKind.MEASURED,
                metrics={"psnr": 29.05, "ssim": 0.9},
                seconds=497.123,
                done=24,
                total=33,
            ),
            "2026-11-24T00:41:07Z finish     trial=41  slot=0  arm=lr=0.2  seed=2  outcome=measured  psnr=29.05  "
            "seconds=497.12  done=24/33",
        ),
        (
            display_events.TrialFinished(
                at=AT,
                trial=7,
                arm="lr=0.2",
                seed=0,
                slot=1,
                outcome=OutcomeKind.DIVERGED,
                seconds=15.218,
                elapsed_s=6.07,
                done=2,
                total=33,
            ),
            "2026-11-24T00:41:07Z finish     trial=7  slot=1  arm=lr=0.2  seed=0  outcome=diverged  seconds=15.22  "
            "elapsed_s=6.07  done=2/33",
        ),
        (
            display_events.Alive(
                at=AT, done=24, total=33, running=4, waiting=5, elapsed_s=60, eta=Estimate(1260.4, 1000, 1500)
            ),
            "2026-11-24T00:41:07Z alive      done=24/33  running=4  waiting=5  eta_s=1260",
        ),
        (
            display_events.Note(at=AT, text="a worker was replaced"),
            '2026-11-24T00:41:07Z note       text="a worker was replaced"',
        ),
        (PROGRESS[0], ""),
    ],
    ids=["retry", "free retry", "start", "finish", "resumed", "alive", "note", "progress"],
)
def test_lines(event: display_events.DisplayEvent, line: str) -> None:
    assert event_line(event, "psnr") == line


def test_a_metric_never_takes_the_place_of_what_every_line_says() -> None:
    assert "metric.error=0.25  seconds=" in event_line(replace(FAILED, metrics={"error": 0.25}), "error")


def test_lines_go_to_stderr_and_never_break_in_two() -> None:
    view, out, err = screen()
    Lines(view, "psnr").take(display_events.Note(at=AT, text="x" * 300 + "\nsecond\x1b[2J"))
    assert out.getvalue() == ""
    assert err.getvalue().count("\n") == 1
    assert "\x1b" not in err.getvalue()


def test_json_lines_parse_and_progress_is_thinned() -> None:
    view, out, _ = screen(json=True)
    display = JsonLines(view)
    for event in (*PROGRESS, FAILED):
        display.take(event)
    found = [json_text.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event"] for one in found] == ["progress", "progress", "finish"]
    assert all(one["schema_version"] == 1 for one in found)
    assert (found[-1]["outcome"], found[-1]["arm"], found[-1]["time"]) == (
        "failed", "both lr 0.01", "2026-11-24T00:41:07Z",
    )  # fmt: skip


def test_quiet_still_tells_failures() -> None:
    view, out, err = screen(quiet=True)
    display = Silence(view)
    display.take(display_events.TrialStarted(at=AT, trial=41, arm="a", seed=2, slot=0))
    display.take(FAILED)
    assert (out.getvalue(), err.getvalue()) == ("", SENTENCES["quiet still tells failures"])


def test_the_picture_draws_what_the_view_holds_and_leaves_failures_above_it() -> None:
    study = Study("s", "", "toy", (Arm("both lr 0.01", {}, {}),), (), (MetricSpec("psnr", "max", primary=True),), (3,))
    view, _, err = screen()
    with Picture(view, RunView(study, {"both lr 0.01": 3}, began=AT), clock=lambda: AT + 61) as display:
        display.take(display_events.TrialStarted(at=AT, trial=41, arm="both lr 0.01", seed=2, slot=0))
        assert "starting 1m01" in display.draw().plain
        display.take(FAILED)
        assert "starting" not in display.draw().plain
    assert SENTENCES["picture draws what view"] in err.getvalue()


def test_paths_are_shown_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    event = display_events.RunStarted(
        at=AT,
        study="s",
        total=1,
        done=0,
        to_run=1,
        slots=("cpu",),
        devices=("cpu",),
        log=str(tmp_path / "a" / "run.log"),
    )
    assert event_line(event, "psnr").endswith(f"log={Path('a') / 'run.log'}")


def test_work_for_later_begins_once_when_a_slot_is_left_without_a_trial() -> None:
    """Of four trials on two slots that is after the third has ended, and not after a loss that is tried again."""
    prepared = threading.Semaphore(0)
    run = Foresight(Silence(screen()[0]), prepared.release)
    two = ("cpu", "cpu")
    run.take(display_events.RunStarted(at=AT, total=4, done=0, to_run=4, slots=two, devices=two, log="run.log"))
    ended = replace(FAILED, outcome=OutcomeKind.MEASURED, error=None)
    for event in (ended, ended, replace(FAILED, final=False)):
        run.take(event)
    assert not prepared.acquire(blocking=False)
    run.take(ended)
    assert prepared.acquire(timeout=60)
    run.take(ended)
    assert not prepared.acquire(blocking=False)
