"""Where a command line wants its workers: slots of this machine, or jobs of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.api.choices import Launchers
from ablate.errors import AblateError

if TYPE_CHECKING:
    from ablate.engine.clusters.job_launcher import JobQueue
    from ablate.engine.clusters.job_options import JobOptions
    from ablate.engine.workers.launcher_api import Launcher
    from ablate.engine.workers.slots import Slot

_JOBS = 4
"""Jobs at the same time when nobody says how many."""


@dataclass(frozen=True)
class LaunchOptions:
    """The words of a command line that say where workers run."""

    launcher: Launchers = Launchers.LOCAL
    job: tuple[str, ...] = ()
    listen: str | None = None
    gpus: str | None = None
    slots: int | None = None

    def words(self) -> dict[str, Sequence[str]]:
        """Return option -> its values, for the command line that says the same."""
        launcher = None if self.launcher is Launchers.LOCAL else self.launcher.value
        singles = {"--launcher": launcher, "--gpus": self.gpus, "--slots": self.slots, "--listen": self.listen}
        named = {option: (str(one),) for option, one in singles.items() if one is not None}
        return {**named, "--job": self.job}

    def places(self) -> tuple[Slot, ...]:
        """Return the slots; raises AblateError for what does not go together, or is not there."""
        from ablate.engine.workers.slots import cluster_slots, find_slots

        options = self._options()
        if options is None:
            return find_slots(gpus=self.gpus, slots=self.slots)
        kind = self.launcher.value
        return cluster_slots(self.slots or _JOBS, kind=kind, gpu=options.has_gpu, threads=options.cpus)

    def start(self, *, max_outage_s: float) -> Launcher:
        """Return what starts workers there; raises AblateError when that is not possible from here.

        `max_outage_s` is how long a cluster may be away, in seconds.
        """
        from ablate.engine.clusters.job_launcher import ClusterLauncher, parse_listen
        from ablate.engine.clusters.ray_tasks import RayTasks
        from ablate.engine.clusters.slurm import Slurm
        from ablate.engine.clusters.srun import Steps
        from ablate.engine.workers.launcher_api import LocalLauncher

        options = self._options()
        if options is None:
            return LocalLauncher()
        queues: dict[Launchers, Callable[[JobOptions], JobQueue]] = {
            Launchers.SLURM: Slurm,
            Launchers.SRUN: Steps,
            Launchers.RAY: RayTasks,
        }
        queue = queues[self.launcher](options)
        return ClusterLauncher(queue, parse_listen(self.listen), max_outage_s=max_outage_s)

    def _options(self) -> JobOptions | None:
        """What jobs get; None on this machine."""
        from ablate.engine.clusters.job_launcher import parse_listen
        from ablate.engine.clusters.job_options import parse_job

        if self.launcher is Launchers.LOCAL:
            for option, given in (("--job", self.job), ("--listen", self.listen)):
                if given:
                    hint = "add --launcher slurm or ray, or leave it out"
                    raise AblateError(f"{option} is for jobs of a cluster", hint=hint)
            return None
        parse_listen(self.listen)
        if self.gpus is not None:
            raise AblateError("--gpus picks GPUs of this machine", hint="say what a job gets: --job gpus=1")
        return parse_job(self.job, self.launcher.value)


HERE = LaunchOptions()
"""All that this machine has."""
