"""What some options can be, and their defaults. Imports nothing: every command line begins here."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

RESULTS = Path("results")
"""Where results go unless something else is said."""


class Until(StrEnum):
    """What ``--until`` can wait for."""

    DECIDED = "decided"


class Launchers(StrEnum):
    """What ``--launcher`` can name."""

    LOCAL = "local"
    SLURM = "slurm"
    SRUN = "srun"
    RAY = "ray"
