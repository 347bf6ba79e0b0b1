"""The workers of a run: one process per slot, watched through one selector."""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.engine.records.lock import StudyLock
from ablate.engine.workers.launcher_api import Launcher, WorkerHandle
from ablate.engine.workers.local_process import End
from ablate.engine.workers.slots import Slot
from ablate.paths import StudyPaths


class WorkerPool:
    """Starts, reaches and ends worker processes. `close` leaves none behind."""

    def __init__(
        self,
        slots: Sequence[Slot],
        paths: StudyPaths,
        hello: Mapping[str, Any],
        lock: StudyLock,
        launcher: Launcher,
        *,
        said: Callable[[int, Mapping[str, Any]], None],
        gone: Callable[[int, Callable[[], End]], None],
    ) -> None:
        """`said` gets every message of a worker; `gone` a function that reaps it and says how it ended."""
        self._slots = slots
        self._paths = paths
        self._hello = hello
        self._lock = lock
        self._launcher = launcher
        self._said = said
        self._gone = gone
        self._workers: dict[int, WorkerHandle] = {}
        self._waiting: dict[int, str] = {}
        self.selector = selectors.DefaultSelector()
        """Its keys' data are functions to call when the descriptor is ready."""

    def log(self, slot: int) -> Path:
        """Return the file that holds what the slot's workers wrote to their standard streams."""
        return self._paths.workers / f"slot-{slot}.log"

    def start(self, index: int) -> None:
        """Start the worker of a slot; raises OSError when the system refuses."""
        slot = self._slots[index]
        hello = {
            **self._hello,
            "type": "hello",
            "device": slot.device,
            "device_name": None if slot.place else slot.name,
            "threads": slot.threads,
        }
        worker = self._launcher.launch(slot, self.log(index), hello)
        self._workers[index] = worker
        self.selector.register(worker.news, selectors.EVENT_READ, lambda: self._read(index, worker))
        if worker.exit is not None:
            self.selector.register(worker.exit, selectors.EVENT_READ, lambda: self._end(index, worker))
        self._record()

    def send(self, index: int, message: Mapping[str, Any]) -> None:
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

    def close(self) -> None:
        """Kill what is left and release everything."""
        for worker in self._workers.values():
            worker.kill()
        for worker in self._workers.values():
            worker.reap()
        self._workers.clear()
        self.selector.close()

    def _read(self, index: int, worker: WorkerHandle) -> None:
        if self._workers.get(index) is not worker:
            return  # ended by an earlier event of the same round
        messages = worker.receive()
        if messages is None:
            self._end(index, worker)
            return
        for message in messages:
            self._said(index, message)

    def _end(self, index: int, worker: WorkerHandle) -> None:
        if self._workers.get(index) is not worker:
            return
        for message in worker.drain():
            self._said(index, message)
        for descriptor in (worker.news, worker.exit):
            if descriptor is not None:
                self.selector.unregister(descriptor)
        del self._workers[index]
        self._waiting.pop(index, None)
        self._gone(index, worker.reap)
        self._record()

    def _record(self) -> None:
        # The list is a safety net for the next run; that the disk is full will show where it matters.
        with contextlib.suppress(OSError):
            here = [worker.pid for worker in self._workers.values() if worker.pid is not None]
            self._lock.record_workers(here, waiting=self._waiting.values())
