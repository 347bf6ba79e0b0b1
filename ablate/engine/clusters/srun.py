"""An allocation of Slurm that ablate runs in: workers as its job steps, started by srun."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from ablate.engine.clusters.job_launcher import exit_words
from ablate.engine.clusters.remote_worker import Job, JobStanding
from ablate.engine.clusters.slurm import Slurm, require_programs, worker_words
from ablate.engine.workers.local_process import End
from ablate.errors import AblateError

_LEAVE_S = 5.0
WITH_SETUP = ("/bin/bash", "-lc", '. "$0" && exec "$@"')
"""Reads the file that follows, then becomes the command that follows it."""


class Steps(Slurm):
    """Runs workers as steps of the allocation, on any of its nodes. A step waits until the allocation has room."""

    most_s = 5.0

    def open(self, name: str) -> None:
        """Find out that there is an allocation. Steps of an earlier run have ended with their connections."""
        require_programs(("srun", "sinfo"))
        if "SLURM_JOB_ID" not in os.environ:
            raise AblateError(
                "this is not inside a Slurm allocation",
                hint="reserve one with salloc or sbatch, or let ablate submit jobs: --launcher slurm",
            )
        self._steps: dict[str, subprocess.Popen[bytes]] = {}

    def nodes(self) -> list[str]:
        """Return what tells sinfo which nodes workers may run on: those of the allocation."""
        found = os.environ.get("SLURM_JOB_NODELIST", "")
        return [f"--nodes={found}"] if found else []

    def submit(self, job: Job) -> str:
        """Start srun, which waits until the step can run."""
        setup = self._options.setup
        words = worker_words(job) if setup is None else [*WITH_SETUP, str(setup), *worker_words(job)]
        with job.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - fixed program, checked words, no shell
                ["srun", *self.step_options(), *words],  # noqa: S607 - as a user would call it
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **job.variables},
                start_new_session=True,
            )
        name = f"srun-{process.pid}"
        self._steps[name] = process
        return name

    def step_options(self) -> list[str]:
        """Return what srun is told: a step takes its share of the allocation, and nothing else."""
        named = {"ntasks": "1", "nodes": "1", "job-name": "ablate", **self._options.slurm()}
        words = [f"--{option}={value}" if value else f"--{option}" for option, value in named.items()]
        return ["--exact", "--unbuffered", *words]

    def look(self, jobs: Sequence[str]) -> Mapping[str, JobStanding]:
        """Look which steps are over. One that runs is known by its worker, which connects at once."""
        codes = {job: self._steps[job].poll() for job in jobs}
        return {
            job: JobStanding(waiting="for room in the allocation")
            if code is None
            else JobStanding(end=End(f"ended: {exit_words(code)}"))
            for job, code in codes.items()
        }

    def cancel(self, jobs: Sequence[str]) -> None:
        """End steps: srun passes the signal on, and a worker ends with its connection."""
        for job in jobs:
            self._steps[job].terminate()

    def withdrawn(self, nodes: Sequence[str]) -> Mapping[str, str]:
        """The nodes of an allocation stay its own until it ends, also while they are being drained."""
        return {}

    def stuck(self, reason: str) -> str:
        """A step waits for the allocation to have room, which other steps make."""
        return ""

    def close(self) -> None:
        """Wait for every srun; one that does not leave is killed."""
        for process in self._steps.values():
            try:
                process.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
