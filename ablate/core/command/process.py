"""Running one command: its process group, its output as it comes, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).with_name("spawn_server.py")
_CHUNK = 65536
_GONE_S = 10.0


class CannotStart(Exception):
    """The system refuses to run the program; `number` is its error number."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"{os.strerror(number)}: {what}")
        self.number = number
        self.what = what


@dataclass(frozen=True)
class End:
    """How a command ended."""

    code: int | None
    """As subprocess has it, negative for a signal; None when nobody knows: what watched over it is gone."""
    peak_mb: float | None = None
    """Most resident memory of one of its processes."""


class CommandRunner:
    """Starts commands one after another, through one process that outlives none of them and not this one either."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._unread = b""

    def run(
        self,
        words: Sequence[str],
        *,
        directory: Path,
        env: Mapping[str, str],
        output: Callable[[bytes], None],
        tick: Callable[[Callable[[int], None]], None],
        tick_s: float = 0.1,
    ) -> End:
        """Run a command to its end. Raises CannotStart.

        `output` gets what it and its processes write, as it comes. `tick` is called every `tick_s` with a function that
        sends a signal to the whole process group. When either raises, the command is killed.
        """
        server, control = self._ready()
        self._send({"run": list(words), "directory": str(directory), "env": dict(env)})
        assert server.stdout is not None
        pipe = server.stdout.fileno()
        pid: int | None = None
        try:
            while True:
                ready, _, _ = select.select([pipe, control.fileno()], [], [], tick_s)
                if pipe in ready:
                    output(os.read(pipe, _CHUNK))
                for answer in self._answers() if control.fileno() in ready else ():
                    if answer is None:
                        return self._lost(pid)
                    if "refused" in answer:
                        raise CannotStart(answer["refused"], answer["what"])
                    pid = answer.get("started", pid)
                    if "ended" in answer:
                        pid = None
                        _drain(pipe, output)
                        return End(answer["ended"], answer["peak_mb"])
                tick(self._signal)
        except CannotStart:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what runs, and the process that watches over it."""
        if self._server is None or self._socket is None:
            return
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(_GONE_S)
        if self._server.poll() is None:
            self._server.kill()
            self._server.wait()
        if self._server.stdout is not None:
            self._server.stdout.close()
        self._server = self._socket = None
        self._unread = b""

    def _ready(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """The process that starts commands, started when there is none."""
        if self._server is not None and self._socket is not None and self._server.poll() is None:
            return self._server, self._socket
        self.close()
        ours, theirs = socket.socketpair()
        try:
            # A session of its own: when this process is killed with its group, it is left to end the command.
            self._server = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                [sys.executable, "-I", "-S", str(_SERVER)],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        return self._server, ours

    def _send(self, order: Mapping[str, Any]) -> None:
        assert self._socket is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end shows when it is read
            self._socket.sendall(json.dumps(order).encode() + b"\n")

    def _signal(self, number: int) -> None:
        self._send({"signal": number})

    def _answers(self) -> list[dict[str, Any] | None]:
        """What the server said; None at its end."""
        assert self._socket is not None
        try:
            data = self._socket.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            return [None]
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _lost(self, pid: int | None) -> End:
        """The server was killed, and the command with it (Linux); its group is not left behind."""
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self.close()
        return End(None)


def _drain(pipe: int, output: Callable[[bytes], None]) -> None:
    """Hand on what is in the pipe; whoever could write to it is gone."""
    while select.select([pipe], [], [], 0)[0]:
        data = os.read(pipe, _CHUNK)
        if not data:
            return
        output(data)
