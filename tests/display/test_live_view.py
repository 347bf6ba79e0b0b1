"""The picture of a run at 80 columns, letter by letter, from the engine's events."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ablate.display.interim_results import Result
from ablate.display.live_view import picture
from ablate.display.run_state import RunView
from ablate.engine.display import display_events
from ablate.engine.display.display_events import Estimate
from ablate.outcome import OutcomeKind
from ablate.study.spec import Arm, MetricSpec, Study
from tests.sentences import SENTENCES

ARMS = ("baseline", "noise_schedule=exponential", "batch_size=128", "both lr 0.01")
PSNR = MetricSpec("psnr", "max", unit="dB", digits=2, primary=True)
START = 1_000_000.0


def view() -> RunView:
    """A run in the middle: two trials on two slots, results of three arms, one retry."""
    study = Study("schedules", "", "toy", tuple(Arm(name, {}, {}) for name in ARMS), (), (PSNR,), (3,))
    made = RunView(study, dict.fromkeys(ARMS, 3), began=START)
    made.results[("baseline", 0)] = Result(OutcomeKind.MEASURED, 29.50)
    for event in (
        display_events.TrialStarted(at=START + 1, trial=3, arm=ARMS[1], seed=0, slot=0),
        display_events.TrialFinished(
            at=START + 300,
            trial=3,
            arm=ARMS[1],
            seed=0,
            slot=0,
            outcome=OutcomeKind.MEASURED,
            metrics={"psnr": 28.67},
        ),
        display_events.TrialFinished(
            at=START + 301, trial=4, arm=ARMS[3], seed=0, slot=1, outcome=OutcomeKind.DIVERGED
        ),
        display_events.TrialStarted(at=START + 302, trial=41, arm=ARMS[1], seed=1, slot=0),
        display_events.TrialStarted(at=START + 303, trial=42, arm=ARMS[2], seed=0, slot=1),
        progress(at=START + 310, done=100, fraction=0.1),
        progress(at=START + 320, done=612, fraction=0.68, left_s=240.0),
        display_events.Retrying(
            at=START + 321, trial=40, arm=ARMS[2], seed=1, slot=1, retry=1, retries=2, reason="worker died"
        ),
        display_events.Alive(
            at=START + 330, done=3, total=12, running=2, waiting=7, elapsed_s=330, eta=Estimate(1260, 1080, 1620)
        ),
    ):
        made.take(event)
    return made


def test_a_trial_whose_place_was_taken_away_is_not_said_to_be_retried() -> None:
    made = view()
    taken = display_events.Retrying(
        at=START, trial=40, arm=ARMS[2], seed=1, slot=1, retry=0, retries=2, reason="pre-empted"
    )
    made.take(taken)
    assert SENTENCES["trial whose place was"] in picture(made, START + 331, 80, 24).plain


def progress(*, at: float, done: int, fraction: float, left_s: float | None = None) -> display_events.TrialProgress:
    return display_events.TrialProgress(
        at=at,
        trial=41,
        arm=ARMS[1],
        seed=1,
        slot=0,
        stage="denoiser",
        done=done,
        total=900,
        fraction=fraction,
        elapsed_s=at - START,
        left_s=left_s,
        numbers={"loss": 0.00031},
    )


def test_the_picture_at_eighty_columns() -> None:
    expected = """\
schedules  3/12  [#####----------------]  5m30 elapsed, 21m00 left (18m00-27m00)
slot trial arm               seed stage    progress           loss   it/s   left
   0   #41 noise_…xponential    1 denoiser [####---]  68%  0.00031   51.2   4m00
   1   #42 batch_size=128       0 starting 27s
   again: batch_size=128 s1 retry 1 of 2: worker died
--------------------------------------------------------------------------------
  arm                         seeds  psnr (dB)   diff
  baseline                      1/3      29.50
  noise_schedule=exponential    1/3      28.67  -0.83  1 running
  both lr 0.01                  1/3                    diverged 1 of 1
Ctrl-C once: save checkpoints and stop"""
    assert picture(view(), START + 330, 80).plain == expected


@pytest.mark.parametrize("width", [72, 80, 100, 160])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    lines = picture(view(), START + 330, width).plain.splitlines()
    assert [line for line in lines if cell_len(line) > width] == []


@pytest.mark.parametrize("width", [40, 80, 160])
def test_numbers_survive_any_width(width: int) -> None:
    text = picture(view(), START + 330, width).plain
    assert all(number in text for number in ("0.00031", "51.2", "28.67", "-0.83", "#41", "3/12", "21m00"))


@pytest.mark.parametrize("height", [8, 10, 24])
def test_the_picture_fits_a_low_screen(height: int) -> None:
    assert len(picture(view(), START + 330, 80, height).plain.splitlines()) <= height


def test_no_estimate_before_the_engine_has_one() -> None:
    early = view()
    early.eta = None
    assert "left (" not in picture(early, START + 330, 80).plain


def test_stopping_says_what_a_second_ctrl_c_does() -> None:
    stopping = view()
    stopping.take(display_events.Stopping(at=START + 331, reason="Ctrl-C", running=2, saving=True, deadline_s=30.0))
    last = picture(stopping, START + 331, 80).plain.splitlines()[-1]
    assert last == SENTENCES["stopping says what second"]


def test_no_verdict_word_before_a_declared_look() -> None:
    text = picture(view(), START + 330, 80).plain
    assert not any(word in text for word in ("better", "worse", "equivalent", "undecided"))
