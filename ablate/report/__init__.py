"""WHAT it means: statistics, verdicts, tables, figures. Never starts a trial, never imports torch.

`compare` works on anybody's results: a pandas table with one row per trial in, verdicts out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.report.comparing import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """Fetch `compare` at its first use: commands that only format text need neither pandas nor scipy."""
    if name in __all__:
        return getattr(import_module("ablate.report.comparing"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
