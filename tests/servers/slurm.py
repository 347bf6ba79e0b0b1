"""A Slurm of two virtual nodes on this machine, with its own munge, ports and folder."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.daemon import Daemon, folder_for, free_port, listens, program, wait_for

NODES = ("node1", "node2")
CPUS = 2
"""Of each node. They are more than the machine has: what runs here needs little."""
PARTITION = "main"
MINUTES = 60
"""The longest time that a job may ask for."""
_WITH_CGROUPS = 23
"""Slurm from this year on looks for control groups unless it is told that there are none."""
_CONFIGURATION = """\
ClusterName=ablate
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=200000
MpiDefault=none
ReturnToService=2
MessageTimeout=5
KillWait=5
{nodes}
PartitionName={partition} Nodes=ALL Default=YES MaxTime={minutes} State=UP
"""


@dataclass
class Cluster:
    """What runs, and how to disturb it."""

    folder: Path
    port: int
    controller: Daemon

    @property
    def configuration(self) -> Path:
        """What SLURM_CONF must name for Slurm's commands to find it."""
        return self.folder / "slurm.conf"

    def say(self, *words: str, check: bool = True) -> str:
        """Run one of Slurm's commands."""
        variables = {**os.environ, "SLURM_CONF": str(self.configuration)}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=variables)
        assert done.returncode == 0 or not check, f"{words[0]}: {done.stderr}"
        return done.stdout

    def lose_controller(self) -> None:
        """End the controller: jobs go on, and nobody answers.

        By SIGTERM, at which it saves what it knows: one that is killed forgets the jobs of its last seconds or more.
        """
        self.controller.end(signal.SIGTERM)

    def bring_controller(self) -> None:
        """Start it again; it takes up the state it had saved."""
        self.controller.start(lambda: listens(self.port) and "UP" in self.say("scontrol", "ping", check=False))

    def drain(self, node: str) -> None:
        """Let a node finish what it runs, and give it nothing new."""
        self.say("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")

    def states(self) -> dict[str, str]:
        """Return the state of every node."""
        return dict(line.split() for line in self.say("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def calm(self) -> None:
        """Cancel all jobs, bring back every node, and wait until nothing runs."""
        self.say("scancel", f"--user={os.getuid()}")
        wait_for(self._is_calm, lambda: True, self.controller.log)

    def _is_calm(self) -> bool:
        for node, state in self.states().items():
            if "drain" in state:
                self.say("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        return set(self.states().values()) == {"idle"} and not self.say("squeue", "-h")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a Slurm; skips the test where slurm-wlm and munge are not installed."""
    munged, slurmctld, slurmd = (program(name) for name in ("munged", "slurmctld", "slurmd"))
    program("sbatch")
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    folder, port = folder_for("slurm", None), free_port()
    started: list[Daemon] = []
    try:
        host = socket.gethostname().partition(".")[0]
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(256))
        (folder / "state").mkdir()
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs={CPUS}" for node in NODES
        )
        known = {"host": host, "port": port, "folder": folder, "user": user, "nodes": nodes, "minutes": MINUTES}
        known["partition"] = PARTITION
        configuration = folder / "slurm.conf"
        configuration.write_text(_CONFIGURATION.format(**known), encoding="ascii")
        said = subprocess.run([slurmctld, "-V"], capture_output=True, text=True, check=True).stdout
        if int(re.sub(r"\D*(\d+).*", r"\1", said, flags=re.DOTALL)) >= _WITH_CGROUPS:
            (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n", encoding="ascii")
        names = {name: f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")}
        socket_name = f"--socket={folder}/munge.socket"
        munge = Daemon([munged, "--foreground", "--force", socket_name, *names.values()], folder / "munge.out")
        started.append(munge)
        munge.start((folder / "munge.socket").exists)
        variables = {"SLURM_CONF": str(configuration)}
        controller = Daemon([slurmctld, "-D"], folder / "controller.log", variables=variables)
        found = Cluster(folder, port, controller)
        started.append(controller)
        found.bring_controller()
        for node in NODES:
            daemon = Daemon([slurmd, "-D", "-N", node], folder / f"{node}.log", variables=variables)
            started.append(daemon)
            daemon.start(lambda node=node: "idle" in found.say("sinfo", "-h", "-N", "-n", node, "-o", "%T"))  # type: ignore[misc]
        yield found
        found.calm()
    finally:
        for daemon in reversed(started):
            if daemon.process is not None:
                daemon.end()
        shutil.rmtree(folder, ignore_errors=True)


def skip_without_slurm() -> None:
    """Skip the test where Slurm is not installed."""
    if shutil.which("sbatch") is None:
        pytest.skip("slurm-wlm is not installed here")
