"""A study that is done, for tests of what its records hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.engine.conftest import Bench

TEXT = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 2\n"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "results"


@pytest.fixture
def done(bench: Bench, kept: Path) -> Bench:
    """A study that is done; it is run once for all tests of a file."""
    if kept.exists():
        bench.write(TEXT)
        shutil.copytree(kept, bench.results.folder)
    else:
        bench.run(TEXT)
        shutil.copytree(bench.results.folder, kept)
    return bench
