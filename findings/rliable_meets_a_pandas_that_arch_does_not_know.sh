#!/usr/bin/env bash
# rliable 1.2.0, arch 7.2.0, pandas 3.1.1: all three install without a complaint, and `import rliable.library` fails.
#
# Expected by most: rliable needs NumPy arrays and a bootstrap; what pip resolves as compatible can be imported.
# Seen: rliable takes its bootstrap from arch; arch decorates functions with an internal helper of pandas
# (`deprecate_kwarg`), whose signature changed in pandas 3; the import ends in a TypeError. arch 7.2.0 states a lower
# bound for pandas and no upper one, so a resolver cannot know. With pandas 2.2.3 the same packages work.
# What follows: interquartile means and their intervals are out of reach in an environment with pandas 3, although
# neither rliable nor its caller uses pandas there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "rliable==1.2.0" "arch==7.2.0" "pandas==3.1.1"
"$work/venv/bin/pip" check
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import requires, version

print({name: version(name) for name in ("rliable", "arch", "pandas")})
print("arch asks for:", [need for need in requires("arch") or [] if need.startswith("pandas")])
try:
    import rliable.library  # noqa: F401
except TypeError as error:
    print("import rliable.library: TypeError:", error)
    assert "deprecate_kwarg" in str(error)
else:
    raise AssertionError("imported")
PY
"$work/venv/bin/pip" install --quiet "pandas==2.2.3"
"$work/venv/bin/python" -W ignore -c 'import rliable.library; print("with pandas 2.2.3: imported")'
