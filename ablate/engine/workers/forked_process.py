"""The engine's side of workers that are forked from a template, see `ablate.engine.workers.template`."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ablate.engine.workers.local_process import GONE_S, End, PipedWorker, environment, kill_group
from ablate.engine.workers.messages import Heard, Hello, encode
from ablate.engine.workers.slots import Slot
from ablate.engine.workers.template import ForkOrder

OWN = "CUDA_VISIBLE_DEVICES"
"""The one variable that workers of a template need not share: CUDA reads it when it is initialised, after the fork."""
_TEMPLATE = "ablate.engine.workers.template"
_PR_SET_CHILD_SUBREAPER = 36


def can_adopt() -> bool:
    """True where this process can become the parent of a worker that another one forked."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


class Adoption:
    """While somebody waits for a worker, this process adopts those whose parent is gone."""

    def __init__(self) -> None:
        self._waiting = 0

    def begin(self) -> None:
        """One more worker is waited for."""
        self._waiting += 1
        _set_subreaper(True)

    def end(self) -> None:
        """It is there, or will not come."""
        self._waiting -= 1
        if not self._waiting:
            _set_subreaper(False)


def _set_subreaper(on: bool) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


class WorkerTemplate:
    """The process that has imported the core. Must be made in the thread that outlives it."""

    def __init__(self, slot: Slot, log: Path, hello: Hello) -> None:
        """Start it, without waiting for its imports; `slot` is one whose environment all its workers have."""
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with log.open("ab") as output:
                self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-P", "-m", _TEMPLATE, str(theirs.fileno()), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment(os.environ, slot),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except BaseException:
            self._orders.close()
            raise
        finally:
            theirs.close()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self.process.stdin as stream:
            stream.write(encode(hello))

    def fork(self, slot: Slot, incoming: int, outgoing: int, log: int) -> None:
        """Order a worker; raises OSError when the template is gone."""
        own = environment(os.environ, slot).get(OWN)
        order = ForkOrder(os.getpid(), {} if own is None else {OWN: own})
        socket.send_fds(self._orders, [json.dumps(asdict(order)).encode()], [incoming, outgoing, log])

    def kill(self) -> None:
        """Kill it; workers that it has forked stay."""
        self.process.kill()

    def exit_code(self) -> int | None:
        """Return how it ended, once nobody holds a worker's pipes any longer; None when it goes on."""
        try:
            return self.process.wait(GONE_S)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End it, and wait for that."""
        self._orders.close()
        self.process.kill()
        self.process.wait()


class ForkedWorker(PipedWorker):
    """A worker that a template forks; its process is there once it has said so."""

    def __init__(self, template: WorkerTemplate, adoption: Adoption, slot: Slot, log: Path, hello: Hello) -> None:
        """Order it, without waiting for it, and send it `hello`; raises OSError when the template is gone."""
        self.pid: int | None = None
        """Of the process, and of the process group it leads; None until it is there, as `exit` is."""
        self._template = template
        self._adoption: Adoption | None = adoption
        self._first = b""
        adoption.begin()
        try:
            super().__init__(slot, log)
        except BaseException:
            self._arrived()
            raise
        self.send(hello)

    def _start(self, incoming: int, outgoing: int, log: int) -> None:
        self._template.fork(self.slot, incoming, outgoing, log)

    def receive(self) -> list[Heard] | None:
        """Return the messages that are there (waiting for the first bytes), None at the end of the pipe."""
        found = super().receive()
        if found is None:
            self._arrived()
        return found

    def _heard(self, data: bytes) -> list[Heard]:
        if self.pid is None:
            line, newline, data = (self._first + data).partition(b"\n")
            self._first = line
            if newline:
                self._begins(int(json.loads(line)["pid"]))
        return super()._heard(data)

    def kill(self) -> None:
        """Kill the whole process group; of a worker that is not there yet, the template that should fork it."""
        if self.pid is None:
            self._template.kill()
        else:
            kill_group(self.pid)

    def reap(self) -> End:
        """Wait for the end of the process (which has begun), end what it left behind, and say how it ended."""
        self.drain()
        self._arrived()
        code = self._template.exit_code() if self.pid is None else self._exit_code(self.pid)
        self._close()
        if code is None:
            return End(f"the worker process could not be forked ({self.log})")
        return self._end(code)

    def _begins(self, pid: int) -> None:
        self.pid = pid
        # It is this process's child by now, so its number stays taken until it is waited for.
        self.exit = os.pidfd_open(pid)
        self._arrived()

    def _arrived(self) -> None:
        """Say, once, that the worker is not waited for any longer."""
        if self._adoption is not None:
            self._adoption.end()
            self._adoption = None

    def _exit_code(self, pid: int) -> int:
        assert self.exit is not None
        if not select.select([self.exit], [], [], GONE_S)[0]:
            self.kill()
        _, status = os.waitpid(pid, 0)
        kill_group(pid)
        return os.waitstatus_to_exitcode(status)


def key_of(slot: Slot, inherited: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return what workers of one template have in common: their environment, but for what is a worker's own."""
    return frozenset((name, value) for name, value in environment(inherited, slot).items() if name != OWN)
