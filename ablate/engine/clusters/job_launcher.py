"""Workers as jobs of a cluster: the launcher that Slurm and Ray share.

A queue takes jobs, says where they are and cancels them. Everything that talks to it happens in one thread, because a
busy controller may take seconds to answer; the engine's loop never waits for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ablate.engine.clusters.listener import Listener
from ablate.engine.clusters.remote_worker import Job, JobStanding, RemoteWorker
from ablate.engine.workers.handshake import NO_ENGINE, NO_TICKET, WRONG_ENGINE, WRONG_VERSION
from ablate.engine.workers.local_process import End, how_it_ended, variables
from ablate.engine.workers.messages import Hello
from ablate.engine.workers.slots import Slot
from ablate.errors import AblateError
from ablate.paths import StudyPaths

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>\d{1,5}))?")
_LAST_PORT = 65535
_SHELLS = 128
"""Shells and srun give 128 and the signal's number as exit code."""
_SOON_S = 0.5
_SLOWER = 1.5
_PUZZLED_S = 15.0
"""A job whose worker is gone is looked up for so long; then it is cancelled, whatever it does."""

_MISSING = JobStanding(end=End("is no longer in the queue"))


class JobQueue(Protocol):
    """A place that runs jobs when it can. Once it is open, one thread calls its methods, which may take a while."""

    most_s: float
    """Longest time between two looks at jobs that wait, in seconds."""

    def open(self, name: str) -> None:
        """Use `name` for all jobs, and end those that an earlier run left under it.

        Raises AblateError when the place cannot be used from here.
        """

    def reach(self) -> str:
        """Return the address of this machine that jobs can reach; raises AblateError when there is none."""

    def submit(self, job: Job) -> str:
        """Hand in a job; return what it is called; raises OSError."""

    def look(self, jobs: Sequence[str]) -> Mapping[str, JobStanding]:
        """Return where each of `jobs` is; raises OSError when the queue does not answer."""

    def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs, whether they wait or run; raises OSError."""

    def close(self) -> None:
        """Release what was opened."""


@dataclass(frozen=True)
class Listen:
    """Where the engine listens for its workers."""

    host: str = ""
    """Empty for the address by which this machine reaches the cluster."""
    port: int = 0
    """0 for any free one."""


class ClusterLauncher:
    """Starts every worker as a job of `queue`, which connects back to this process."""

    keeps_idle = False

    def __init__(self, queue: JobQueue, listen: Listen) -> None:
        self._queue = queue
        self._listen = listen
        self._workers: list[RemoteWorker] = []
        self._poke = threading.Event()
        self._closing = False
        self._bug: Exception | None = None

    @contextlib.contextmanager
    def opened(self, paths: StudyPaths) -> Iterator[ClusterLauncher]:
        """Be ready for a run of the study; at the end every job is cancelled. Raises AblateError.

        What goes wrong in the thread that talks to the queue ends all workers, and is raised at the end.
        """
        remove_left(paths.workers)
        with contextlib.ExitStack() as closing:
            self._queue.open(job_name(paths))
            closing.callback(self._queue.close)
            self._dock = Listener(self._listen.host or self._queue.reach(), self._listen.port, paths.workers)
            closing.callback(self._dock.close)
            self._closing = False
            thread = threading.Thread(target=self._work, name="jobs", daemon=True)
            thread.start()
            try:
                yield self
            finally:
                for worker in [worker for worker in self._workers if not worker.over]:
                    worker.kill()
                self._closing = True
                self._poke.set()
                thread.join()
            if self._bug is not None:
                raise self._bug

    def launch(self, slot: Slot, log: Path, hello: Hello) -> RemoteWorker:
        """Let a job be submitted for the slot's worker; what becomes of it shows at the worker's `news`."""
        if self._bug is not None:
            raise OSError(f"no more jobs can be submitted: {self._bug!r}")
        name, ticket = self._dock.expect(lambda *arrival: worker.serve(*arrival))
        worker = RemoteWorker(name, Job(ticket, log, variables(slot)), hello, self._poke.set)
        self._workers.append(worker)
        self._poke.set()
        return worker

    # ------------------------------------------------------------------ the thread that talks to the queue

    def _work(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - raised again at the end of the run
            self._bug = error
            for worker in list(self._workers):
                worker.finish(End(f"{worker.who} can no longer be followed: {error!r}"))
                worker.kill()

    def _serve(self) -> None:
        pause_s = _SOON_S
        while True:
            poked = self._poke.wait(pause_s if any(worker.puzzling for worker in self._workers) else None)
            self._poke.clear()
            self._submit()
            self._end([worker for worker in self._workers if worker.uncancelled], "was ended")
            self._look()
            self._forget()
            if self._closing and not self._workers:
                return
            pause_s = _SOON_S if poked else min(self._queue.most_s, pause_s * _SLOWER)

    def _submit(self) -> None:
        for worker in list(self._workers):
            if worker.identity is None and not worker.over:
                if worker.unwanted:
                    worker.finish(End("it was no longer needed and not started"))
                    continue
                try:
                    worker.identity = self._queue.submit(worker.job)
                except OSError as error:
                    worker.finish(End(str(error)))
                else:
                    worker.waits("")

    def _end(self, ending: Sequence[RemoteWorker], how: str) -> None:
        """End jobs; only then are their workers over, so that no two work in one trial's folder."""
        if not ending:
            return
        trouble = ""
        try:
            self._queue.cancel([worker.identity for worker in ending if worker.identity])
        except OSError as error:
            trouble = f", which its queue has not confirmed: {error}"
        for worker in ending:
            worker.cancelled = True
            worker.finish(End(f"{worker.who} {how}{trouble}"))

    def _look(self) -> None:
        puzzling = {worker.identity: worker for worker in self._workers if worker.puzzling and worker.identity}
        if not puzzling:
            return
        try:
            found = self._queue.look(list(puzzling))
        except OSError as error:
            found = dict.fromkeys(puzzling, JobStanding(waiting=str(error)))
        for identity, worker in puzzling.items():
            self._take(worker, found.get(identity, _MISSING))

    def _take(self, worker: RemoteWorker, standing: JobStanding) -> None:
        """Pass on where a job is; nobody waits for ever for the end of one whose worker is gone."""
        if standing.end is not None:
            end = standing.end
            worker.finish(End(f"{worker.who} {end.reason}", out_of_memory=end.out_of_memory, evicted=end.evicted))
        elif worker.gone_at is not None:
            if time.monotonic() - worker.gone_at > _PUZZLED_S:
                self._end([worker], "lost its connection and was ended")
        elif standing.node is not None:
            worker.begins(standing.node)
        else:
            worker.waits(standing.waiting or "")

    def _forget(self) -> None:
        """Let go of workers that are over."""
        for worker in [worker for worker in self._workers if worker.over and not worker.uncancelled]:
            self._dock.forget(worker.name)
            self._workers.remove(worker)


def parse_listen(text: str | None) -> Listen:
    """Read ``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``; raises AblateError."""
    if text is None:
        return Listen()
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"] or 0) > _LAST_PORT:
        raise AblateError(f"--listen {text!r} is not an address", hint="for example --listen 10.0.0.5:7000")
    return Listen(match["six"] or match["host"], int(match["port"] or 0))


def exit_words(code: int) -> str:
    """Return what the exit code of a job (negative for a signal) says, about a worker that never reported above all."""
    if code < 0 or code > _SHELLS:
        return how_it_ended(code if code < 0 else _SHELLS - code).reason
    shared = "put --results and the Python environment where all nodes see them under the same path"
    return {
        126: f"its Python cannot run there: {shared}",
        127: f"its Python is not there: {shared}",
        NO_TICKET: f"it does not see the results folder, or cannot write there: {shared}",
        NO_ENGINE: "it cannot connect to this machine: choose an address that it can reach with --listen",
        WRONG_ENGINE: "this run was not found at the address it was given: choose another with --listen",
        WRONG_VERSION: "it has another version of ablate: use one Python environment on all nodes",
    }.get(code, f"exit code {code}")


def job_name(paths: StudyPaths) -> str:
    """Return a name that all jobs of a study, and no others, have."""
    where = hashlib.sha256(str(paths.folder.absolute()).encode()).hexdigest()[:8]
    return f"ablate-{paths.folder.name.replace(' ', '_')}-{where}"


def remove_left(folder: Path) -> None:
    """Remove the tickets of an earlier run: a job that still waits with one ends as soon as it begins."""
    for pattern in ("*.ticket", "*.probe"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
