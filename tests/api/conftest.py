"""Shared by the tests of the Python API: a folder with a core that only calculates."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import make_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a core of its own and a study that uses it."""
    make_project(tmp_path, monkeypatch)
    return tmp_path
