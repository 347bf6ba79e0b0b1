"""A bench for one trial of a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.command.trial_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a bench whose folders have names that a shell would take apart."""
    home, place = tmp_path / "it's a study", tmp_path / "trials" / "lr=0.1, a [trial]"
    home.mkdir()
    place.mkdir(parents=True)
    found = Bench(home, place)
    yield found
    found.close()
