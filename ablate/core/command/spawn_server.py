"""A small process that starts commands for a worker, and ends them with all they started when the worker is gone.

Run as a script (``python -I -S spawn_server.py SOCKET``), it talks JSON lines over the socket with that descriptor; the
commands' output goes to its own standard output, a pipe that the worker reads. It has one thread and imports little, so
that it may fork, which the worker, with its threads, may not. It adopts what a command's processes leave behind
(Linux), and ends it before it says that the command has ended.

Orders: ``{"run": [words], "directory": ..., "env": {...}}`` and ``{"signal": number}``, to the command's process group.
Answers: ``{"started": pid}`` or ``{"refused": errno, "what": text}``, then ``{"ended": code, "peak_mb": number}`` with
the code as subprocess has it: negative for a signal. The end of the socket means that the worker is gone.

Started by the interpreter of the user's command, with its options, it can be a template for Python scripts:
``{"warm": [modules], "script": {...}}`` imports modules as that script would and is answered ``{"warm": null}``, or
with the reason why this process must not be forked. ``run`` with a ``script`` then does not execute the words: the fork
becomes the script's process. Only the standard library of Python 3.9 is used, and nothing of ablate but files beside.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_KB_PER_MB = 1024.0


class _Gone(Exception):
    """The worker is gone."""


class Forked(Exception):
    """This process is a fork that is to become a script's; carries what runs it."""

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.script = script


class Server:
    """Serves one command after another."""

    def __init__(self, socket: int) -> None:
        self._socket = socket
        os.set_inheritable(socket, False)
        self._template: Any = None
        self._prctl: Any = None
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            self._prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        if self._prctl is not None:
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._unread = b""
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Go on until the worker is gone. Raises Forked in a process that is to run a script."""
        with contextlib.suppress(_Gone):
            while True:
                order = self._order()
                if "run" in order:  # a signal may come too late
                    self._run(order)
                elif "warm" in order:
                    self._template = Template(order["script"])
                    self._say({"warm": self._template.warm_up(order["warm"])})

    def _run(self, order: dict[str, Any]) -> None:
        """Start a command, see it to its end, and end what it left behind."""
        pid = self._start(order)
        if pid is None:
            return
        end = None
        try:
            self._say({"started": pid})
            while (end := _end_of(pid)) is None:
                self._wait(pid)
        finally:
            if end is None:  # the worker is gone
                _signal_group(pid, signal.SIGKILL)
                end = os.wait4(pid, 0)[1:]
            _end_adopted()
        status, usage = end
        peak_mb = usage.ru_maxrss / (_KB_PER_MB if sys.platform == "linux" else _KB_PER_MB**2)
        self._say({"ended": os.waitstatus_to_exitcode(status), "peak_mb": peak_mb})

    def _wait(self, pid: int) -> None:
        """Wait until a process has ended or the worker has said something, and do what it says."""
        ready, _, _ = select.select([self._socket, self._wake], [], [])
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        if self._socket in ready:
            self._receive()
        while b"\n" in self._unread:
            _signal_group(pid, self._order()["signal"])

    def _start(self, order: dict[str, Any]) -> int | None:
        """Fork and execute; None after saying why that cannot be."""
        theirs, ours = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            what, script = order["directory"], order.get("script")
            try:
                os.close(theirs)
                self._prepare(parent)
                os.chdir(order["directory"])
                words: list[str] = order["run"]
                what = words[0]
                if script is None or not self._template.can_run(script):
                    os.execvpe(what, words, order["env"])  # noqa: S606 - the user's command, without a shell
            except OSError as error:
                os.write(ours, json.dumps({"refused": error.errno, "what": what}).encode())
                os._exit(127)
            except BaseException:  # noqa: BLE001 - nothing may go on as the server here
                os._exit(127)
            os.close(ours)
            os.close(self._socket)
            os.close(self._wake)
            raise Forked(self._template.fork(script, order["env"]))
        os.close(ours)
        with os.fdopen(theirs, "rb") as handle:
            refusal = handle.read()
        if not refusal:
            return pid
        os.waitpid(pid, 0)
        self._say(json.loads(refusal))
        return None

    def _prepare(self, parent: int) -> None:
        """Make this new process ready to become the command."""
        os.setsid()
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)
        wake = signal.set_wakeup_fd(-1)
        os.close(wake)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(1, 2)

    def _order(self) -> dict[str, Any]:
        """Wait for the next order."""
        while b"\n" not in self._unread:
            self._receive()
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _receive(self) -> None:
        data = os.read(self._socket, 65536)
        if not data:
            raise _Gone
        self._unread += data

    def _say(self, words: dict[str, Any]) -> None:
        data = json.dumps(words).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._socket, data) :]
        except OSError:
            raise _Gone from None


class Template:
    """What makes this process one whose forks can be scripts: the files beside it, and the modules it imported."""

    def __init__(self, script: dict[str, Any]) -> None:
        self._forking = _beside("..", "shared", "forking.py")
        self._scripts = _beside("warm_script.py")
        self._random = self._forking.RandomStates()
        self._path: str | None = self._scripts.first_path(script)
        self.can_run = self._scripts.can_run

    def warm_up(self, modules: list[str]) -> str | None:
        """Import modules; return the reason why this process must not be forked then. What they print goes to stderr.

        Until then nobody listens to the worker's end, so the kernel does.
        """
        self._forking.set_death_signal(signal.SIGKILL)
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        try:
            reason: str | None = self._scripts.import_modules(modules, self._path)
        finally:
            sys.stdout.flush()
            os.dup2(own, 1)
            os.close(own)
            self._forking.set_death_signal(0)
        self._random.imported()
        self._forking.freeze()
        return reason or self._forking.reason_not_to_fork()

    def fork(self, script: dict[str, Any], env: dict[str, str]) -> Any:
        """Return what runs `script` in this process, a fork, with environment and signals as a process of its own."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python has them when it starts
        for name in os.environ.keys() - env.keys():
            del os.environ[name]
        os.environ.update(env)
        self._random.start_anew()
        return self._scripts.ScriptRun(script, self._path)


def _beside(*names: str) -> Any:
    """Import a file by where it lies: the interpreter of a user's command need not know of ablate."""
    from importlib import util

    path = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), *names))
    spec = util.spec_from_file_location(f"_ablate_{os.path.basename(path)[:-3]}", path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _end_of(pid: int) -> tuple[int, Any] | None:
    """Return status and usage of a command that has ended, None while it runs.

    The rest of its group is killed. Where the system allows it, that is before it is reaped: its number is still taken.
    """
    if hasattr(os, "waitid"):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        _signal_group(pid, signal.SIGKILL)
        return os.wait4(pid, 0)[1:]
    found, status, usage = os.wait4(pid, os.WNOHANG)
    if not found:
        return None
    _signal_group(pid, signal.SIGKILL)
    return status, usage


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _end_adopted() -> None:
    """Kill and reap what the command's processes left behind, until nothing is left."""
    while True:
        children = _children()
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            found, _ = os.waitpid(-1, 0 if children else os.WNOHANG)
        except ChildProcessError:
            return
        if not found:
            return


def _children() -> list[int]:
    """The children of this process; empty where the system does not tell."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as handle:
            return [int(word) for word in handle.read().split()]
    except OSError:
        return []


def main() -> Any:
    """Serve; return what is to be run in a process that was forked for a script, None at the end."""
    try:
        Server(int(sys.argv[1])).serve()
    except Forked as forked:
        return forked.script
    return None


if __name__ == "__main__" and (SCRIPT := main()) is not None:
    SCRIPT.run()
