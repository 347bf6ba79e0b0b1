import os
import re
import subprocess
import sys
from pathlib import Path

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind

HERE = Path(__file__).parent


class Settings(CoreSettings):
    lr: float = 0.01
    epochs: int = 60
    hidden: int = 16
    decay: float = 0.0
    adam: bool = True


class Moons(Core):
    name = "moons"
    Settings = Settings
    metrics = (MetricInfo("accuracy", direction="max"),)

    def run(self, recipes, report):
        for recipe in recipes:
            s = Settings(**recipe.settings)
            out = report.folder(recipe) / "files"
            command = [sys.executable, "train.py", f"--lr={s.lr}", f"--epochs={s.epochs}", f"--hidden={s.hidden}"]
            command += [f"--decay={s.decay}", f"--seed={recipe.seed}", f"--out={out.absolute()}"]
            command += ["--adam"] if s.adam else []
            done = subprocess.run(command, cwd=HERE, env=os.environ, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            match = re.search(r"test accuracy: (.*)", done.stdout)
            if match is None:
                raise RuntimeError("no accuracy in the output")
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"accuracy": float(match[1])})
