"""The hooks of the documentation's site: links that leave docs/, and parts that would come from other hosts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[words](../explanation/concepts.md#words-one-meaning-each)",) * 2,
        ("[web](https://example.org/a.md)",) * 2,
        ("[how](../../CONTRIBUTING.md)", "[how](../project/contributing.md)"),
        ("[why](../decisions)", "[why](../decisions/index.md)"),
        ("[code](../../ablate/paths.py)", "code"),
    ],
)
def test_a_link_leads_to_a_page_of_the_site_or_becomes_text(hooks: ModuleType, text: str, expected: str) -> None:
    page = DOCS / "how-to" / "life.md"
    assert hooks.moved(text, page, page) == expected


def test_a_page_from_the_top_keeps_its_links(hooks: ModuleType) -> None:
    text = hooks.moved("[c](docs/explanation/concepts.md)", ROOT / "CONTRIBUTING.md", DOCS / "project/contributing.md")
    assert text == "[c](../explanation/concepts.md)"


@pytest.mark.parametrize(
    "part",
    [
        '<script src="https://example.org/x.js"></script>',
        '<link rel="stylesheet" href="//example.org/x.css">',
        '<img src="http://example.org/x.png">',
    ],
)
def test_a_part_from_another_host_is_found(hooks: ModuleType, part: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(f"<html>{part}</html>", encoding="utf-8")
    assert len(hooks.remote_parts(tmp_path)) == 1


def test_links_to_follow_and_own_parts_are_no_remote_parts(hooks: ModuleType, tmp_path: Path) -> None:
    text = '<a href="https://example.org">web</a> <img src="a.png"> <link rel="canonical" href="https://example.org">'
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    (tmp_path / "site.css").write_text("a { background: url(x.png) }", encoding="utf-8")
    assert hooks.remote_parts(tmp_path) == []
    (tmp_path / "site.css").write_text("@font-face { src: url('https://example.org/f.woff2') }", encoding="utf-8")
    assert hooks.remote_parts(tmp_path) != []
