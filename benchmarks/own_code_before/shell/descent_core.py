import re
import subprocess
from pathlib import Path

from ablate import Core, CoreSettings, DivergedError, MetricInfo, Outcome, OutcomeKind

HERE = Path(__file__).parent


class Settings(CoreSettings):
    rate: float = 0.03
    momentum: float = 0.0
    steps: int = 60


class Descent(Core):
    name = "descent"
    Settings = Settings
    metrics = (MetricInfo("loss", direction="min", scale="log"),)

    def run(self, recipes, report):
        for recipe in recipes:
            s = Settings(**recipe.settings)
            command = ["./descent.sh", str(s.rate), str(s.momentum), str(s.steps), str(recipe.seed)]
            done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
            if done.returncode == 3:
                raise DivergedError("diverged", images_seen=0)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            loss = float(re.findall(r"loss ([0-9.e+-]+)", done.stdout)[-1])
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"loss": loss})
