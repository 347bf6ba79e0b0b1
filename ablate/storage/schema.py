"""The one version of Optuna's tables that this room reads and writes, and what to do about a storage of another one."""

from __future__ import annotations

import shlex
from typing import Final

from ablate.errors import StorageError

REVISION: Final = "v3.2.0.a"
"""Alembic's name for the tables as Optuna 3.2 to 5.0 make them."""
OLDER: Final = (
    *("v0.9.0.a", "v1.2.0.a", "v1.3.0.a", "v2.4.0.a", "v2.6.0.a", "v3.0.0.a", "v3.0.0.b", "v3.0.0.c", "v3.0.0.d"),
)
"""Revisions that Optuna can bring up to date, oldest first."""
FIRST_WITH_REVISIONS: Final = 12
"""Number in ``version_info`` since which alembic tells the version."""
TABLES: Final = frozenset(
    {
        "alembic_version",
        "studies",
        "study_directions",
        "study_system_attributes",
        "study_user_attributes",
        "trial_heartbeats",
        "trial_intermediate_values",
        "trial_params",
        "trial_system_attributes",
        "trial_user_attributes",
        "trial_values",
        "trials",
        "version_info",
    }
)


def check_revision(revision: str, where: str) -> None:
    """Raise StorageError unless `revision` is the one we know; `where` is the storage as messages show it."""
    if revision != REVISION:
        raise of_older_optuna(where) if revision in OLDER else of_newer_optuna(where)


def of_older_optuna(where: str) -> StorageError:
    """Return the error for tables that Optuna can bring up to date."""
    url = where if "://" in where else f"sqlite:///{where}"
    return StorageError(
        f"{where} was written by an older Optuna, whose tables are different",
        hint=f"make a copy, then bring it up to date: optuna storage upgrade --storage {shlex.quote(url)}\n"
        "or choose another storage with --storage or --results",
    )


def of_newer_optuna(where: str) -> StorageError:
    """Return the error for tables that this Optuna does not know."""
    return StorageError(
        f"{where} was written by a newer Optuna, whose tables are different",
        hint="pip install -U ablate, or choose another storage with --storage or --results",
    )
