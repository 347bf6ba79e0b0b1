#!/usr/bin/env bash
# optuna 4.9.0 and 5.0.0, SQLite storage: trial times change their meaning between the two, and nothing tells them apart.
#
# Expected by most: a database with the same schema revision holds the same kind of times, whichever version wrote them.
# Seen: 4.9.0 stores datetime_start and datetime_complete as naive local time, 5.0.0 as naive UTC, and 5.0.0 converts
# what it reads from UTC to local time. The alembic revision is the same (v3.2.0.a), so `optuna storage upgrade` has
# nothing to do. In a zone of +9 hours, trials of 4.9.0 appear nine hours in the future once 5.0.0 reads them.
# What follows: durations stay right, but times of a study that both versions ran must not be compared or sorted.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TZ=Asia/Tokyo
for version in 4.9.0 5.0.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet "optuna==$version"
done
cat >"$work/make.py" <<'PY'
import sys
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage=sys.argv[1], study_name="s")
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
PY
cat >"$work/read.py" <<'PY'
import datetime
import sys
import optuna

trial = optuna.load_study(study_name="s", storage=sys.argv[1]).trials[0]
hours = (trial.datetime_start - datetime.datetime.now()).total_seconds() / 3600
print(f"{optuna.__version__} reads a start {hours:+.1f} hours from now")
PY
"$work/4.9.0/bin/python" "$work/make.py" "sqlite:///$work/old.db"
"$work/5.0.0/bin/python" "$work/make.py" "sqlite:///$work/new.db"
python3 - "$work" <<'PY'
import sqlite3
import sys

for name in ("old", "new"):
    connection = sqlite3.connect(f"{sys.argv[1]}/{name}.db")
    print(name, connection.execute("select version_num from alembic_version").fetchone(),
          connection.execute("select datetime_start from trials").fetchone())
PY
own=$("$work/4.9.0/bin/python" "$work/read.py" "sqlite:///$work/old.db")
later=$("$work/5.0.0/bin/python" "$work/read.py" "sqlite:///$work/old.db")
fresh=$("$work/5.0.0/bin/python" "$work/read.py" "sqlite:///$work/new.db")
printf '%s\n' "$own" "$later" "$fresh"
[[ $own == *" -0.0 hours"* && $fresh == *" -0.0 hours"* && $later == *"+9.0 hours"* ]]
