#!/usr/bin/env bash
# torch 2.13.0, CPU: a Generator accepts a 64-bit seed and reports it back, but only its low 32 bits choose the stream.
#
# Expected by most: seeds that differ give different numbers; `initial_seed()` returns what was set, in full.
# Seen: seeds s and s + 2**32 (or s + 2**40) give the same numbers to the last bit, without a warning, while
# `initial_seed()` still tells them apart. NumPy's default_rng uses all the bits of its seed.
# What follows: hashing (run, purpose, step) to 63 bits and seeding torch with it leaves 32; with 300,000 streams a
# collision is all but certain (birthday bound: about 10 expected), and two of them then share every number.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.13.0" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PY'
import numpy as np
import torch


def draws(seed: int) -> list[float]:
    return torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()


low, high, higher = 5, 5 + 2**32, 5 + 2**40
print("torch", torch.__version__, "numpy", np.__version__)
print("initial_seed:", torch.Generator().manual_seed(high).initial_seed())
print("torch, equal streams:", draws(low) == draws(high) == draws(higher))
print("torch, next seed differs:", draws(low) != draws(low + 1))
print("numpy, equal streams:", bool((np.random.default_rng(low).random(4) == np.random.default_rng(high).random(4)).all()))
assert torch.Generator().manual_seed(high).initial_seed() == high
assert draws(low) == draws(high) == draws(higher)
assert draws(low) != draws(low + 1)
assert not (np.random.default_rng(low).random(4) == np.random.default_rng(high).random(4)).all()
PY
