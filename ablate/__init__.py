"""ablate: ablation studies that hold up.

A study is planned into recipes; the engine places recipes on slots; a core turns recipes into outcomes;
storage remembers outcomes; the report turns outcomes into verdicts.

Importing this package is cheap: it pulls in neither torch nor optuna nor pandas.
"""

from ablate.interface import Core, CoreSettings, MetricInfo, Report, Stage
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe

__version__ = "0.1.0"

__all__ = [
    "Core",
    "CoreSettings",
    "MetricInfo",
    "Outcome",
    "OutcomeKind",
    "Recipe",
    "Report",
    "Stage",
    "__version__",
]
