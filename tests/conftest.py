"""What holds for every test: one thread per process, as in a worker, set before anything imports torch."""

from __future__ import annotations

import os

from hypothesis import settings

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    # Two threads on a busy two-core machine are many times slower than one, and the test suite starts processes too.
    os.environ.setdefault(name, "1")

# A deadline per example is a timing, and fails on a busy machine.
settings.register_profile("ablate", deadline=None)
settings.load_profile("ablate")
