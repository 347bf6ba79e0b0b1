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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate.core.command.spec.python_command import PythonCommand

_SERVER = Path(__file__).with_name("spawn_server.py")
_CHUNK = 65536
_GONE_S = 10.0
_PLAIN = ""
"""Key of the server that starts any command."""
_MOST_SERVERS = 4
"""So many environments of warm starts are kept ready."""
_PER_TRIAL = "ABLATE_"
"""Variables that begin so are another trial's for every trial; templates are started without them."""


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
    warm: bool = False
    """True when it ran in a fork of a process that had imported its modules."""
    waited_s: float = 0.0
    """How long that process was waited for: of the first command only."""


@dataclass(frozen=True)
class WarmStart:
    """A Python command to be started in a fork of a process of its own interpreter, which has imported `modules`."""

    command: PythonCommand
    modules: tuple[str, ...]

    def script(self, words: Sequence[str]) -> dict[str, Any]:
        """Return what a template has to know of the script that the command line `words` runs."""
        command = self.command
        return {
            "words": list(words),
            "target": command.target,
            "module": command.is_module,
            "arguments": list(command.arguments),
        }


class CommandRunner:
    """Starts commands one after another, through processes that outlive none of them and not this one either."""

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        """`say` is told, once for each reason, why commands that should be started warm are not."""
        self._servers: dict[str, _Server] = {}
        self._cold: set[str] = set()
        self._say, self._said = say, set[str]()

    def run(
        self,
        words: Sequence[str],
        *,
        directory: Path,
        env: Mapping[str, str],
        output: Callable[[bytes], None],
        tick: Callable[[Callable[[int], None]], None],
        tick_s: float = 0.1,
        warm: WarmStart | None = None,
    ) -> End:
        """Run a command to its end, `warm` where that is possible. Raises CannotStart.

        `output` gets what it and its processes write, as it comes. `tick` is called every `tick_s` with a function that
        sends a signal to the whole process group. When either raises, the command is killed.
        """
        order: dict[str, Any] = {"run": list(words), "directory": str(directory), "env": dict(env)}
        began = time.monotonic()
        try:
            server = None
            if warm is not None:
                order["script"] = warm.script(words)
                server = self._template(warm, order, tick, tick_s)
            if server is None:
                order.pop("script", None)
                server = self._plain()
            waited_s = time.monotonic() - began
            return replace(self._follow(server, order, output, tick, tick_s), waited_s=waited_s)
        except _Stopped:
            return End(None)
        except CannotStart:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what runs, and the processes that watch over it."""
        while self._servers:
            self._servers.popitem()[1].close()

    def not_warm(self, reason: str) -> None:
        """Say, once, why a command is not started warm."""
        if reason not in self._said:
            self._said.add(reason)
            self._say(f"no warm start, each trial starts its own interpreter: {reason}")

    def _follow(
        self,
        server: _Server,
        order: Mapping[str, Any],
        output: Callable[[bytes], None],
        tick: Callable[[Callable[[int], None]], None],
        tick_s: float,
    ) -> End:
        """Let a server run a command, and see it to its end."""
        server.send(order)
        pid: int | None = None

        def send(number: int) -> None:
            server.send({"signal": number})

        while True:
            ready, _, _ = select.select([server.pipe, server.socket], [], [], tick_s)
            if server.pipe in ready:
                output(os.read(server.pipe, _CHUNK))
            for answer in server.answers() if server.socket in ready else ():
                if answer is None:
                    return self._lost(server, pid)
                if "refused" in answer:
                    raise CannotStart(answer["refused"], answer["what"])
                pid = answer.get("started", pid)
                if "ended" in answer:
                    _drain(server.pipe, output)
                    return End(answer["ended"], answer["peak_mb"], warm="script" in order)
            tick(send)

    def _plain(self) -> _Server:
        """The process that starts any command, started when there is none."""
        server = self._alive(_PLAIN)
        if server is None:
            server = self._servers[_PLAIN] = _Server([sys.executable, "-I", "-S"])
        return server

    def _template(
        self,
        warm: WarmStart,
        order: Mapping[str, Any],
        tick: Callable[[Callable[[int], None]], None],
        tick_s: float,
    ) -> _Server | None:
        """The process whose forks run the script, started when there is none; None where that cannot be.

        There is one for each interpreter and environment, because modules may read that when they are imported.
        """
        env = {name: value for name, value in order["env"].items() if not name.startswith(_PER_TRIAL)}
        command, directory = warm.command, Path(order["directory"])
        place = "-m" if command.is_module else str(Path(command.target).parent)
        key = repr((command.program, command.options, warm.modules, directory, place, sorted(env.items())))
        if key in self._cold:
            return None
        server = self._alive(key)
        if server is None:
            while len(self._servers) > _MOST_SERVERS:
                oldest = next(name for name in self._servers if name != _PLAIN)
                self._servers.pop(oldest).close()
            try:
                server = _Server([command.program, *command.options], directory, env)
            except OSError:  # the plain start says what is wrong
                return None
            self._servers[key] = server
            reason = _warm_up(server, {"warm": list(warm.modules), "script": order["script"]}, tick, tick_s)
            if reason is not None:
                self._cold.add(key)
                self._servers.pop(key).close()
                self.not_warm(reason)
                return None
        return server

    def _alive(self, key: str) -> _Server | None:
        """A server that was started; None when there is none, or no longer."""
        server = self._servers.get(key)
        if server is not None and server.process.poll() is not None:
            self._servers.pop(key).close()
            return None
        return server

    def _lost(self, server: _Server, pid: int | None) -> End:
        """The server was killed, and the command with it (Linux); its group is not left behind."""
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        server.close()
        self._servers = {key: one for key, one in self._servers.items() if one is not server}
        return End(None)


class _Stopped(Exception):
    """The command was asked to stop before it had begun."""


class _Server:
    """A process that starts commands; see `spawn_server`."""

    def __init__(
        self, words: Sequence[str], directory: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Start it by the interpreter `words`, the first of which is looked for as that of a command would be."""
        ours, theirs = socket.socketpair()
        try:
            # A session of its own: when this process is killed with its group, it is left to end the command.
            self.process = subprocess.Popen(  # noqa: S603 - our own script, by the interpreter of the command
                [*words, str(_SERVER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd=directory,
                env=None if env is None else dict(env),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        assert self.process.stdout is not None
        self._socket = ours
        self.socket = ours.fileno()
        self.pipe = self.process.stdout.fileno()
        """What commands write comes out here."""
        self._unread = b""

    def send(self, order: Mapping[str, Any]) -> None:
        """Send an order."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end shows when it is read
            self._socket.sendall(json.dumps(order).encode() + b"\n")

    def answers(self) -> list[dict[str, Any] | None]:
        """What it said; None at its end."""
        try:
            data = self._socket.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            return [None]
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """End it, and what it runs."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GONE_S)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _warm_up(
    server: _Server, order: Mapping[str, Any], tick: Callable[[Callable[[int], None]], None], tick_s: float
) -> str | None:
    """Let a server import modules; return why it cannot be a template. Raises _Stopped when `tick` sends a signal.

    While it imports it listens to nothing, so any signal kills it.
    """
    asked = []

    def stop(number: int) -> None:
        asked.append(number)
        server.process.kill()

    server.send(order)
    while True:
        ready, _, _ = select.select([server.socket], [], [], tick_s)
        for answer in server.answers() if ready else ():
            if asked:
                raise _Stopped
            if answer is None:
                code = server.process.wait()
                how = f"exit code {code}" if code >= 0 else f"signal {-code}"
                return f"the interpreter that imports the modules ended ({how}); its last words are in the slot's log"
            found: str | None = answer["warm"]
            return found
        tick(stop)


def _drain(pipe: int, output: Callable[[bytes], None]) -> None:
    """Hand on what is in the pipe; whoever could write to it is gone."""
    while select.select([pipe], [], [], 0)[0]:
        data = os.read(pipe, _CHUNK)
        if not data:
            return
        output(data)
