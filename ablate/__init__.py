"""ablate: ablation studies that hold up.

A study is planned into recipes; the engine places recipes on slots; a core turns recipes into outcomes;
storage remembers outcomes; the report turns outcomes into verdicts.

    import ablate

    results = ablate.run("studies/schedules.yaml")
    results.verdicts
    ablate.report(results)

Importing this package is cheap: it pulls in neither torch nor optuna nor pandas, and the rest only when a name that
needs it is used, because every `ablate` command line begins with this import.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` would be most of what this import costs
if TYPE_CHECKING:
    from typing import Any

    from ablate.api.front_door import compare, load, plan, report, run
    from ablate.api.plan_view import StudyPlan
    from ablate.api.study_results import StudyResults, WrittenReport
    from ablate.api.study_source import StudyDefinition
    from ablate.core.functions.core import function_core
    from ablate.core.functions.trial import Trial
    from ablate.errors import (
        AblateError,
        DataError,
        DivergedError,
        NothingComparableError,
        ResultsError,
        StoppedError,
        StorageError,
        StudyChangedError,
        StudyFileError,
        StudyLockedError,
        TableError,
    )
    from ablate.interface import Core, CoreSettings, MetricInfo, Stage, TrialContext
    from ablate.outcome import Outcome, OutcomeKind
    from ablate.recipe import Recipe
    from ablate.report.statistics.model import Comparison, Verdict

__version__ = "0.1.0"

__all__ = [
    "AblateError",
    "Comparison",
    "Core",
    "CoreSettings",
    "DataError",
    "DivergedError",
    "MetricInfo",
    "NothingComparableError",
    "Outcome",
    "OutcomeKind",
    "Recipe",
    "ResultsError",
    "Stage",
    "StoppedError",
    "StorageError",
    "StudyChangedError",
    "StudyDefinition",
    "StudyFileError",
    "StudyLockedError",
    "StudyPlan",
    "StudyResults",
    "TableError",
    "Trial",
    "TrialContext",
    "Verdict",
    "WrittenReport",
    "__version__",
    "compare",
    "function_core",
    "load",
    "plan",
    "report",
    "run",
]

_HOMES = {
    "ablate.errors": (
        "AblateError",
        "DataError",
        "DivergedError",
        "NothingComparableError",
        "ResultsError",
        "StoppedError",
        "StorageError",
        "StudyChangedError",
        "StudyFileError",
        "StudyLockedError",
        "TableError",
    ),
    "ablate.outcome": ("Outcome", "OutcomeKind"),
    "ablate.recipe": ("Recipe",),
    "ablate.api.front_door": ("compare", "load", "plan", "run"),
    "ablate.api.plan_view": ("StudyPlan",),
    "ablate.api.study_results": ("StudyResults", "WrittenReport"),
    "ablate.api.study_source": ("StudyDefinition",),
    "ablate.core.functions.core": ("function_core",),
    "ablate.core.functions.trial": ("Trial",),
    "ablate.interface": ("Core", "CoreSettings", "MetricInfo", "Stage", "TrialContext"),
    "ablate.report.statistics.model": ("Comparison", "Verdict"),
}
"""Module -> the public names in it, each fetched at its first use."""


def __getattr__(name: str) -> Any:
    """Fetch a public name at its first use.

    `ablate.report` is both the function and the room of that name: the module, which can be called.
    """
    from importlib import import_module

    if name == "report":
        return import_module("ablate.report")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
