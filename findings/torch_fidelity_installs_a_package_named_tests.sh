#!/usr/bin/env bash
# torch-fidelity 0.4.0: the wheel installs its own test suite as the top-level package `tests`, which hides a project's.
#
# Expected by most: installing an FID package adds torch_fidelity, and `import tests.helpers` in a project folder finds the
# project's own tests/helpers.py, since the current folder comes first on the path.
# Seen: site-packages gets tests/__init__.py. A project's tests folder without an __init__.py is a namespace package, and a
# regular package anywhere on the path wins over it, so `import tests.helpers` fails. 0.3.0 does not install it.
# What follows: the same checkout passes or fails by what else is in the environment; an __init__.py in tests/ avoids it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/project/tests"
echo 'VALUE = "the project"' >"$work/project/tests/helpers.py"
cd "$work/project"
said=""
for version in 0.3.0 0.4.0; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet --no-deps "torch-fidelity==$version"
  found=$("$work/$version/bin/python" -c "import tests.helpers as h; print(h.VALUE)" 2>&1 | tail -n 1) || true
  echo "torch-fidelity $version: $found"
  said+="$found;"
done
[[ $said == "the project;ModuleNotFoundError: No module named 'tests.helpers';" ]]
