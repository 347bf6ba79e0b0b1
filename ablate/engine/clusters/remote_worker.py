"""A worker on another machine: a job in somebody's queue first, then a connection."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.engine.workers.framing import CHUNK, MessageStream
from ablate.engine.workers.handshake import Caller
from ablate.engine.workers.local_process import End
from ablate.engine.workers.messages import (
    VERSION,
    Begun,
    Broken,
    Evicted,
    FromWorker,
    Heard,
    Hello,
    Leave,
    Queued,
    QueueFailed,
    QueueNote,
    ToWorker,
    Unreadable,
    Withdrawn,
    WorkerNote,
    decode_from_worker,
    encode,
    other_version,
)

_GONE_S = 15.0


class QueueAway(OSError):
    """The queue does not answer: the same question may be answered later."""


class QueueRefused(OSError):
    """The queue does not take such a job."""


@dataclass(frozen=True)
class Job:
    """What a queue is asked to run, once and with one task."""

    ticket: Path
    """Says where the worker reports, and how it shows who it is."""
    log: Path
    """Takes what it prints."""
    variables: Mapping[str, str]
    """Environment that must be set before it starts."""


class RemoteWorker:
    """The engine's end of a worker that a queue runs.

    The engine's thread sends and receives; the threads of the launcher submit its job, read its connection, and find
    out how it ended. `news` becomes readable with every message, and at the end.
    """

    exit: int | None = None
    pid: int | None = None

    def __init__(self, name: str, job: Job, hello: Hello, changed: Callable[[], None]) -> None:
        """`changed` is called when the launcher should look after this worker."""
        self.name = name
        self.job = job
        self.identity: str | None = None
        """What the queue calls its job, once it is submitted."""
        self.unwanted = False
        """True when it is to be ended."""
        self.cancelled = False
        """True when its queue has been told so."""
        self.gone_at: float | None = None
        """When its connection ended (monotonic seconds)."""
        self.node: str | None = None
        """Where it runs, once it does."""
        self.queued_since: float | None = None
        """Since when its job waits for the same reason (monotonic seconds)."""
        self.news, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._hello = hello
        self._changed = changed
        self._heard: deque[Heard] = deque()
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._queued: str | None = None
        self._begun = False
        self._leaving = self._withdrawn = False
        self._evicted: str | None = None
        self._end: End | None = None
        self._over = threading.Event()

    # ------------------------------------------------------------------ the engine's side

    def send(self, message: ToWorker) -> None:
        """Send a message; that nobody reads any more shows at `news`."""
        self._leaving |= isinstance(message, Leave)
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.sendall(encode(message))

    def receive(self) -> list[Heard] | None:
        """Return the messages that are there (waiting for the first), None when there will be no more."""
        if not os.read(self.news, CHUNK):
            return None
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def drain(self) -> list[Heard]:
        """Return what a worker that is gone said last, without waiting."""
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def kill(self) -> None:
        """End its job, and the connection, without which the worker ends by itself."""
        self.unwanted = True
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)
        self._changed()

    def reap(self) -> End:
        """Wait until its job is known to be over; release everything, and say how it ended."""
        if not self._over.wait(_GONE_S):
            self.finish(End(f"it is not known how {self.who} ended"))
        os.close(self.news)
        assert self._end is not None
        return self._end

    # ------------------------------------------------------------------ the launcher's side

    @property
    def who(self) -> str:
        """What people call it."""
        return f"job {self.identity}" if self.identity else "the job"

    @property
    def over(self) -> bool:
        """True when it is known how it ended."""
        return self._over.is_set()

    @property
    def unsubmitted(self) -> bool:
        """True when its job is still to be submitted."""
        return self.identity is None and not self.over

    @property
    def uncancelled(self) -> bool:
        """True when it is unwanted, and its queue does not know that yet."""
        return self.unwanted and not self.cancelled and self.identity is not None

    @property
    def puzzling(self) -> bool:
        """True when only the queue can tell where it is."""
        return not self.over and self.identity is not None and (self._connection is None or self.gone_at is not None)

    def waits(self, reason: str) -> None:
        """Its job waits in the queue."""
        with self._lock:
            if not self._begun and self._queued != reason:
                self._queued = reason
                self.queued_since = time.monotonic()
                self._tell(Queued(self.identity or "", reason))

    def begins(self, node: str) -> None:
        """Its job runs."""
        with self._lock:
            if not self._begun and self._queued is not None:
                self._tell(Begun(self.identity or "", node))
            self._begun = True
            self.node = self.node or node or None
            self.queued_since = None

    def withdraw(self, reason: str) -> None:
        """Its node gets nothing new; told once."""
        with self._lock:
            if not self._withdrawn:
                self._withdrawn = True
                self._tell(Withdrawn(reason))

    def pass_on(self, message: QueueNote | QueueFailed) -> None:
        """Let the engine know what concerns the whole queue."""
        with self._lock:
            self._tell(message)

    def serve(self, connection: socket.socket, caller: Caller, shared: bool) -> None:
        """Listen to the worker until its connection ends. A worker with another version of ablate is sent away."""
        with self._lock:
            self._connection = connection
        self.begins(caller.node)
        stream = MessageStream(decode_from_worker)
        try:
            if caller.version != VERSION:
                self._hear(WorkerNote(f"{self.who} on {caller.node} runs {other_version(caller.version)}"))
                return
            if not shared:
                self._hear(_not_shared(self.job.ticket.parent, caller.node))
            connection.sendall(encode(self._hello))
            while not self.unwanted and (data := connection.recv(CHUNK)):
                for message in stream.feed(data):
                    self._hear(message)
        except OSError as error:
            self._hear(WorkerNote(f"the connection to {self.who} on {caller.node} broke: {error}"))
        finally:
            self._lost(caller.node)

    def finish(self, end: End) -> None:
        """It is known how it ended."""
        with self._lock:
            if self._over.is_set():
                return
            self._end = end
            self._over.set()
            os.close(self._wake)

    def _hear(self, message: FromWorker | Unreadable) -> None:
        if isinstance(message, Evicted):
            self._evicted = message.reason
        else:
            with self._lock:
                self._tell(message)

    def _lost(self, node: str) -> None:
        """The connection ended: the worker has said why, or the queue must tell."""
        self.gone_at = time.monotonic()
        if self._evicted is not None:
            self.finish(End(f"{self.who} on {node} was evicted: {self._evicted}", evicted=True))
        elif self._leaving:
            self.finish(End(f"{self.who} left"))
        self._changed()

    def _tell(self, message: Heard) -> None:
        """Pass a message on to the engine's thread; the lock is held, so that messages come in order."""
        if self._over.is_set() or self.unwanted:
            return
        self._heard.append(message)
        with contextlib.suppress(BlockingIOError):  # a full pipe is readable anyway
            os.write(self._wake, b".")


def _not_shared(folder: Path, node: str) -> Broken:
    return Broken(
        f"files that a worker on {node} writes into {folder} do not appear here",
        "workers write outcomes and checkpoints there: put --results on a file system that all nodes share",
    )


@dataclass(frozen=True)
class JobStanding:
    """Where a job is, as its queue says."""

    waiting: str | None = None
    """Why it waits."""
    node: str | None = None
    """Where it runs."""
    end: End | None = None
    """How it ended. With none of the three, nobody knows it (any more)."""
