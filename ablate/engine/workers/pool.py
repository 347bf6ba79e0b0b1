"""The workers of a run: one process per slot, watched through one selector."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ablate.engine.records.lock import StudyLock
from ablate.engine.workers.launcher_api import Launcher, WorkerHandle
from ablate.engine.workers.local_process import End
from ablate.engine.workers.messages import VERSION, Heard, Hello, Progress, ToWorker, WorkerSetup
from ablate.engine.workers.slots import Slot
from ablate.paths import StudyPaths


@dataclass(frozen=True)
class WorkerSaid:
    """The worker of a slot said something."""

    slot: int
    message: Heard


@dataclass(frozen=True)
class WorkerGone:
    """The process of a slot's worker is gone."""

    slot: int
    reap: Callable[[], End]
    """Waits for the end of the process and says how it ended; call it once."""


WorkerNews: TypeAlias = WorkerSaid | WorkerGone


class WorkerPool:
    """Starts, reaches and ends worker processes. `close` leaves none behind."""

    def __init__(
        self,
        slots: Sequence[Slot],
        paths: StudyPaths,
        setup: WorkerSetup,
        lock: StudyLock,
        launcher: Launcher,
        *,
        wake: int,
    ) -> None:
        """`wake` is a descriptor; when it is readable, `listen` stops waiting. The caller must empty it."""
        self._slots = slots
        self._paths = paths
        self._setup = setup
        self._lock = lock
        self._launcher = launcher
        self._workers: dict[int, WorkerHandle] = {}
        self._refused: dict[int, str] = {}
        self._waiting: dict[int, str] = {}
        self._held: dict[tuple[object, ...], WorkerSaid] = {}
        """What workers said while nobody could act on it, in order; of progress the latest."""
        self._counter = itertools.count()
        self._read_early: set[int] = set()
        """Slots whose news, as the last look of `listen` found them, `hold` has taken since."""
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ, lambda: iter(()))

    def log(self, slot: int) -> Path:
        """Return the file that holds what the slot's workers wrote to their standard streams."""
        return self._paths.workers / f"slot-{slot}.log"

    def start(self, index: int) -> None:
        """Start the worker of a slot; raises OSError when the system refuses."""
        slot = self._slots[index]
        name = None if slot.place else slot.name
        hello = Hello(VERSION, self._setup, device=slot.device, device_name=name, threads=slot.threads)
        worker = self._launcher.launch(slot, self.log(index), hello)
        self._workers[index] = worker
        self._selector.register(worker.news, selectors.EVENT_READ, lambda: self._read(index, worker))
        self._watch_exit(index, worker)
        self._record()

    def listen(self, most_s: float) -> Iterator[WorkerNews]:
        """Wait for news for at most `most_s` seconds and yield it; act on each item before you take the next."""
        held = bool(self._held)
        yield from self._take_held()
        self._read_early.clear()
        for key, _ in self._selector.select(0.0 if held else max(0.0, most_s)):
            yield from key.data()

    def hold(self, seconds: float) -> None:
        """Wait for `seconds`, or until `wake` is readable, and take in what workers say: none waits for a reader.

        `listen` yields it later. For one that acts on news, and cannot go on.
        """
        until = time.monotonic() + seconds
        ended: list[selectors.SelectorKey] = []
        try:
            while (left_s := until - time.monotonic()) > 0:
                for key, _ in self._selector.select(left_s):
                    if key.fd == self._wake:
                        return
                    if not self._hold_news(key.fd):
                        ended.append(key)
                        self._selector.unregister(key.fd)
        finally:
            for key in ended:  # `listen` is to see their ends
                self._selector.register(key.fd, selectors.EVENT_READ, key.data)

    def _hold_news(self, descriptor: int) -> bool:
        """Keep what the worker with that descriptor says; False at its end."""
        for index, worker in self._workers.items():
            if worker.news == descriptor:
                self._read_early.add(index)
                messages = worker.receive()
                for message in messages or ():
                    key: tuple[object, ...] = (index, next(self._counter))
                    if isinstance(message, Progress):
                        key = (index, message.digest, message.stage)
                        self._held.pop(key, None)
                    self._held[key] = WorkerSaid(index, message)
                return messages is not None
        return False

    def _take_held(self, index: int | None = None) -> Iterator[WorkerNews]:
        """Yield what was held, of one slot or of all."""
        for key in [key for key in self._held if index in (None, key[0])]:
            said = self._held.pop(key, None)
            if said is not None and said.slot not in self._refused:
                yield said

    def send(self, index: int, message: ToWorker) -> None:
        """Send a message to the worker of a slot."""
        self._workers[index].send(message)

    def waits(self, index: int, where: str | None) -> None:
        """Record where the worker of a slot waits to be started; None when it does so no longer."""
        if where is not None:
            self._waiting[index] = where
        elif self._waiting.pop(index, None) is None:
            return
        self._record()

    def kill(self, index: int) -> None:
        """Kill the worker of a slot; that it is gone shows later."""
        if index in self._workers:
            self._workers[index].kill()

    def refuse(self, index: int, reason: str) -> None:
        """Kill the worker of a slot because of what it sent; from now on only its end is reported, with this reason."""
        if index in self._workers:
            self._refused.setdefault(index, reason)
            self._workers[index].kill()

    def close(self) -> None:
        """Kill what is left and release everything."""
        for worker in self._workers.values():
            worker.kill()
        for worker in self._workers.values():
            worker.reap()
        self._workers.clear()
        self._selector.close()

    def _read(self, index: int, worker: WorkerHandle) -> Iterator[WorkerNews]:
        if self._workers.get(index) is not worker:
            return  # ended by an earlier event of the same round
        if index in self._read_early:
            return  # taken in meanwhile: it comes first in the next round
        messages = worker.receive()
        if messages is None:
            yield from self._end(index, worker)
        else:
            if self._watch_exit(index, worker):
                self._record()
            yield from self._said(index, messages)

    def _watch_exit(self, index: int, worker: WorkerHandle) -> bool:
        """Watch a process from when it is there; True when that is now."""
        if worker.exit is None or worker.exit in self._selector.get_map():
            return False
        self._selector.register(worker.exit, selectors.EVENT_READ, lambda: self._end(index, worker))
        return True

    def _said(self, index: int, messages: Sequence[Heard]) -> Iterator[WorkerNews]:
        for message in messages:
            if index not in self._refused:
                yield WorkerSaid(index, message)

    def _end(self, index: int, worker: WorkerHandle) -> Iterator[WorkerNews]:
        if self._workers.get(index) is not worker:
            return
        yield from self._take_held(index)
        yield from self._said(index, worker.drain())
        for descriptor in (worker.news, worker.exit):
            if descriptor is not None and descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
        del self._workers[index]
        self._waiting.pop(index, None)
        refused = self._refused.pop(index, None)
        yield WorkerGone(index, worker.reap if refused is None else lambda: _end_for(refused, worker))
        self._record()

    def _record(self) -> None:
        # The list is a safety net for the next run; that the disk is full will show where it matters.
        with contextlib.suppress(OSError):
            here = [worker.pid for worker in self._workers.values() if worker.pid is not None]
            self._lock.record_workers(here, waiting=self._waiting.values())


def _end_for(reason: str, worker: WorkerHandle) -> End:
    """Reap a worker that was killed because of what it sent: that is the reason, whatever the end looks like."""
    return replace(worker.reap(), reason=reason, out_of_memory=False, evicted=False)
