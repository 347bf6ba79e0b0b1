"""The process that workers of this machine are forked from: it has imported what their core imports, and waits.

Started as ``python -m ablate.engine.workers.template SOCKET PARENT``; its standard input is the engine's first message
to every worker, which says what to import. Each packet on the socket is an order for one worker, with the descriptors
of its pipes and its log. The process that becomes the worker first writes its number, as a line of JSON, where the
worker's messages will follow.

A worker is a grandchild: the process between them ends at once, and the engine adopts it (it is a subreaper meanwhile).
So workers live and die with the engine, as if it had started them, whatever happens here. Where a fork is not
safe this process starts each worker plainly, and says why to the first.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from ablate.core.shared.forking import RandomStates, die_with, freeze, reason_not_to_fork
from ablate.engine.workers import worker
from ablate.engine.workers.framing import write_message
from ablate.engine.workers.messages import Hello, MalformedMessage, WorkerNote, decode_to_worker

MOST_BYTES = 65536
"""Of an order."""
_ADOPTED_S = 30.0
_STREAMS = 3


@dataclass(frozen=True)
class ForkOrder:
    """What one worker is started with, beside its descriptors."""

    engine: int
    """Number of the engine's process."""
    environment: dict[str, str]
    """Variables that are its own, not the template's."""


class NotAWorker(Exception):
    """This process is not the one that becomes a worker."""


class Template:
    """Imports a core, and starts workers."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._random = RandomStates()
        self._reason: str | None = None
        self._told = False
        """True once a worker was started, which says the reason, if there is one."""

    def warm_up(self, hello: Hello) -> None:
        """Import the core; what goes wrong is left to the workers, which then import it themselves, to say."""
        try:
            worker.import_core(hello.setup)
        except BaseException:  # noqa: BLE001 - the user's code may raise anything
            self._reason, self._told = "its import fails", True
        self._random.imported()
        freeze()
        if self._reason is None:
            self._reason = reason_not_to_fork()

    def serve(self) -> tuple[int, int, int] | None:
        """Start workers until the engine closes the socket. In a worker, return the arguments of its `main`."""
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._orders, MOST_BYTES, _STREAMS)
            if not data:
                return None
            order = TypeAdapter(ForkOrder).validate_json(data)
            try:
                return self._begin(order, *descriptors)
            except NotAWorker:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _begin(self, order: ForkOrder, incoming: int, outgoing: int, log: int) -> tuple[int, int, int]:
        """Start a worker, and return in it; raises NotAWorker here."""
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            self._told = True
            raise NotAWorker
        try:
            if os.fork():
                os._exit(0)
        except OSError:
            os._exit(1)
        os.setsid()
        _await_adoption(order.engine)
        for stream, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
            os.dup2(descriptor, stream)
        os.close(log)
        self._orders.close()
        os.environ.update(order.environment)
        arguments = (incoming, outgoing, order.engine)
        os.write(outgoing, json.dumps({"pid": os.getpid()}).encode() + b"\n")
        if self._reason is not None:
            if not self._told:  # by the worker itself: the first line is its number
                with contextlib.suppress(OSError):
                    write_message(outgoing, WorkerNote(f"workers are started one by one: {self._reason}"))
            for descriptor in (incoming, outgoing):
                os.set_inheritable(descriptor, True)
            os.execv(sys.executable, worker_words(*arguments))  # noqa: S606 - our own interpreter and module
        self._random.start_anew()
        return arguments


def worker_words(incoming: int, outgoing: int, engine: int) -> list[str]:
    """Return the command line of a worker that is started plainly."""
    return [sys.executable, "-P", "-m", worker.__name__, str(incoming), str(outgoing), str(engine)]


def _await_adoption(engine: int) -> None:
    """Wait until the process between has ended and the engine is the parent; leave when another one is."""
    between = os.getppid()
    until = time.monotonic() + _ADOPTED_S
    while os.getppid() == between != engine and time.monotonic() < until:
        time.sleep(0.0005)
    die_with(engine)


def main(arguments: Sequence[str]) -> tuple[int, int, int] | None:
    """Serve the engine; in a worker, return the arguments of its `main`."""
    descriptor, parent = map(int, arguments)
    die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    orders = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    template = Template(orders)
    try:
        hello = decode_to_worker(sys.stdin.buffer.read().rstrip(b"\n"))
    except MalformedMessage:
        return None
    if isinstance(hello, Hello):
        template.warm_up(hello)
    return template.serve()


if __name__ == "__main__" and (found := main(sys.argv[1:])) is not None:
    sys.argv = [worker.__file__, *map(str, found)]
    worker.main(sys.argv[1:])
