"""The reference pages say what the code says."""

from __future__ import annotations

import inspect
import re
from importlib import metadata
from pathlib import Path

import pytest

import ablate
from ablate.cli.reference.commands import commands
from ablate.cli.reference.markdown import meanings
from ablate.cli.reference.pages import PAGES
from ablate.cli.reference.python_api import attributes, public
from ablate.core.shared.registry import BUILT_IN, core_class
from ablate.errors import ExitCode
from ablate.study.factors import factors_of
from ablate.study.reading.drafts import TOP_LEVEL

ROOT = Path(__file__).parents[3]


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def pinned(name: str) -> str | None:
    """The version of a package that continuous integration installs."""
    match = re.search(rf"^{name}==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else None


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    """Write all of them again with: python -m ablate.cli.reference docs."""
    if name == "reference/cli.md" and metadata.version("typer") != pinned("typer"):
        pytest.skip("another typer lays its help out differently")
    assert text_of(name) == PAGES[name]()


def test_every_command_and_exit_code_is_on_the_page() -> None:
    text = text_of("reference/cli.md")
    assert [words for words in commands() if f"## {' '.join(('ablate', *words))}\n" not in text] == []
    assert [code for code in ExitCode if f"| {int(code)} |" not in text] == []


@pytest.mark.parametrize("core", BUILT_IN)
def test_every_factor_and_metric_of_a_core_has_a_row(core: str) -> None:
    factors, metrics = text_of("reference/factors.md"), text_of("reference/metrics.md")
    assert [name for name in factors_of(core_class(core).Settings) if f"\n| `{name}` |" not in factors] == []
    assert [info.name for info in core_class(core).metrics if f"\n| `{info.name}` |" not in metrics] == []


def test_every_key_of_a_study_file_has_a_row() -> None:
    text = text_of("reference/study-file.md")
    assert [key for key in TOP_LEVEL if f"\n| `{key}` |" not in text] == []


def test_every_figure_is_on_the_page_of_results() -> None:
    text = text_of("reference/results.md")
    sources = (ROOT / "ablate" / "report" / "figures").glob("*.py")
    names = {name for path in sources for name in re.findall(r'\bname="([a-z]+)', path.read_text(encoding="utf-8"))}
    assert len(names) > 5
    assert [name for name in names if not re.search(rf"`{name}[`-]", text)] == []


def test_every_public_name_is_described() -> None:
    text = text_of("reference/python-api.md")
    names = [name for name in ablate.__all__ if not name.startswith("__")]
    assert [name for name in names if f"\n## {name}\n" not in text] == []
    assert [name for name in names if not inspect.getdoc(public(name))] == []


def test_a_name_without_a_meaning_is_refused_and_so_is_a_meaning_without_a_name() -> None:
    assert meanings(["b", "a"], {"a": "first", "b": "second"}) == [("`b`", "second"), ("`a`", "first")]
    with pytest.raises(ValueError, match="new"):
        meanings(["a", "new"], {"a": "first"})
    with pytest.raises(ValueError, match="old"):
        meanings(["a"], {"a": "first", "old": "second"})


class Example:
    """Has attributes of every kind."""

    plain: int
    """What it is,
    in two lines."""
    given: str = "text"
    _hidden: int = 0


def test_attributes_come_with_their_text_and_default() -> None:
    assert list(attributes(Example)) == [
        ("plain", "int", "", "What it is, in two lines."),
        ("given", "str", "'text'", ""),
    ]
