"""Ray as a queue of workers: each is a process that a task starts, on whatever node has what the task asks for."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ablate.engine.clusters.job_launcher import exit_words
from ablate.engine.clusters.job_options import JobOptions
from ablate.engine.clusters.remote_worker import Job, JobStanding
from ablate.engine.workers.handshake import NO_TICKET
from ablate.engine.workers.local_process import End
from ablate.errors import AblateError

_LONGEST_REASON = 200


class RayTasks:
    """Runs workers on the cluster at RAY_ADDRESS, on one that was started on this machine, or on this machine alone."""

    most_s = 5.0

    def __init__(self, options: JobOptions) -> None:
        self._options = options
        self._tasks: dict[str, Any] = {}
        self._count = 0

    def open(self, name: str) -> None:
        """Connect to the cluster. An earlier run left nothing: Ray ends the tasks of a program that is gone."""
        try:
            import ray
        except ImportError as error:
            raise AblateError("Ray is not installed here", hint="pip install 'ablate[ray]'") from error
        self._ray: Any = ray
        with _signals_kept():
            try:
                ray.init(logging_level=logging.ERROR, log_to_driver=False, namespace=name, include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise AblateError(
                    f"cannot connect to Ray: {_first_line(error)}", hint="try ray status, and check RAY_ADDRESS"
                ) from error

    def reach(self) -> str:
        """Return the address by which the cluster knows this machine."""
        return str(self._ray.util.get_node_ip_address())

    def submit(self, job: Job) -> str:
        """Hand in a task; it waits until a node has room."""
        asked: dict[str, Any] = {"num_cpus": self._options.cpus, "max_retries": 0}
        if self._options.gpus:
            kind, _, count = self._options.gpus.rpartition(":")
            asked["num_gpus"] = int(count)
            asked.update({"accelerator_type": kind} if kind else {})
        if self._options.mem_bytes is not None:
            asked["memory"] = self._options.mem_bytes
        self._count += 1
        with self._answering():
            task = self._ray.remote(_task()).options(**asked)
            self._tasks[str(self._count)] = task.remote(str(job.ticket), str(job.log), dict(job.variables))
        return str(self._count)

    def look(self, jobs: Sequence[str]) -> Mapping[str, JobStanding]:
        """Look which tasks are over. One that runs is known by its worker, which connects at once."""
        tasks = {self._tasks[job]: job for job in jobs}
        with self._answering():
            over, waiting = self._ray.wait(list(tasks), num_returns=len(tasks), timeout=0, fetch_local=False)
            there = self._ray.cluster_resources() if waiting else {}
        reason = f"for {self._asked()}; the cluster has {there.get('CPU', 0):g} CPU, {there.get('GPU', 0):g} GPU"
        return {
            **{tasks[task]: JobStanding(waiting=reason) for task in waiting},
            **{tasks[task]: JobStanding(end=self._end_of(task)) for task in over},
        }

    def cancel(self, jobs: Sequence[str]) -> None:
        """End tasks, and with them their workers, which die with the process that started them."""
        with self._answering():
            for job in jobs:
                self._ray.cancel(self._tasks[job], force=True)

    def withdrawn(self, nodes: Sequence[str]) -> Mapping[str, str]:
        """Ray ends what runs on a node that it takes away."""
        return {}

    def stuck(self, reason: str) -> str:
        """Ray's clusters may grow: no task waits in vain."""
        return ""

    def close(self) -> None:
        """Leave the cluster."""
        with _signals_kept():
            self._ray.shutdown()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn what Ray says when it cannot be reached into an OSError."""
        try:
            yield
        except (self._ray.exceptions.RayError, RuntimeError) as error:
            raise OSError(f"Ray: {_first_line(error)}") from error

    def _asked(self) -> str:
        gpu = f", {self._options.gpus} GPU" if self._options.gpus else ""
        return f"{self._options.cpus} CPU{gpu}"

    def _end_of(self, task: Any) -> End:
        faults = self._ray.exceptions
        try:
            return End(f"ended: {exit_words(self._ray.get(task))}")
        except faults.OutOfMemoryError as error:
            return End(f"ended: {_first_line(error)}", out_of_memory=True)
        except faults.NodeDiedError as error:
            return End(f"ended: {_first_line(error)}", evicted=True)
        except faults.RayError as error:
            return End(f"ended: {_first_line(error)}")


def _task() -> Callable[[str, str, dict[str, str]], int]:
    """Return what a node runs. A function within a function is sent whole: nodes need not find this module."""
    no_ticket = NO_TICKET

    def work(ticket: str, log: str, variables: dict[str, str]) -> int:
        import os
        import subprocess
        import sys

        if not os.path.exists(ticket):  # noqa: PTH110 - it runs where there is nothing but Python
            return no_ticket
        words = [sys.executable, "-P", "-m", "ablate.engine.workers.worker", "--connect", ticket, str(os.getpid())]
        environment = {**os.environ, **variables}
        with open(log, "ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        return process.wait()

    return work


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep Ray from replacing the engine's handlers of stop signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line[:_LONGEST_REASON]
