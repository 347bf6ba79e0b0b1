"""docs/states.md says what the tables say."""

from __future__ import annotations

from pathlib import Path

from ablate.engine.states_page import page


def test_the_page_is_current() -> None:
    """Write it anew with ``python -m ablate.engine.states_page > docs/states.md``."""
    written = Path(__file__).parents[2] / "docs" / "states.md"
    assert written.read_text(encoding="utf-8") == page()
