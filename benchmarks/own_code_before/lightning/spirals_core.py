import csv
import subprocess
import sys
from pathlib import Path
from typing import Literal

from ablate import Core, CoreSettings, MetricInfo, Outcome, OutcomeKind

HERE = Path(__file__).parent


class Settings(CoreSettings):
    lr: float = 0.01
    width: int = 32
    dropout: float = 0.0
    optimizer: Literal["adam", "sgd"] = "adam"


class Spirals(Core):
    name = "spirals"
    Settings = Settings
    metrics = (MetricInfo("accuracy", direction="max"),)

    def run(self, recipes, report):
        for recipe in recipes:
            s = Settings(**recipe.settings)
            out = report.folder(recipe).absolute() / "files"
            command = [sys.executable, "train.py", f"--lr={s.lr}", f"--width={s.width}", f"--dropout={s.dropout}"]
            command += [f"--optimizer={s.optimizer}", f"--seed={recipe.seed}", f"--out={out}"]
            done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            with (out / "metrics.csv").open() as file:
                rows = list(csv.DictReader(file))
            points = {int(row["epoch"]) + 1: float(row["val_acc"]) for row in rows if row["val_acc"]}
            for epoch, accuracy in points.items():
                report.curve(recipe, epoch, accuracy=accuracy)
            accuracy = next(float(row["test_acc"]) for row in reversed(rows) if row["test_acc"])
            yield recipe, Outcome(OutcomeKind.MEASURED, recipe.digest, metrics={"accuracy": accuracy})
