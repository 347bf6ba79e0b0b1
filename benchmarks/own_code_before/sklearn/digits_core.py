from typing import Literal

from train import train

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class Settings(CoreSettings):
    kernel: Literal["rbf", "linear", "poly"] = "rbf"
    penalty: float = 1.0
    standardise: bool = False
    examples: int = 300


class Digits(Core):
    name = "digits"
    Settings = Settings
    metrics = (MetricInfo("accuracy", direction="max"),)

    def run(self, recipes, report):
        for recipe in recipes:
            found = train(**recipe.settings, seed=recipe.seed)
            metrics = {name: float(value) for name, value in found.items()}
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=metrics)
