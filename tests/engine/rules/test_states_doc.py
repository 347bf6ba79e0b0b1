"""docs/states.md says what the tables say."""

from __future__ import annotations

from pathlib import Path

from ablate.engine.rules.states_doc import page


def test_the_page_is_current() -> None:
    """Write it anew with ``python -m ablate.engine.rules.states_doc > docs/states.md``."""
    written = Path(__file__).parents[3] / "docs" / "states.md"
    assert written.read_text(encoding="utf-8") == page()
