"""What some options can be, and their defaults. Imports next to nothing: every command line begins here."""

from __future__ import annotations

from enum import StrEnum

from ablate.paths import DEFAULT_RESULTS

RESULTS = DEFAULT_RESULTS
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
