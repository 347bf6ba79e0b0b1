"""What is scored: every task of the core, by the name that the factor ``task`` gives it."""

from __future__ import annotations

from ablate.core.tasks.base import Task
from ablate.core.tasks.generation import Generation
from ablate.core.tasks.restoration import Restoration

__all__ = ["TASKS", "Task"]

TASKS: dict[str, Task] = {
    "restoration": Restoration(),
    "generation": Generation(),
}
