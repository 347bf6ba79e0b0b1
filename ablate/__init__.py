"""ablate: ablation studies that hold up.

A study is planned into recipes; the engine places recipes on slots; a core turns recipes into outcomes;
storage remembers outcomes; the report turns outcomes into verdicts.

Importing this package is cheap: it pulls in neither torch nor optuna nor pandas, and pydantic only when a name that
needs it is used, because every `ablate` command line begins with this import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ablate.errors import DivergedError, StoppedError
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe

if TYPE_CHECKING:
    from ablate.interface import Core, CoreSettings, MetricInfo, Stage, TrialContext

__version__ = "0.1.0"

__all__ = [
    "Core",
    "CoreSettings",
    "DivergedError",
    "MetricInfo",
    "Outcome",
    "OutcomeKind",
    "Recipe",
    "Stage",
    "StoppedError",
    "TrialContext",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Fetch the names of the core interface at their first use."""
    if name in __all__:
        return getattr(import_module("ablate.interface"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
