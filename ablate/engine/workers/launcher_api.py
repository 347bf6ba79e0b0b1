"""How workers come into being: the seam between the engine and a place where processes can run.

The engine needs little of a place: a process per slot, messages in both directions, and to know when the process is
gone. `LocalLauncher` gives it processes of this machine; `ablate.engine.clusters.job_launcher` jobs of Slurm and Ray.
All start ``python -m ablate.engine.workers.worker``. Workers write files only, so what a place must share with this
machine is the results folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ablate.engine.workers.local_process import End, WorkerProcess
from ablate.engine.workers.messages import Heard, Hello, ToWorker
from ablate.engine.workers.slots import Slot
from ablate.paths import StudyPaths


class WorkerHandle(Protocol):
    """A worker that was started: somebody to talk to."""

    @property
    def pid(self) -> int | None:
        """Number of its process, recorded so that the next run can end it; None when it is on another machine."""

    @property
    def news(self) -> int:
        """A descriptor that is readable when the worker has said something, and at its end."""

    @property
    def exit(self) -> int | None:
        """A descriptor that is readable when the process is gone; None where `news` alone says so."""

    def send(self, message: ToWorker) -> None:
        """Send a message; that nobody reads any more shows at `news` and `exit`."""

    def receive(self) -> list[Heard] | None:
        """Return the messages that are there (waiting for the first bytes), None when there will be no more."""

    def drain(self) -> list[Heard]:
        """Return what a worker that is gone said last, without waiting."""

    def kill(self) -> None:
        """End it at once, with everything it started; that it is gone shows later."""

    def reap(self) -> End:
        """Wait for the end, which has begun; release everything, and say how it ended."""


class Launcher(Protocol):
    """A place that can start workers."""

    @property
    def keeps_idle(self) -> bool:
        """Whether a worker without work may stay while others are busy: where that keeps nobody else waiting."""

    def opened(self, paths: StudyPaths) -> AbstractContextManager[Launcher]:
        """Be ready for one run of a study. At the end nothing that was started is left. Raises AblateError."""

    def launch(self, slot: Slot, log: Path, hello: Hello) -> WorkerHandle:
        """Start the worker of `slot` without waiting for it, and send it `hello`; raises OSError when that fails.

        What the worker prints goes to the file `log`. The worker must not outlive this process. While it waits to be
        started it may say `Queued`, and must then say `Begun`.
        """


class LocalLauncher:
    """Starts processes of this machine, each bound to its slot by its environment."""

    keeps_idle = True

    @contextlib.contextmanager
    def opened(self, paths: StudyPaths) -> Iterator[LocalLauncher]:
        """Nothing is needed: the pool ends its processes, and those of a run that was killed end by themselves."""
        yield self

    def launch(self, slot: Slot, log: Path, hello: Hello) -> WorkerProcess:
        """Start a worker process."""
        return WorkerProcess(slot, log, hello)
