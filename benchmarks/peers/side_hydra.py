"""Hydra: a multirun over all trials with the joblib launcher, two workers."""

from __future__ import annotations

import json
import sys

import hydra
from work import trial

durations = json.loads(sys.argv.pop(1))


@hydra.main(version_base=None, config_path=None)
def main(config: object) -> float:
    """Run one job."""
    number = int(config.i)  # type: ignore[attr-defined]  # Hydra's configuration object
    return trial(number, durations[number])


if __name__ == "__main__":
    numbers = ",".join(map(str, range(len(durations))))
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.pre_dispatch=2"]
    sys.argv += ["--multirun", f"+i={numbers}", *launcher]
    main()
