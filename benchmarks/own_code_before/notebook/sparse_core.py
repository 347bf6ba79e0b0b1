from recover import recover  # the notebook's function, copied into a file: workers cannot import a notebook

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind


class Settings(CoreSettings):
    penalty: float = 0.02
    steps: int = 100
    momentum: bool = True


class Sparse(Core):
    name = "sparse"
    Settings = Settings
    metrics = (MetricInfo("error", direction="min"),)

    def run(self, recipes, report):
        for recipe in recipes:
            found = recover(**recipe.settings, seed=recipe.seed)
            metrics = {"error": float(found["error"])}
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=metrics)
