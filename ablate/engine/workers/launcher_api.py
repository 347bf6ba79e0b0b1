"""How workers come into being: the seam between the engine and a place where processes can run.

The engine needs little of a place: a process per slot, messages in both directions, and to know when the process is
gone. `LocalLauncher` gives it processes of this machine; `ablate.engine.clusters.job_launcher` jobs of Slurm and Ray.
All run `ablate.engine.workers.worker`. Workers write files only, so what a place must share with this
machine is the results folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ablate.engine.workers.forked_process import Adoption, ForkedWorker, WorkerTemplate, can_adopt, key_of
from ablate.engine.workers.local_process import End, WorkerProcess
from ablate.engine.workers.messages import Heard, Hello, ToWorker
from ablate.engine.workers.slots import Slot
from ablate.paths import StudyPaths

WARM_WORKERS = "ABLATE_WARM_WORKERS"
"""Variable of the environment: 0 starts every worker as a Python interpreter of its own."""
_MOST_TEMPLATES = 3


class WorkerHandle(Protocol):
    """A worker that was started: somebody to talk to."""

    @property
    def pid(self) -> int | None:
        """Number of its process, recorded so that the next run can end it; None as long as it is not there yet.

        Also None when it is on another machine.
        """

    @property
    def news(self) -> int:
        """A descriptor that is readable when the worker has said something, and at its end."""

    @property
    def exit(self) -> int | None:
        """A descriptor that is readable when the process is gone; None while, or where, `news` alone says so."""

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
    """Starts processes of this machine, each bound to its slot by its environment.

    They are forks of a process that has imported the core, one for each environment. Where there is no such thing, and
    with ABLATE_WARM_WORKERS=0 in the environment, each is a Python interpreter of its own.
    """

    keeps_idle = True

    def __init__(self) -> None:
        """Without `opened`, workers are started one by one."""
        self._adoption: Adoption | None = None
        self._templates: dict[frozenset[tuple[str, str]], list[WorkerTemplate]] = {}

    @contextlib.contextmanager
    def opened(self, paths: StudyPaths) -> Iterator[LocalLauncher]:
        """End the templates: the pool ends its processes, and those of a run that was killed end by themselves."""
        place = type(self)()
        if can_adopt() and os.environ.get(WARM_WORKERS) != "0":
            place._adoption = Adoption()
        try:
            yield place
        finally:
            for templates in place._templates.values():
                for template in templates:
                    template.close()

    def launch(self, slot: Slot, log: Path, hello: Hello) -> WorkerHandle:
        """Start a worker process."""
        if self._adoption is not None and (template := self._template(slot, log, hello)) is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the template has ended
                return ForkedWorker(template, self._adoption, slot, log, hello)
        return WorkerProcess(slot, log, hello)

    def _template(self, slot: Slot, log: Path, hello: Hello) -> WorkerTemplate | None:
        """The template of a slot's environment; None where one ended by itself, or several were killed.

        Then the core is the reason, and a worker that is started plainly says what is wrong with it.
        """
        known = self._templates.setdefault(key_of(slot, os.environ), [])
        ends = [template.process.poll() for template in known]
        if ends and ends[-1] is None:
            return known[-1]
        if any(code is not None and code >= 0 for code in ends) or len(ends) >= _MOST_TEMPLATES:
            return None
        known.append(WorkerTemplate(slot, log, hello))
        return known[-1]
