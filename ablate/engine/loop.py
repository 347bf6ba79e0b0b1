"""The loop around the pure state: carries out its actions, and tells it what happened. It waits, it never polls."""

from __future__ import annotations

import functools
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from ablate.engine.display import eta
from ablate.engine.display.announcer import Announcer
from ablate.engine.display.eta import Attempt, History
from ablate.engine.interrupts import Interrupts
from ablate.engine.records.folders import cannot_write, read_new_outcome
from ablate.engine.records.recorder import Recorder
from ablate.engine.rules import events_actions
from ablate.engine.rules.events_actions import Key, Planned
from ablate.engine.rules.machine import EngineState
from ablate.engine.rules.transitions import SlotState
from ablate.engine.search_queue import SearchQueue
from ablate.engine.workers.curve_file import MOST_IMAGES
from ablate.engine.workers.local_process import End
from ablate.engine.workers.messages import (
    Assignment,
    BatchDone,
    Begun,
    Broken,
    Company,
    CurvePoint,
    DiskFull,
    Heard,
    Leave,
    OutcomeWritten,
    Progress,
    Prune,
    Queued,
    QueueFailed,
    QueueNote,
    Ready,
    RunBatch,
    Stop,
    Unreadable,
    Withdrawn,
    WorkerNote,
)
from ablate.engine.workers.pool import WorkerGone, WorkerPool
from ablate.errors import AblateError, OutageError, ResultsError
from ablate.outcome import Outcome, OutcomeKind
from ablate.study.spec import Replicate

_LATE_S = 5.0
_SIGNAL_WORDS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@dataclass(frozen=True)
class LoopWork:
    """What a loop has to get done."""

    study: str
    """Name of the study."""
    replicates: Sequence[Replicate]
    planned: Sequence[Planned]
    """What placing needs to know of the replicates, and of the candidates of searches."""
    curve_of_images: bool = True
    """Whether learning curves are over training images."""


@dataclass(frozen=True)
class LoopPartners:
    """The objects that a loop works with."""

    recorder: Recorder
    announcer: Announcer
    interrupts: Interrupts
    search_queue: SearchQueue
    pool: WorkerPool


@dataclass(frozen=True)
class LoopTimes:
    """The times of a loop, in seconds."""

    stop_s: float
    """How long running trials get to save and stop."""
    alive_s: float
    """Time between `Alive` events."""


class Loop:
    """One run, from the first worker to the last."""

    def __init__(self, state: EngineState, work: LoopWork, partners: LoopPartners, times: LoopTimes) -> None:
        self.fault: AblateError | None = None
        """What made the run impossible to continue: a full disk, a storage that is gone, a core that cannot load."""
        self.slot_seconds = 0.0
        self._state = state
        self._study = work.study
        self._curve_of_images = work.curve_of_images
        self._recipes = {replicate.key: replicate.recipe for replicate in work.replicates}
        self._planned = {one.key: one for one in work.planned}
        self._keys: dict[tuple[int, str], Key] = {}
        self._recorder = partners.recorder
        self._announcer = partners.announcer
        self._interrupts = partners.interrupts
        self._search_queue = partners.search_queue
        self._pool = partners.pool
        self._times = times
        self._given: dict[Key, Outcome] = {}
        self._attempts: dict[Key, Attempt] = {}
        self._counted_to: dict[int, float] = {}
        self._tried: Counter[Key] = Counter()
        self._places: dict[int, Mapping[str, str]] = {}
        """Slot -> node and job of its worker, on a cluster: what a lost trial cannot say itself."""
        self._late = False
        """True after something took so long that workers may have said much in the meantime."""
        self._history = History()
        self._queue: deque[events_actions.Event] = deque()
        self._handling = self._over = False
        self._killed: set[int] = set()
        self._reason: str | None = None
        self._signals = 0

    def run(self) -> str | None:
        """Go on until nothing is left to do or the run has been stopped; return why it ended early, if it did."""
        began = beat = time.monotonic()
        self._happen(events_actions.RunBegan(began))
        self._interrupted()
        while not self._over:
            deadline = self._state.next_deadline()
            until = beat + self._times.alive_s
            until = min(until, deadline) if deadline is not None else until
            for news in self._pool.listen(until - time.monotonic()):
                if isinstance(news, WorkerGone):
                    self._gone(news.slot, news.reap)
                else:
                    self._said(news.slot, news.message)
            self._interrupted()
            if self._late:
                self._late = False
                continue  # nobody was silent while nobody listened
            now = time.monotonic()
            self._happen(events_actions.TimePassed(now))
            if now - beat >= self._times.alive_s and not self._over:
                beat = now
                self._beat(now - began)
        return self._reason

    # ------------------------------------------------------------------ what workers and the system say

    def _said(self, slot: int, message: Heard) -> None:
        """Take a message of a worker, or of its launcher about it."""
        match message:
            case Progress():
                self._progress(slot, message)
            case CurvePoint():
                self._curve(slot, message)
            case OutcomeWritten():
                if (key := self._key_on(slot, message.digest)) is not None:
                    self._read_outcome(slot, key)
            case Ready():
                if self._in_turn(slot, message, SlotState.STARTING):
                    self._happen(events_actions.WorkerReady(time.monotonic(), slot))
            case BatchDone(spent=spent, peak_mb=peak_mb):
                if self._in_turn(slot, message, SlotState.BUSY):
                    self._happen(events_actions.BatchEnded(time.monotonic(), slot, spent=spent, peak_mb=peak_mb))
            case WorkerNote():
                self._announcer.note(f"slot {slot}: {message.text}")
            case Queued() | Begun():
                self._queued(slot, message)
            case Withdrawn():
                self._announcer.note(f"slot {slot}: {message.reason}")
                self._happen(events_actions.PlaceWithdrawn(time.monotonic(), slot))
            case QueueNote():
                self._announcer.note(message.text)
            case QueueFailed():
                kind = OutageError if message.away else AblateError
                self._fail(kind(message.error, hint=message.hint))
            case Broken():
                self._fail(AblateError(message.error, hint=message.hint))
            case DiskFull():
                hint = "nothing recorded so far is lost; free some space and run the same command again"
                self._fail(ResultsError(f"a worker can no longer write: {message.error}", hint=hint))
            case Unreadable():
                self._refuse(slot, f"the worker sent an invalid message: {message.reason}")
            case _:
                assert_never(message)

    def _gone(self, slot: int, reap: Callable[[], End]) -> None:
        """A worker's process is gone: what its files say counts, then what is left is lost."""
        batch = self._state.batch_on(slot)
        for key in batch:
            self._read_outcome(slot, key)
        end = reap()
        # Its last words are where it was writing: in the log of the trial, or in that of the slot.
        log = self._recorder.log_of(batch[0]) if batch else self._pool.log(slot)
        reason = f"{end.reason} ({log})"
        if self._state.slots[slot] in (SlotState.STARTING, SlotState.QUEUED) and slot not in self._killed:
            self._announcer.note(f"slot {slot}: no worker: {reason}")
        self._killed.discard(slot)
        self._happen(events_actions.WorkerDied(time.monotonic(), slot, reason, end.out_of_memory, end.evicted))
        self._places.pop(slot, None)

    def _in_turn(self, slot: int, message: Ready | BatchDone, state: SlotState) -> bool:
        """Whether a message makes sense in the present state of the slot; if not, its worker is ended."""
        if self._state.slots[slot] is state:
            return True
        self._refuse(slot, f"the worker sent {message.type!r} while its slot was {self._state.slots[slot]}")
        return False

    def _refuse(self, slot: int, reason: str) -> None:
        self._announcer.note(f"slot {slot}: ending the worker: {reason}")
        self._killed.add(slot)
        self._pool.refuse(slot, reason)

    def _queued(self, slot: int, message: Queued | Begun) -> None:
        if isinstance(message, Begun):
            self._pool.waits(slot, None)
            self._places[slot] = {"node": message.node, "job": message.job}
            self._announcer.begun(slot, job=message.job, node=message.node)
            self._happen(events_actions.WorkerBegun(time.monotonic(), slot))
            return
        self._pool.waits(slot, self._announcer.queued(slot, job=message.job, reason=message.reason))
        if self._state.slots[slot] is not SlotState.QUEUED:
            self._happen(events_actions.WorkerQueued(time.monotonic(), slot))

    def _progress(self, slot: int, message: Progress) -> None:
        key = self._key_on(slot, message.digest)
        if key is None:
            return
        now, stage, attempt = time.monotonic(), message.stage, self._attempts[key]
        fraction = eta.fraction_of(attempt.planned, stage, message.done, message.total)
        attempt.pace.update(now, stage, fraction)
        self._happen(events_actions.ProgressMade(now, slot, key, stage, message.done))
        self._announcer.progress(
            key,
            attempt.number,
            slot,
            stage=stage,
            done=message.done,
            total=message.total,
            numbers=message.numbers,
            fraction=fraction,
            elapsed_s=now - attempt.since,
            left_s=attempt.pace.left_s(now),
        )

    def _curve(self, slot: int, message: CurvePoint) -> None:
        key = self._key_on(slot, message.digest)
        if key is None:
            return
        if self._curve_of_images and message.images <= MOST_IMAGES:
            self._attempts[key].images = max(self._attempts[key].images, message.images)
        self._guarded(functools.partial(self._add_point, slot, key, message))
        self._happen(events_actions.ProgressMade(time.monotonic(), slot, key))

    def _add_point(self, slot: int, key: Key, message: CurvePoint) -> None:
        """Store a point of a curve; a candidate whose curve cannot win is ended by its worker."""
        value = self._recorder.curve(key, message.images, message.values)
        number = self._attempts[key].number
        self._announcer.curve(key, number, slot, images=message.images, values=message.values)
        if value is not None and self._search_queue.observe(key, message.images, value):
            self._pool.send(slot, Prune(message.digest))

    def _read_outcome(self, slot: int, key: Key) -> None:
        outcome = read_new_outcome(self._recorder.trial(key), self._recipes[key].digest)
        if outcome is not None:
            self._happen(events_actions.OutcomeArrived(time.monotonic(), slot, key, outcome))

    def _key_on(self, slot: int, digest: str) -> Key | None:
        """The replicate whose recipe a message is about; None when it has its outcome already (a core may talk on)."""
        key = self._keys.get((slot, digest))
        return key if key in self._state.batch_on(slot) else None

    def _interrupted(self) -> None:
        self._interrupts.clear()
        for number in self._interrupts.received[self._signals :]:
            self._signals += 1
            word = _SIGNAL_WORDS[number]
            self._happen(events_actions.StopRequested(time.monotonic(), word, force=self._signals > 1))

    # ------------------------------------------------------------------ carrying out

    def _happen(self, event: events_actions.Event) -> None:
        """Hand an event to the state and do what it wants, and so on until it wants nothing more."""
        self._queue.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._queue:
                for action in self._state.handle(self._queue.popleft()):
                    _ACTIONS[type(action)](self, action)
        finally:
            self._handling = False

    def _start_worker(self, action: events_actions.StartWorker) -> None:
        try:
            self._pool.start(action.slot)
        except OSError as error:
            self._announcer.note(f"slot {action.slot}: cannot start a worker: {error}")
            self._queue.append(events_actions.WorkerDied(time.monotonic(), action.slot, str(error)))

    def _place_batch(self, action: events_actions.PlaceBatch) -> None:
        begun = [key for key in action.keys if self._guarded(functools.partial(self._begin, key, action))]
        if len(begun) < len(action.keys):
            self._queue.append(events_actions.BatchEnded(time.monotonic(), action.slot))
            return
        given = {key: self._given.pop(key) for key in begun if key in self._given}
        for key, outcome in given.items():
            self._queue.append(events_actions.OutcomeArrived(time.monotonic(), action.slot, key, outcome))
        if len(given) < len(begun):
            batch = tuple(
                Assignment(self._recipes[key], self._recorder.trial(key).folder, arm=key[0], seed_index=key[1])
                for key in begun
                if key not in given
            )
            self._pool.send(action.slot, RunBatch(self._study, batch, action.together))
        else:
            self._queue.append(events_actions.BatchEnded(time.monotonic(), action.slot))

    def _begin(self, key: Key, action: events_actions.PlaceBatch) -> None:
        slot = action.slot
        self._tried[key] += 1
        source = self._decide(key) if key in self._search_queue else None
        number = self._recorder.start(
            key, slot=slot, attempt=self._tried[key], copied_from=source[0] if source else None
        )
        if key in self._given:
            self._recorder.give(key, self._given[key], source)
        self._keys[(slot, self._recipes[key].digest)] = key
        self._attempts[key] = Attempt(self._planned[key], number, slot, time.monotonic(), len(action.keys) == 1)
        self._announcer.started(key, number, slot, self._tried[key], self._recorder.params(key))

    def _decide(self, key: Key) -> Key | None:
        """Let the search say what a candidate tries. What needs no worker is given its outcome; return its source."""
        replicate = self._search_queue.replicate(key)
        self._recipes[key] = replicate.recipe
        self._recorder.add(replicate, self._search_queue.params(key), self._search_queue.attributes(key))
        if (outcome := self._search_queue.gives_up(key, replicate.recipe.digest)) is not None:
            self._given[key] = outcome
        elif (answer := self._recorder.answer(key)) is not None:
            source, self._given[key] = answer
            return source
        return None

    def _record_outcome(self, action: events_actions.RecordOutcome) -> None:
        attempt = self._attempts.pop(action.key, None)
        if attempt is None:
            return  # it never began: the fault that kept it from beginning is on its way up
        now = time.monotonic()
        busy_s = now - attempt.since
        # The trials of a batch are on their slot at the same time: each is counted from where the one before ended.
        self.slot_seconds += now - max(attempt.since, self._counted_to.get(attempt.slot, 0.0))
        self._counted_to[attempt.slot] = now
        if action.outcome.kind is OutcomeKind.MEASURED:
            self._history.add(attempt.planned, busy_s if attempt.lone else action.outcome.seconds)
        self._guarded(functools.partial(self._write_down, action, attempt))

    def _write_down(self, action: events_actions.RecordOutcome, attempt: Attempt) -> None:
        key, outcome = action.key, replace(action.outcome, recipe_digest=self._recipes[action.key].digest)
        elapsed_s = time.monotonic() - attempt.since
        if outcome.kind is OutcomeKind.LOST and not outcome.seconds:
            # Nobody else can say what it took, and how far its curve was.
            outcome = replace(outcome, seconds=elapsed_s, images_seen=outcome.images_seen or attempt.images)
        place = self._places.get(attempt.slot, {})
        outcome = replace(outcome, environment={**place, **outcome.environment})
        self._recorder.finish(key, outcome)
        self._search_queue.finished(key, outcome)
        final = action.retry is None
        self._announcer.finished(key, attempt.number, attempt.slot, outcome, final=final, elapsed_s=elapsed_s)
        if action.retry is not None:
            reason = outcome.error or outcome.kind.value
            self._announcer.retrying(key, attempt.number, attempt.slot, action.retry, action.retries, reason)
        for copy in action.copies:
            # After out of memory these may be other recipes that need as much: each outcome names its own.
            same = replace(outcome, recipe_digest=self._recipes[copy].digest)
            number = self._recorder.copy(key, copy, same)
            self._announcer.finished(copy, number, None, same, copied=key[0])

    def _tell_company(self, action: events_actions.TellCompany) -> None:
        self._pool.send(action.slot, Company(action.together))

    def _ask_to_stop(self, action: events_actions.AskToStop) -> None:
        self._pool.send(action.slot, Stop())

    def _let_leave(self, action: events_actions.LetLeave) -> None:
        self._pool.send(action.slot, Leave())

    def _kill_worker(self, action: events_actions.KillWorker) -> None:
        self._announcer.note(f"slot {action.slot}: ending the worker: {action.reason}")
        self._killed.add(action.slot)
        self._pool.kill(action.slot)

    def _announce_stop(self, action: events_actions.AnnounceStop) -> None:
        self._announcer.stopping(action, running=len(self._attempts), deadline_s=self._times.stop_s)

    def _end_run(self, action: events_actions.EndRun) -> None:
        self._over, self._reason = True, action.reason

    def _guarded(self, write: Callable[[], None]) -> bool:
        """Do some bookkeeping; if that fails, the run ends in good order, and the next one records what is in files."""
        if self.fault is not None:
            return False
        began = time.monotonic()
        try:
            write()
        except AblateError as error:
            self._fail(error)
        except OSError as error:
            self._fail(cannot_write(self._recorder.folder, error))
        self._late |= time.monotonic() - began > _LATE_S
        return self.fault is None

    def _fail(self, error: AblateError) -> None:
        if self.fault is None:
            self.fault = error
            self._happen(events_actions.StopRequested(time.monotonic(), error.message))

    def _beat(self, elapsed_s: float) -> None:
        self._guarded(self._recorder.sign_of_life)
        now = time.monotonic()
        running = [attempt.running(now) for attempt in self._attempts.values()]
        waiting = self._state.waiting()
        estimate = eta.estimate(waiting, running, self._history, self._state.places)
        self._announcer.alive(running=len(running), waiting=len(waiting), elapsed_s=elapsed_s, eta=estimate)


_ACTIONS: Mapping[type[events_actions.Action], Callable[[Loop, Any], None]] = {
    events_actions.StartWorker: Loop._start_worker,
    events_actions.PlaceBatch: Loop._place_batch,
    events_actions.TellCompany: Loop._tell_company,
    events_actions.RecordOutcome: Loop._record_outcome,
    events_actions.AskToStop: Loop._ask_to_stop,
    events_actions.LetLeave: Loop._let_leave,
    events_actions.KillWorker: Loop._kill_worker,
    events_actions.AnnounceStop: Loop._announce_stop,
    events_actions.EndRun: Loop._end_run,
}
