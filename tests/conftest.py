"""What holds for every test: one thread per process, as in a worker, set before anything imports torch; and the same
numbers from torch's global generator whatever ran before, since pytest-randomly seeds Python's and NumPy's alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    # Two threads on a busy two-core machine are many times slower than one, and the test suite starts processes too.
    os.environ.setdefault(name, "1")

# A deadline per example is a timing, and fails on a busy machine.
settings.register_profile("ablate", deadline=None)
settings.load_profile("ablate")


@pytest.fixture(autouse=True)
def same_numbers_in_any_order() -> None:
    """Seed torch where it is imported: most tests need no torch and would wait a second for it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_module_of_another_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget what this test imported from a temporary folder, and where it looked: many tests write a ``train.py``."""
    path, before = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    temporary = f"{tmp_path_factory.getbasetemp()}{os.sep}"
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(temporary):
            del sys.modules[name]
