#!/usr/bin/env bash
# wandb 0.31.0, offline mode: run.finish() returns before the end of the run is in its file.
#
# Expected by most: once finish() has returned, the .wandb file is complete: it can be copied, synced or read back.
# Seen: in a third to a half of all short runs the file still grows afterwards; what comes late are the last records, the exit
# record among them. A moment later, or after wandb.teardown(), every file is whole.
# What follows: a script that uploads or reads the run's folder right after finish() gets runs that look crashed. Call
# wandb.teardown() first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet wandb==0.31.0
cd "$work"
WANDB_MODE=offline WANDB_SILENT=true WANDB_ERROR_REPORTING=false "$work/venv/bin/python" - <<'PY'
import os
from pathlib import Path

import wandb

quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True, x_save_requirements=False)
sizes = {}
for number in range(40):
    run = wandb.init(project="p", dir="runs", id=f"run{number}", reinit="create_new", settings=quiet)
    run.log({"loss": 1.0})
    folder = Path(run.dir).parent
    run.finish()
    (file,) = folder.glob("*.wandb")
    sizes[file] = file.stat().st_size
wandb.teardown()
grown = [file.stat().st_size - size for file, size in sizes.items() if file.stat().st_size > size]
print(f"wandb {wandb.__version__}: {len(grown)} of {len(sizes)} files grew after finish(), by {min(grown, default=0)} bytes or more")
assert grown, "the behaviour changed"
PY
