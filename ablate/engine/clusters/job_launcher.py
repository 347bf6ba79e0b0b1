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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ablate.engine.clusters.listener import Listener
from ablate.engine.clusters.remote_worker import Job, JobStanding, QueueAway, QueueRefused, RemoteWorker
from ablate.engine.workers.handshake import NO_ENGINE, NO_TICKET, WRONG_ENGINE, WRONG_VERSION
from ablate.engine.workers.local_process import End, how_it_ended, variables
from ablate.engine.workers.messages import Hello, QueueFailed, QueueNote
from ablate.engine.workers.slots import Slot
from ablate.errors import MAX_OUTAGE_S, AblateError
from ablate.human_units import spoken
from ablate.paths import StudyPaths

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>\d{1,5}))?")
_LAST_PORT = 65535
_SHELLS = 128
"""Shells and srun give 128 and the signal's number as exit code."""
_SOON_S = 0.5
_SLOWER = 1.5
_PUZZLED_S = 15.0
"""A job whose worker is gone is looked up for so long; then it is cancelled, whatever it does."""

_NODES_S = 60.0
"""Time between two looks at the nodes that workers run on."""
_STUCK_S = 20.0
"""After a job has waited so long for a reason that does not go away by itself, the reason is told."""

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
        """Hand in a job; return what it is called.

        Raises QueueAway when there is no answer now, QueueRefused when the answer is no, OSError for anything else.
        """

    def look(self, jobs: Sequence[str]) -> Mapping[str, JobStanding]:
        """Return where each of `jobs` is; raises OSError, QueueAway when the queue does not answer."""

    def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs, whether they wait or run; raises OSError, QueueAway when the queue does not answer."""

    def withdrawn(self, nodes: Sequence[str]) -> Mapping[str, str]:
        """Return those of `nodes` that shall get nothing new, and why (``draining``); raises OSError."""

    def stuck(self, reason: str) -> str:
        """Return what a job waits for in vain, as long as nobody changes something; empty when it only waits."""

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

    def __init__(
        self,
        queue: JobQueue,
        listen: Listen,
        *,
        max_outage_s: float = MAX_OUTAGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_outage_s` is how long `queue` may be away, by `clock`, before the run is ended."""
        self._queue = queue
        self._listen = listen
        self._max_outage_s = max_outage_s
        self._clock = clock
        self._away_since: float | None = None
        self._accepted = False
        """True once the queue has taken a job of this run: what it then refuses, it may take later."""
        self._refused = ""
        """What the queue said when it took not even the first."""
        self._left: set[str] = set()
        """Jobs that are to be cancelled when the queue answers again."""
        self._nodes_at = 0.0
        self._told: set[str] = set()
        """Reasons of stuck jobs that were told."""
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
            self._closing = self._accepted = False
            self._refused = ""
            self._away_since = None
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
            poked = self._poke.wait(self._pause(pause_s))
            self._poke.clear()
            self._submit()
            self._end([worker for worker in self._workers if worker.uncancelled], "was ended")
            self._cancel_left()
            self._look()
            self._look_at_nodes()
            self._forget()
            if self._closing and not self._workers:
                return
            pause_s = _SOON_S if poked else min(self._queue.most_s, pause_s * _SLOWER)

    def _pause(self, pause_s: float) -> float | None:
        """How long to wait for something to do; None for as long as it takes."""
        if self._left or any(worker.puzzling or worker.unsubmitted for worker in self._workers):
            return pause_s
        running = any(worker.node for worker in self._workers)
        return max(0.0, self._nodes_at + _NODES_S - self._clock()) if running else None

    def _submit(self) -> None:
        """Submit what is not submitted yet, until the queue does not answer or takes no more."""
        for worker in [worker for worker in self._workers if worker.unsubmitted]:
            if worker.unwanted:
                worker.finish(End("it was no longer needed and not started"))
            elif self._refused:
                worker.waits(self._refused)
            else:
                self._submit_one(worker)

    def _submit_one(self, worker: RemoteWorker) -> None:
        """Submit a job; what does not work now is tried again in the next round."""
        try:
            worker.identity = self._queue.submit(worker.job)
        except QueueAway as error:
            self._away(error)
            worker.waits(str(error))
        except QueueRefused as error:
            if self._accepted:
                self._away(error)
            else:
                self._refused = str(error)
                hint = "nothing was computed; change --job, or ask who runs the cluster"
                self._pass_on(QueueFailed(str(error), hint, away=False))
            worker.waits(str(error))
        except OSError as error:
            worker.finish(End(str(error)))
        else:
            self._accepted = True
            self._answers()
            worker.waits("")

    # ------------------------------------------------------------------ a queue that does not answer

    def _away(self, error: OSError) -> None:
        """The queue does not answer, or takes no more jobs: say so once, and end the run when that lasts too long."""
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
            how_long = spoken(self._max_outage_s)
            self._pass_on(QueueNote(f"{error}: trying again, for {how_long} at most; jobs that run go on"))
        elif now - self._away_since >= self._max_outage_s and not self._computes():
            hint = "nothing is lost; when it answers again, run the same command again"
            lasted = spoken(now - self._away_since)
            self._pass_on(QueueFailed(f"no job could be submitted for {lasted}: {error}", hint, away=True))

    def _answers(self) -> None:
        if self._away_since is not None:
            lasted = spoken(self._clock() - self._away_since)
            self._away_since = None
            self._pass_on(QueueNote(f"the cluster takes jobs again after {lasted}"))

    def _computes(self) -> bool:
        """True while a worker is connected: the run gets on without the queue."""
        return any(worker.node and worker.gone_at is None and not worker.over for worker in self._workers)

    def _pass_on(self, message: QueueNote | QueueFailed) -> None:
        """Let the engine know, through whichever worker it still listens to."""
        for worker in self._workers:
            if not worker.over and not worker.unwanted:
                worker.pass_on(message)
                return

    def _cancel_left(self) -> None:
        if self._left:
            with contextlib.suppress(OSError):
                self._queue.cancel(sorted(self._left))
                self._left.clear()

    # ------------------------------------------------------------------ what becomes of jobs

    def _end(self, ending: Sequence[RemoteWorker], how: str) -> None:
        """End jobs; only then are their workers over, so that no two work in one trial's folder."""
        if not ending:
            return
        trouble = ""
        jobs = [worker.identity for worker in ending if worker.identity]
        try:
            self._queue.cancel(jobs)
        except OSError as error:
            self._left.update(jobs if isinstance(error, QueueAway) else ())
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
        except QueueAway as error:
            self._away(error)
            now = time.monotonic()
            gone = [one for one in puzzling.values() if one.gone_at is not None and now - one.gone_at > _PUZZLED_S]
            self._end(gone, "lost its connection")
            return  # where the others are will be known when it answers
        except OSError as error:
            found = dict.fromkeys(puzzling, JobStanding(waiting=str(error)))
        if not any(worker.unsubmitted for worker in self._workers):
            self._answers()
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
            self._tell_stuck(worker, standing.waiting or "")

    def _tell_stuck(self, worker: RemoteWorker, reason: str) -> None:
        """Say, once for each reason, that a job waits for what does not come by itself."""
        meaning = self._queue.stuck(reason)
        since = worker.queued_since
        if meaning and reason not in self._told and since is not None and time.monotonic() - since >= _STUCK_S:
            self._told.add(reason)
            self._pass_on(
                QueueNote(
                    f"{worker.who} does not start: {reason} ({meaning}); it waits until that changes, or until Ctrl-C"
                )
            )

    def _look_at_nodes(self) -> None:
        """Let workers leave whose nodes are being drained, each after what it computes now."""
        there = sorted({worker.node for worker in self._workers if worker.node and not worker.over})
        if not there or self._clock() < self._nodes_at + _NODES_S:
            return
        self._nodes_at = self._clock()
        try:
            found = self._queue.withdrawn(there)
        except OSError:
            return  # what else is asked of the queue shows whether it answers
        for worker in self._workers:
            if worker.node is not None and worker.node in found:
                worker.withdraw(f"{worker.node} is {found[worker.node]}: it gets no new trials")

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
