"""A Slurm that tests can take away, fill and drain, made of scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.engine.clusters.job_launcher import ClusterLauncher, Listen
from ablate.engine.clusters.job_options import JobOptions
from ablate.engine.clusters.slurm import Slurm
from tests.engine import fake_slurm
from tests.engine.conftest import wait_until_gone


@dataclass
class FakeSlurm:
    """The folder that the programs of `fake_slurm` keep their jobs in."""

    root: Path

    def hold(self) -> None:
        (self.root / "hold").touch()

    def release(self) -> None:
        """Begin what waits."""
        (self.root / "hold").unlink(missing_ok=True)
        for job in self.jobs:
            if fake_slurm.state_of(job).startswith("PENDING"):
                subprocess.run([sys.executable, fake_slurm.__file__, "begin", str(job)], check=True)

    @property
    def jobs(self) -> list[Path]:
        return sorted(path for path in self.root.iterdir() if path.name.isdecimal())

    def states(self) -> list[str]:
        return [fake_slurm.state_of(job).split()[0] for job in self.jobs]

    def pids(self, *, running: bool = False) -> list[int]:
        """Return the processes of jobs: of all that were started, or of those that run."""
        jobs = [job for job in self.jobs if not running or fake_slurm.state_of(job).startswith("RUNNING")]
        return [int((job / "pid").read_text()) for job in jobs if (job / "pid").exists()]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    """Put a Slurm on PATH; at the end nothing of it may be alive."""
    root = tmp_path / "fake slurm"
    root.mkdir()
    fake_slurm.install(root / "bin")
    monkeypatch.setenv("FAKE_SLURM", str(root))
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    found = FakeSlurm(root)
    yield found
    assert all(wait_until_gone(pid) for pid in found.pids())


def slurm_launcher() -> ClusterLauncher:
    return ClusterLauncher(Slurm(JobOptions()), Listen())
