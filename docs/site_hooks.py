"""Hooks of ``mkdocs build``: pages from the top of the repository, decisions, links, and nothing remote."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FROM_TOP = {"CONTRIBUTING.md": "project/contributing.md", "CHANGELOG.md": "project/changes.md", "README.md": "index.md"}
"""File at the top of the repository -> its page in the site."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
_LOADED_LINKS = {"stylesheet", "icon", "preconnect", "preload", "prefetch", "manifest", "dns-prefetch"}
_CSS_REMOTE = re.compile(r"""(?:@import\s+["']|url\(\s*["']?)(?:https?:)?//""")


def on_config(config: Any) -> Any:
    """List every decision in the navigation, in the order of their numbers."""
    for section in config.nav:
        if "Decisions" in section:
            pages = sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))
            section["Decisions"] = ["decisions/index.md", *(f"decisions/{name}" for name in pages)]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie at the top of the repository."""
    from mkdocs.structure.files import File

    for name, page in FROM_TOP.items():
        if not (DOCS / page).exists():
            text = (ROOT / name).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=moved(text, ROOT / name, DOCS / page)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave ``docs/`` to pages of the site; what has no page stays as text."""
    here = DOCS / page.file.src_uri
    return moved(markdown, here, here)


def on_post_build(config: Any) -> None:
    """Stop the build when a page would load anything from another host."""
    from mkdocs.exceptions import PluginError

    found = remote_parts(Path(config.site_dir))
    if found:
        raise PluginError("pages would load from other hosts: " + "; ".join(found))


def moved(text: str, source: Path, page: Path) -> str:
    """Return Markdown whose relative links, written for the file `source`, hold on the site's `page`."""

    def link(match: re.Match[str]) -> str:
        image, words, target, anchor = match[1], match[2], match[3], match[4] or ""
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = Path(os.path.normpath(source.parent / target))
        if path.parent == ROOT and path.name in FROM_TOP:
            path = DOCS / FROM_TOP[path.name]
        elif path.is_dir() and (path / "index.md").exists():
            path = path / "index.md"
        if not path.is_relative_to(DOCS):
            return words  # source code: the site has no page of it
        return f"{image}[{words}]({Path(os.path.relpath(path, page.parent)).as_posix()}{anchor})"

    return LINK.sub(link, text)


def remote_parts(site: Path) -> list[str]:
    """Return ``file: address`` of everything that the pages and stylesheets of `site` would load from other hosts."""
    found = []
    for path in sorted(site.rglob("*.html")):
        parser = _Parts()
        parser.feed(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: {address}" for address in parser.remote]
    for path in sorted(site.rglob("*.css")):
        if match := _CSS_REMOTE.search(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(site)}: {match[0]}")
    return found


class _Parts(HTMLParser):
    """Collects the addresses on other hosts that a browser fetches with the page, not those that a reader follows."""

    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        address = given.get(_LOADED.get(tag, ""), "")
        if tag == "link" and _LOADED_LINKS & set(given.get("rel", "").split()):
            address = given.get("href", "")
        if re.match(r"(?:https?:)?//", address):
            self.remote.append(address)
