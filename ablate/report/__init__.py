"""WHAT it means: statistics, verdicts, tables, figures. Never starts a trial, never imports torch.

``ablate.report(study)`` writes the report of a study and ``ablate.report(source="csv:runs.csv")`` one of any other
results; the function is `ablate.api.front_door.report`, and ``inspect.signature(ablate.report)`` is its signature.
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
    from inspect import Signature

    from ablate.report.statistics.compare import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Fetch `compare` at its first use: commands that only format text need neither pandas nor scipy."""
    if name in __all__:
        return getattr(import_module("ablate.report.statistics.compare"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _CallableRoom(ModuleType):
    """This module, which `ablate.report(...)` calls: Python gives the package's attribute to its submodule."""

    @property
    def __signature__(self) -> Signature:
        """What it is called with."""
        import inspect

        return inspect.signature(import_module("ablate.api.front_door").report)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Write the report of a study; see `ablate.api.front_door.report`."""
        return import_module("ablate.api.front_door").report(*arguments, **options)


sys.modules[__name__].__class__ = _CallableRoom
