"""WHAT it means: statistics, verdicts, tables, figures. Never starts a trial, never imports torch.

`compare` works on anybody's results: a pandas table with one row per trial in, verdicts out.

Imports: study, storage, and the schedules and settings of core. Between its wings, only from later to earlier:
statistics, data, text, formats, figures, html.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.report.statistics.compare import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Fetch `compare` at its first use: commands that only format text need neither pandas nor scipy."""
    if name in __all__:
        return getattr(import_module("ablate.report.statistics.compare"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _CallableRoom(ModuleType):
    """This module, which `ablate.report(...)` calls: Python gives the package's attribute to its submodule."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Write the report of a study; see `ablate.api.front_door.report`."""
        return import_module("ablate.api.front_door").report(*arguments, **options)


sys.modules[__name__].__class__ = _CallableRoom
