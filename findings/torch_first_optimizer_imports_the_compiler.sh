#!/usr/bin/env bash
# torch 2.14.1, CPU: making the first optimizer of a process imports torch._dynamo, torch._inductor and sympy: some 900
# modules, some 150 MB and a second or more, though nothing is compiled.
#
# Expected by most: `import torch` is the expensive part; torch.optim.SGD([weight], lr=0.1) then only makes a Python object.
# Seen: the constructor decides whether its step may be traced, and asks a module that imports the whole compiler. `import
# torch`, a network, its forward and its backward pass do not need it; the second optimizer costs nothing.
# What follows: a timed first update, a start-up budget or "the memory of a worker" contains the compiler; a process that
# others are forked from should make an optimizer before it forks, or every child pays for it again.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.14.1 numpy
"$work/venv/bin/python" - <<'PY'
import resource
import sys
import time

import torch

COMPILER = ("torch._dynamo", "torch._inductor", "sympy")


def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def made():
    """An optimizer of one weight: modules imported, seconds and megabytes."""
    modules, began, memory = len(sys.modules), time.perf_counter(), megabytes()
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    return len(sys.modules) - modules, time.perf_counter() - began, megabytes() - memory


network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 3))
network(torch.randn(2, 3, 16, 16)).square().mean().backward()
before = [name for name in COMPILER if name in sys.modules]
first, second = made(), made()
after = [name for name in COMPILER if name in sys.modules]

print("torch", torch.__version__)
print("after a forward and a backward pass, of the compiler:", before or "nothing")
print(f"first optimizer: {first[0]} modules, {first[1]:.2f} s, {first[2]:.0f} MB; now here: {after}")
print(f"second optimizer: {second[0]} modules, {second[1]:.4f} s")
assert not before, "the compiler is imported earlier now"
assert after == list(COMPILER), "the first optimizer no longer imports the compiler"
assert first[0] > 400 and second[0] == 0, "the number of modules has changed"
PY
