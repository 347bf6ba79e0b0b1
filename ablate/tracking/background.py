"""Telling a tracker what happens without ever waiting for it: a queue that has an end, and a thread that empties it.

The engine's process hands events over and goes on. A tracker that is slow makes the queue longer. What a tracker
refuses is kept and offered again, for the last time at the end; what is missing then is said once. Neither changes a
trial.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ablate.engine.display import display_events
from ablate.human_units import plural
from ablate.storage.address import without_password
from ablate.tracking.tracker import ArmVerdict, Point, TrackedOutcome, TrackedStudy, TrackedTrial, Tracker

LONGEST_QUEUE = 20_000
"""Events that may wait. A point of a curve is refused from nine tenths on: an outcome matters more."""
PATIENCE_S = 30.0
"""A tracker that gets nothing done for so long when all else is over is left behind."""
_MOMENT_S = 2.0

_Key = tuple[str, int]


@dataclass(frozen=True)
class Tracked:
    """What became of a tracker in one run."""

    study: str
    kind: str
    place: str
    trials: int
    """Replicates that it was told of."""
    incomplete: int = 0
    """Of them, how many are missing there, or miss something."""
    error: str = ""
    """Why; empty where everything arrived."""
    hint: str = ""
    """What to type to see the runs."""

    @property
    def warning(self) -> str:
        """One sentence, or empty where everything arrived."""
        if not self.error:
            return ""
        what = f"{self.incomplete} of {plural(self.trials, 'trial')}" if self.incomplete else "verdicts"
        return f"{self.kind} {self.place}: {what} could not be tracked completely: {self.error}"


@dataclass(frozen=True)
class _Verdict:
    arm: str
    verdict: ArmVerdict


@dataclass
class _Run:
    """A run of the tracker that has not ended, and what it is still to be told."""

    trial: TrackedTrial
    begun: bool = False
    points: list[Point] = field(default_factory=list)
    outcome: TrackedOutcome | None = None


_Message = display_events.TrialEvent | _Verdict | None


class BackgroundTracker:
    """One tracker and its thread. `take` and `verdict` never wait and never raise."""

    def __init__(
        self, tracker: Tracker, study: TrackedStudy, *, longest: int = LONGEST_QUEUE, patience_s: float = PATIENCE_S
    ) -> None:
        self._tracker = tracker
        self._study = study
        self._longest = longest
        self._patience_s = patience_s
        self._queue: queue.Queue[_Message] = queue.Queue()
        self._lock = threading.Lock()
        # Shared by both sides, under the lock:
        self._trials: set[_Key] = set()
        self._due: Counter[_Key] = Counter()
        self._incomplete: set[_Key] = set()
        self._verdicts_missing = False
        self._error = ""
        self._handled = 0
        # The thread's own:
        self._runs: dict[_Key, _Run] = {}
        self._params = dict(study.params_of)
        self._thread = threading.Thread(target=self._work, name=f"ablate-{tracker.kind}", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ the engine's side

    def take(self, event: display_events.DisplayEvent) -> None:
        """Hand over what happened."""
        if isinstance(event, display_events.TrialCurvePoint):
            self._hand_over(event, most=self._longest * 9 // 10)
        elif isinstance(event, display_events.TrialStarted | display_events.TrialFinished):
            self._hand_over(event, most=self._longest)

    def verdict(self, arm: str, verdict: ArmVerdict) -> None:
        """Hand over the verdict on an arm."""
        self._queue.put(_Verdict(arm, verdict))

    def close(self, waits: Callable[[str], None]) -> Tracked:
        """Wait until everything was reported, as long as the tracker gets on; return what became of it.

        `waits` is called with the tracker's kind when that takes a moment. Ctrl-C ends the waiting.
        """
        self._queue.put(None)
        try:
            self._thread.join(min(_MOMENT_S, self._patience_s))
            waiting = self._thread.is_alive()
            if waiting:
                waits(self._tracker.kind)
            while waiting:
                before = self._handled
                self._thread.join(self._patience_s)
                waiting = self._thread.is_alive() and self._handled > before
        except KeyboardInterrupt:
            pass
        with self._lock:
            if self._thread.is_alive():
                self._incomplete |= {key for key, count in self._due.items() if count}
                self._verdicts_missing = True
                self._error = self._error or "it does not answer"
            missing = bool(self._incomplete) or self._verdicts_missing
            return Tracked(
                self._study.name,
                self._tracker.kind,
                self._tracker.place,
                trials=len(self._trials),
                incomplete=len(self._incomplete),
                error=self._error if missing else "",
                hint=self._tracker.hint(),
            )

    def _hand_over(self, event: display_events.TrialEvent, *, most: int) -> None:
        key = (event.arm, event.seed)
        with self._lock:
            self._trials.add(key)
            if self._queue.qsize() >= most:
                self._incomplete.add(key)
                self._error = self._error or "it is too slow: some of what happened was left out"
                return
            self._due[key] += 1
        self._queue.put(event)

    # ------------------------------------------------------------------ the thread's side

    def _work(self) -> None:
        over = False
        while not over:
            messages = [self._queue.get()]
            while len(messages) < self._longest and not self._queue.empty():
                messages.append(self._queue.get())
            over = None in messages
            self._handle(messages)
        self._deliver(list(self._runs), last=True)
        if not self._try(self._tracker.close):
            self._miss(self._runs)

    def _handle(self, messages: Sequence[_Message]) -> None:
        """Report messages in their order; points of one trial go together, because each request takes its time."""
        touched: dict[_Key, None] = {}
        for message in messages:
            if isinstance(message, _Verdict):
                self._deliver(list(self._runs), last=True)
                touched.clear()
                if not self._try(functools.partial(self._tracker.verdict, message.arm, message.verdict)):
                    with self._lock:
                        self._verdicts_missing = True
            elif message is not None:
                key = (message.arm, message.seed)
                if not isinstance(message, display_events.TrialCurvePoint) and key in touched:
                    self._deliver([key])  # what came before belongs to what was before
                self._note(key, message)
                touched[key] = None
        self._deliver(touched)
        with self._lock:
            self._due.subtract((one.arm, one.seed) for one in messages if isinstance(one, display_events.TrialEvent))

    def _note(self, key: _Key, event: display_events.TrialEvent) -> None:
        """Take an event down as something that the tracker is to be told."""
        match event:
            case display_events.TrialStarted():
                # The points of an earlier attempt come again.
                self._params[event.arm] = event.params  # a search finds arms while the run goes on
                self._runs[key] = _Run(TrackedTrial(*key, event.params, event.trial))
            case display_events.TrialCurvePoint():
                run = self._run(key, event)
                if len(run.points) < self._longest:
                    run.points.append(Point(event.at, event.images, dict(event.values)))
                else:
                    self._miss([key])
            case display_events.TrialFinished(final=True):
                self._run(key, event).outcome = TrackedOutcome(
                    event.outcome,
                    metrics=event.metrics,
                    seconds=event.seconds,
                    images_seen=event.images_seen,
                    error=event.error,
                    copied_from=event.copied_from,
                )
            case _:
                pass

    def _run(self, key: _Key, event: display_events.TrialEvent) -> _Run:
        """The run of a trial; a new one where the trial did not run now: its outcome was found, or is another arm's."""
        trial = TrackedTrial(*key, self._params.get(key[0], {}), event.trial)
        return self._runs.setdefault(key, _Run(trial))

    def _deliver(self, keys: Iterable[_Key], *, last: bool = False) -> None:
        """Tell the tracker all that these runs have for it; what it refuses stays for the next time."""
        for key in keys:
            run = self._runs.get(key)
            if run is not None and not self._try(functools.partial(self._tell, key, run)) and last:
                self._miss([key])

    def _tell(self, key: _Key, run: _Run) -> None:
        if not run.begun:
            self._tracker.begin(run.trial)
            run.begun = True
        if run.points:
            self._tracker.curve(key, run.points)
            run.points = []
        if run.outcome is not None:
            self._tracker.end(key, run.outcome)
            del self._runs[key]

    def _try(self, tell: Callable[[], None]) -> bool:
        """Tell the tracker something; False when it failed."""
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - whatever a tracker's library raises: the run goes on
            said = without_password(" ".join(str(error).split()) or type(error).__name__)
            with self._lock:
                self._error = self._error or said
            return False
        finally:
            self._handled += 1
        return True

    def _miss(self, keys: Iterable[_Key]) -> None:
        with self._lock:
            self._incomplete.update(keys)
