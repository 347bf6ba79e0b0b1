"""WHAT it means: statistics, verdicts, tables, figures. Never starts a trial, never imports torch.

`compare` works on anybody's results: a pandas table with one row per trial in, verdicts out.

Imports: study, storage, and the schedules and settings of core. Between its wings, only from later to earlier:
statistics, data, text, formats, figures, html.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.report.statistics.compare import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Fetch `compare` at its first use: commands that only format text need neither pandas nor scipy."""
    if name in __all__:
        return getattr(import_module("ablate.report.statistics.compare"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
