"""A daemon that a test starts: in a folder of its own, as a user that it accepts, ended by its process number."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

READY_S = 60.0
_LOOK_AGAIN_S = 0.05


def program(name: str, *folders: str) -> str:
    """Return the path of a program that a server needs; skips the test where it is not installed."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders]))
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def user_for(name: str) -> str | None:
    """Return the user that a server runs as: `name` for root, whom some servers refuse; else whoever we are."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        pytest.skip(f"there is no user {name} here, and the server does not run as root")


def folder_for(name: str, user: str | None) -> Path:
    """Return a new folder that `user` can write; its path is short, because those of sockets must be."""
    folder = Path(tempfile.mkdtemp(prefix=f"ablate-{name}-", dir="/tmp"))
    folder.chmod(0o755)
    if user is not None:
        shutil.chown(folder, user)
    return folder


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Daemon:
    """A process that stays in the foreground."""

    words: Sequence[str]
    log: Path
    user: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool]) -> None:
        """Start it and wait until it is `ready`."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
                extra_groups=None if self.user is None else [],
                env={**os.environ, **self.variables},
                start_new_session=True,
                cwd="/",
            )
        wait_for(ready, lambda: self.process is not None and self.process.poll() is None, self.log)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal and wait until it is gone."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(READY_S)
            self.process = None


def wait_for(ready: Callable[[], bool], alive: Callable[[], bool], log: Path) -> None:
    """Wait until a server is ready; fails with the end of its log when it ends first, or takes too long."""
    until = time.monotonic() + READY_S
    while not ready():
        if not alive() or time.monotonic() > until:
            pytest.fail(f"the server does not start:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
        time.sleep(_LOOK_AGAIN_S)


def listens(port: int) -> bool:
    """True when somebody accepts connections at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
