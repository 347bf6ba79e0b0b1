"""What is scored: every task of the core, by the name that the factor ``task`` gives it.

Imports: the wings of core below, stages and methods.
"""

from __future__ import annotations

from ablate.core.ddpm_dip.tasks.base import Task
from ablate.core.ddpm_dip.tasks.generation import Generation
from ablate.core.ddpm_dip.tasks.restoration import Restoration

__all__ = ["TASKS", "Task"]

TASKS: dict[str, Task] = {
    "restoration": Restoration(),
    "generation": Generation(),
}
