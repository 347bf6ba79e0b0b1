import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind

HERE = Path(__file__).parent


class Settings(CoreSettings):
    width: int = 50
    ridge: float = 0.001
    scales: Literal["1,4", "1", "16"] = "1,4"  # a list cannot be a factor
    standardise: bool = True


class Waves(Core):
    name = "waves"
    Settings = Settings
    metrics = (MetricInfo("rmse", direction="min", scale="log"),)

    def run(self, recipes, report):
        for recipe in recipes:
            s = Settings(**recipe.settings)
            out = report.folder(recipe).absolute() / "files"
            command = [sys.executable, "app.py", f"model.width={s.width}", f"model.ridge={s.ridge}"]
            command += [f"model.scales=[{s.scales}]", f"standardise={s.standardise}", f"seed={recipe.seed}"]
            done = subprocess.run([*command, f"hydra.run.dir='{out}'"], cwd=HERE, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            rmse = json.loads((out / "metrics.json").read_text())["test"]["rmse"]
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"rmse": rmse})
