#!/usr/bin/env bash
# optuna 4.2.0 and 5.0.0, NSGAIISampler on one SQLite study: continued with the newer release, evolution starts again.
#
# Expected by most: a study continued after an upgrade goes on where it was; the trials are all there and the database
# opens without a migration.
# Seen: the sampler finds the generation of a trial in a system attribute, whose name changed from nsga2:generation to
# NSGAIISampler:generation. 5.0.0 does not look at the old name, so trials of 4.2.0 have no generation: after two full
# generations the next trials are generation 0 again, that is random, and earlier results are no parents. 4.2.0 itself
# goes on with generation 2.
# What follows: finish an evolutionary search with the release that began it, or rename the attribute.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 4.2.0 5.0.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet "optuna==$version"
done
cat >"$work/go_on.py" <<'PY'
import sys
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
sampler = optuna.samplers.NSGAIISampler(population_size=4, seed=0)
study = optuna.create_study(storage=sys.argv[1], study_name="s", sampler=sampler, load_if_exists=True)
before = len(study.trials)
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=int(sys.argv[2]))
notes = [
    value
    for trial in study.trials[before:]
    for key, value in trial.system_attrs.items()
    if key.lower().startswith("nsga") and key.endswith("generation")
]
print(f"optuna {optuna.__version__}, after {before} trials: generations {notes}")
PY
"$work/4.2.0/bin/python" "$work/go_on.py" "sqlite:///$work/s.db" 8
cp "$work/s.db" "$work/same.db"
same=$("$work/4.2.0/bin/python" "$work/go_on.py" "sqlite:///$work/same.db" 2)
newer=$("$work/5.0.0/bin/python" "$work/go_on.py" "sqlite:///$work/s.db" 2)
printf '%s\n' "$same" "$newer"
[[ $same == *"generations [2, 2]" && $newer == *"generations [0, 0]" ]]
