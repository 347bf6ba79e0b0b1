"""docs/cli.md says what the commands say."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from ablate.cli.cli_reference import commands, reference
from ablate.errors import ExitCode

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cli.md"


def pinned(name: str) -> str | None:
    """The version of a package that continuous integration installs."""
    match = re.search(rf"^{name}==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else None


@pytest.mark.skipif(metadata.version("typer") != pinned("typer"), reason="another typer lays its help out differently")
def test_the_page_is_current() -> None:
    """Write it again with: python -m ablate.cli.cli_reference docs/cli.md."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_command_and_exit_code_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [words for words in commands() if f"## {' '.join(('ablate', *words))}\n" not in text] == []
    assert [code for code in ExitCode if f"| {int(code)} |" not in text] == []
