"""The engine never waits for a tracker and never fails because of one; what is missing is said once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from ablate.engine.display import display_events
from ablate.outcome import OutcomeKind
from ablate.tracking.background import BackgroundTracker
from ablate.tracking.tracker import ArmVerdict, Point, TrackedOutcome, TrackedStudy, TrackedTrial
from tests.tracking.conftest import finished, no_wait, point, started

GOOD = ArmVerdict("better", "score +1 [+0.5, +1.5], 3 seeds")


class Book:
    """A tracker that writes down what it is told, and fails when `broken` says so."""

    kind = "book"
    place = "here"

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.broken: set[str] = set()
        self.error = "the server is away"
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def _tell(self, what: str, *rest: object) -> None:
        self.reached.set()
        self.gate.wait()
        if what in self.broken:
            raise ConnectionError(self.error)
        self.told.append((what, *rest))

    def begin(self, trial: TrackedTrial) -> None:
        self._tell("begin", trial.key, trial.trial)

    def curve(self, key: tuple[str, int], points: Sequence[Point]) -> None:
        self._tell("curve", key, [one.images for one in points])

    def end(self, key: tuple[str, int], outcome: TrackedOutcome) -> None:
        self._tell("end", key, outcome.kind, dict(outcome.metrics))

    def verdict(self, arm: str, verdict: ArmVerdict) -> None:
        self._tell("verdict", arm, verdict.verdict)

    def close(self) -> None:
        self._tell("close")

    def hint(self) -> str:
        return "look"

    def images(self) -> list[int]:
        """The points of all curves, in the order in which they arrived."""
        return [images for what, *rest in self.told if what == "curve" for images in rest[1]]  # type: ignore[attr-defined]


def words(book: Book) -> list[object]:
    return [one[0] for one in book.told]


def test_a_trial_is_told_in_its_order(study: TrackedStudy) -> None:
    book = Book()
    book.gate.clear()  # so that all of it waits in the queue at once
    tracker = BackgroundTracker(book, study)
    for event in (
        started("lr=0.2", 0, trial=7),
        *(point("lr=0.2", 0, images, score=1.0) for images in (1, 2, 3)),
        display_events.Note(at=0.0, text="no concern of a tracker's"),
        finished("lr=0.2", 0, score=5.0),
    ):
        tracker.take(event)
    tracker.verdict("lr=0.2", GOOD)
    book.gate.set()
    tracked = tracker.close(no_wait)
    assert book.told[0] == ("begin", ("lr=0.2", 0), 7)
    assert book.images() == [1, 2, 3]
    assert book.told[-3:] == [
        ("end", ("lr=0.2", 0), OutcomeKind.MEASURED, {"score": 5.0}),
        ("verdict", "lr=0.2", "better"),
        ("close",),
    ]
    assert (tracked.trials, tracked.warning, tracked.hint) == (1, "", "look")


def test_points_that_wait_go_in_one_request(study: TrackedStudy) -> None:
    book = Book()
    book.gate.clear()
    tracker = BackgroundTracker(book, study)
    tracker.take(started("baseline", 0))
    assert book.reached.wait(60), "the thread is busy with the beginning: what follows waits together"
    for images in range(50):
        tracker.take(point("baseline", 0, images, score=1.0))
    book.gate.set()
    tracker.close(no_wait)
    assert words(book) == ["begin", "curve", "close"]


def test_an_outcome_without_a_start_gets_a_run_with_the_arms_params(study: TrackedStudy) -> None:
    """A result that was found on disk, or that another arm with the same recipe has."""
    book = Book()
    tracker = BackgroundTracker(book, study)
    tracker.take(finished("lr=0.2", 1, score=2.0))
    tracker.close(no_wait)
    assert words(book) == ["begin", "end", "close"]


def test_a_retry_goes_on_in_the_same_run(study: TrackedStudy) -> None:
    book = Book()
    tracker = BackgroundTracker(book, study)
    for event in (
        started("baseline", 0, trial=0),
        point("baseline", 0, 1, score=1.0),
        finished("baseline", 0, OutcomeKind.LOST, final=False),
        started("baseline", 0, trial=1),
        finished("baseline", 0, score=3.0),
    ):
        tracker.take(event)
    tracked = tracker.close(no_wait)
    assert [one for one in book.told if one[0] == "end"] == [
        ("end", ("baseline", 0), OutcomeKind.MEASURED, {"score": 3.0})
    ]
    assert tracked.trials == 1


def test_what_a_tracker_refuses_is_offered_again(study: TrackedStudy) -> None:
    """A server that was away for a while misses nothing."""
    book = Book()
    tracker = BackgroundTracker(book, study)
    tracker.take(started("baseline", 0))
    assert book.reached.wait(60)
    book.broken = {"curve", "end", "begin"}
    tracker.take(point("baseline", 0, 1, score=1.0))
    tracker.take(point("baseline", 0, 2, score=1.0))
    tracker.take(finished("baseline", 0, score=3.0))
    tracker.take(started("lr=0.2", 0))
    book.broken = set()
    tracker.take(point("lr=0.2", 0, 9, score=1.0))
    tracked = tracker.close(no_wait)
    assert sorted(book.images()) == [1, 2, 9]
    assert words(book).count("end") == 1
    assert tracked.warning == ""


def test_what_never_arrives_is_one_warning_without_a_password(study: TrackedStudy) -> None:
    book = Book()
    book.broken = {"begin", "curve", "end", "verdict", "close"}
    book.error = "http://me:s3cret@host/api: refused"
    tracker = BackgroundTracker(book, study)
    for seed in range(3):
        tracker.take(started("baseline", seed))
        tracker.take(finished("baseline", seed, score=3.0))
    tracker.verdict("lr=0.2", GOOD)
    tracked = tracker.close(no_wait)
    assert (tracked.trials, tracked.incomplete, book.told) == (3, 3, [])
    assert "3 of 3 trials" in tracked.warning
    assert "http://me@host/api: refused" in tracked.warning


def test_only_a_verdict_that_is_missing_is_a_warning_too(study: TrackedStudy) -> None:
    book = Book()
    book.broken = {"verdict"}
    tracker = BackgroundTracker(book, study)
    tracker.take(finished("lr=0.2", 0, score=3.0))
    tracker.verdict("lr=0.2", GOOD)
    tracked = tracker.close(no_wait)
    assert (tracked.incomplete, words(book)) == (0, ["begin", "end", "close"])
    assert "verdicts" in tracked.warning


def test_a_tracker_that_hangs_is_left_behind(study: TrackedStudy) -> None:
    book = Book()
    book.gate.clear()
    tracker = BackgroundTracker(book, study, patience_s=0.05)
    tracker.take(started("baseline", 0))
    tracker.take(finished("baseline", 1, score=1.0))
    waited: list[str] = []
    tracked = tracker.close(waited.append)
    assert waited == ["book"]
    assert (tracked.trials, tracked.incomplete) == (2, 2)
    assert "it does not answer" in tracked.warning
    book.gate.set()


def test_ctrl_c_ends_the_waiting(study: TrackedStudy) -> None:
    book = Book()
    book.gate.clear()
    tracker = BackgroundTracker(book, study, patience_s=0.05)
    tracker.take(finished("baseline", 1, score=1.0))

    def interrupted(kind: str) -> None:
        raise KeyboardInterrupt

    tracked = tracker.close(interrupted)
    assert tracked.incomplete == 1
    book.gate.set()


def test_a_queue_that_is_full_keeps_outcomes_rather_than_points(study: TrackedStudy) -> None:
    book = Book()
    book.gate.clear()
    tracker = BackgroundTracker(book, study, longest=20)
    tracker.take(started("baseline", 0))
    assert book.reached.wait(60)
    for images in range(100):
        tracker.take(point("baseline", 0, images, score=1.0))
    tracker.take(finished("baseline", 0, score=3.0))
    book.gate.set()
    tracked = tracker.close(no_wait)
    assert book.images() == list(range(18))
    assert "end" in words(book)
    assert "too slow" in tracked.warning


@pytest.mark.parametrize("error", [KeyError("x"), ValueError(), RuntimeError("line\nbreak")])
def test_whatever_a_library_raises_stays_in_the_thread(study: TrackedStudy, error: Exception) -> None:
    class Rude(Book):
        def begin(self, trial: TrackedTrial) -> None:
            raise error

    tracker = BackgroundTracker(Rude(), study)
    tracker.take(started("baseline", 0))
    tracker.take(finished("baseline", 0))
    tracked = tracker.close(no_wait)
    assert tracked.incomplete == 1
    assert "\n" not in tracked.warning
