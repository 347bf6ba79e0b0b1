"""Slurm as a queue of workers: sbatch, squeue, scancel. One job is one task: one worker."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from ablate.engine.clusters.job_launcher import exit_words
from ablate.engine.clusters.job_options import JobOptions
from ablate.engine.clusters.remote_worker import Job, JobStanding
from ablate.engine.workers.local_process import End
from ablate.errors import AblateError

PROGRAMS = ("sbatch", "squeue", "scancel", "sinfo")
_ANSWER_S = 60.0
_NOTICE = "B:USR1@60"
"""A minute before its time limit a worker is told to save and leave."""
_FIELDS = "JobID:24,State:24,exit_code:24,NodeList:48,Reason:160"
_ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
)
_TAKEN_AWAY = ("NODE_FAIL", "PREEMPTED", "TIMEOUT")
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD")


class Slurm:
    """Runs workers as batch jobs."""

    most_s = 20.0

    def __init__(self, options: JobOptions) -> None:
        self._options = options
        self._name = ""

    def open(self, name: str) -> None:
        """Cancel what an earlier run left in the queue."""
        require_programs(PROGRAMS)
        self._name = name
        try:
            _say("scancel", f"--user={os.getuid()}", f"--name={name}")
        except OSError as error:
            raise AblateError(f"Slurm does not answer: {error}", hint="try squeue") from error

    def reach(self) -> str:
        """Return the address of this machine towards the first node of the cluster."""
        try:
            nodes = _say("sinfo", "--noheader", "--responding", "--Format=NodeAddr:128", *self.nodes()).split()
        except OSError as error:
            raise AblateError(f"Slurm does not answer: {error}", hint="try sinfo") from error
        for node in nodes:
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((node, 9))  # sends nothing: the system says which way it would go
                return str(probe.getsockname()[0])
        raise AblateError(
            "this machine has no route to a node of the cluster", hint="name its address in the cluster with --listen"
        )

    def nodes(self) -> list[str]:
        """Return what tells sinfo which nodes workers may run on: all."""
        return []

    def submit(self, job: Job) -> str:
        """Submit a worker; raises OSError with what sbatch says."""
        said = _say("sbatch", *self.arguments(job), stdin=self.script(job)).split()
        if not said:
            raise OSError("sbatch did not say which job it submitted")
        return said[-1].partition(";")[0]  # behind it, the cluster's name

    def arguments(self, job: Job) -> list[str]:
        """Return what sbatch is told about a worker's job."""
        # Slurm replaces %x in file names.
        log = str(job.log).replace("%", "%%")
        ours = {"job-name": self._name, "output": log, "open-mode": "append", "ntasks": "1", "signal": _NOTICE}
        named = {**ours, **self._options.slurm()}
        words = [f"--{option}={value}" if value else f"--{option}" for option, value in named.items()]
        return ["--parsable", "--no-requeue", *words]

    def script(self, job: Job) -> str:
        """Return the batch script: nothing but the worker, which gets Slurm's signals itself."""
        lines = ["#!/bin/sh", *(f"export {name}={shlex.quote(value)}" for name, value in job.variables.items())]
        if self._options.setup is not None:
            lines[0] = "#!/bin/bash -l"  # where `module` is known
            lines.append(f". {shlex.quote(str(self._options.setup))}")
        return "\n".join([*lines, f"exec {shlex.join(worker_words(job))}", ""])

    def look(self, jobs: Sequence[str]) -> Mapping[str, JobStanding]:
        """Ask where the jobs of this run are."""
        words = ("--noheader", f"--user={os.getuid()}", f"--name={self._name}", "--states=all")
        return parse_queue(_say("squeue", *words, f"--Format={_FIELDS}"))

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel jobs; those that are over already are none of its business."""
        _say("scancel", "--quiet", *jobs)

    def close(self) -> None:
        """Nothing is held open."""


def require_programs(programs: Sequence[str]) -> None:
    """Raise AblateError when a program of Slurm is not here."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise AblateError(
            f"no {missing[0]} on this machine", hint="run ablate where Slurm's commands are, or leave out --launcher"
        )


def worker_words(job: Job) -> list[str]:
    """Return the command of a worker; what it needs to know beside its ticket comes over its connection."""
    return [sys.executable, "-P", "-m", "ablate.engine.workers.worker", "--connect", str(job.ticket)]


def parse_queue(text: str) -> dict[str, JobStanding]:
    """Read what squeue prints for `_FIELDS`."""
    found = {}
    for line in text.splitlines():
        job, state, status, node, reason = (line[at : at + width].strip() for at, width in _columns())
        if job:
            found[job] = standing_of(state, status, node, reason)
    return found


def standing_of(state: str, status: str, node: str, reason: str) -> JobStanding:
    """Return what a job's state means for its worker; `status` is the raw status that wait() gave for it."""
    if state in _WAITING:
        return JobStanding(waiting=reason if reason != "None" else "")
    if state not in _ENDED:
        return JobStanding(node=node)
    evicted = state in _TAKEN_AWAY
    code = os.waitstatus_to_exitcode(int(status)) if status.isdecimal() and not evicted else 0
    words = f"ended: {state}, {exit_words(code)}" if code else f"ended: {state}"
    return JobStanding(end=End(words, out_of_memory=state == "OUT_OF_MEMORY", evicted=evicted))


def _columns() -> list[tuple[int, int]]:
    """Start and width of every field."""
    widths = [int(field.partition(":")[2]) for field in _FIELDS.split(",")]
    return [(sum(widths[:index]), width) for index, width in enumerate(widths)]


def _say(program: str, *words: str, stdin: str = "") -> str:
    """Run one of Slurm's programs; raises OSError with what it complains about."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, checked words, no shell
            [program, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=False,
            start_new_session=True,  # Ctrl-C is the engine's
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{program} does not answer within {_ANSWER_S:g} s") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise OSError(f"{program}: {said}")
    return done.stdout
