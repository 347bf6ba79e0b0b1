"""Ray Tune: a grid search on two CPUs, actors reused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import ray
from ray import tune

here = str(Path(__file__).parent)
durations = json.loads(sys.argv[1])
environment = {"PYTHONPATH": here, "TRIALS": os.environ["TRIALS"]}
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment})


def objective(config: dict[str, int]) -> None:
    """Run one cell of the grid."""
    from work import trial

    tune.report({"score": trial(config["i"], durations[config["i"]])})


tune.Tuner(
    objective,
    param_space={"i": tune.grid_search(list(range(len(durations))))},
    tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=2),
    run_config=tune.RunConfig(verbose=0, storage_path=str(Path.cwd() / "ray")),
).fit()
ray.shutdown()
