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
from ablate.engine.clusters.remote_worker import Job, JobStanding, QueueAway, QueueRefused
from ablate.engine.workers.local_process import End
from ablate.errors import AblateError, OutageError

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
_AWAY = (
    *("unable to contact slurm controller", "timed out", "controller not responding", "zero bytes were transmitted"),
    *("communication", "connection refused", "connection reset", "backup controller", "temporarily unable"),
    *("in standby mode", "resource temporarily unavailable", "transport endpoint", "does not answer within"),
    *("no route to host", "network is unreachable", "unexpected message", "munge", "slurm_persist_conn_open"),
)
"""What Slurm's commands say when the controller, or the way to it, is away."""
_STUCK = {
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "PartitionNodeLimit": "it asks for more nodes than its partition allows",
    "PartitionConfig": "no node of its partition has what it asks for",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is inactive",
    "BadConstraints": "no node has what it asks for",
    "ReqNodeNotAvail": "its nodes are down, drained or reserved",
    "Nodes required for job are DOWN": "its nodes are down, drained or reserved",
    "InvalidAccount": "its account is not valid",
    "AccountNotAllowed": "its account may not use the partition",
    "InvalidQOS": "its QOS is not valid",
    "QOSNotAllowed": "its QOS may not be used here",
    "Reservation": "it waits for a reservation",
    "JobHeldAdmin": "an administrator holds it",
    "JobHeldUser": "it is held",
    "DependencyNeverSatisfied": "what it depends on has failed",
    "AssocMax": "it asks for more than its account allows",
    "AssocGrp": "its account has used what it may",
    "QOSMax": "it asks for more than its QOS allows",
    "QOSGrp": "its QOS is used up",
    "MaxMemPerLimit": "it asks for more memory than is allowed",
    "Licenses": "it waits for licenses",
}
"""Beginning of a reason of squeue -> what it means. These do not go away by other jobs' ends alone, or may not."""
_DRAINING = ("drain", "fail", "reboot")
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD")


class Slurm:
    """Runs workers as batch jobs."""

    most_s = 20.0

    def __init__(self, options: JobOptions) -> None:
        self._options = options
        self._name = ""
        self._unsure = False
        """True after sbatch had no answer: it may have submitted a job that nobody knows."""

    def open(self, name: str) -> None:
        """Cancel what an earlier run left in the queue."""
        require_programs(PROGRAMS)
        self._name = name
        try:
            _say("scancel", f"--user={os.getuid()}", f"--name={name}")
        except OSError as error:
            raise _no_answer(error, "squeue") from error

    def reach(self) -> str:
        """Return the address of this machine towards the first node of the cluster."""
        try:
            nodes = _say("sinfo", "--noheader", "--responding", "--Format=NodeAddr:128", *self.nodes()).split()
        except OSError as error:
            raise _no_answer(error, "sinfo") from error
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
        """Submit a worker; raises OSError with what sbatch says, QueueRefused when it is a refusal."""
        try:
            said = _say("sbatch", *self.arguments(job), stdin=self.script(job)).split()
        except _Refused as error:
            raise QueueRefused(str(error)) from error
        except QueueAway:
            self._unsure = True
            raise
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

    def withdrawn(self, nodes: Sequence[str]) -> Mapping[str, str]:
        """Ask which nodes are being drained: a job there may end, and none begins."""
        words = ("--noheader", "--Node", f"--nodes={','.join(nodes)}", "--Format=NodeList:128,StateLong:64")
        pairs = [line.split() for line in _say("sinfo", *words).splitlines()]
        states = {pair[0]: pair[1] for pair in pairs if len(pair) > 1}
        return {node: state for node, state in states.items() if any(word in state for word in _DRAINING)}

    def stuck(self, reason: str) -> str:
        """Return what a reason of squeue means that does not go away by itself."""
        return next((meaning for start, meaning in _STUCK.items() if reason.startswith(start)), "")

    def close(self) -> None:
        """Nothing is held open; a job that was submitted without anybody's knowledge is cancelled."""
        if self._unsure:
            with contextlib.suppress(OSError):
                _say("scancel", "--quiet", f"--user={os.getuid()}", f"--name={self._name}")


class _Refused(OSError):
    """A program of Slurm has had an answer: no."""


def _no_answer(error: OSError, program: str) -> AblateError:
    """The error of a run that cannot begin: an outage, or a Slurm that cannot be used from here."""
    hint = f"try {program}, and run the same command again when it answers"
    kind = OutageError if isinstance(error, QueueAway) else AblateError
    return kind(f"Slurm does not answer: {error}", hint=hint)


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
        raise QueueAway(f"{program} does not answer within {_ANSWER_S:g} s") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        away = any(words in said.lower() for words in _AWAY)
        raise (QueueAway if away else _Refused)(said if said.startswith(program) else f"{program}: {said}")
    return done.stdout
