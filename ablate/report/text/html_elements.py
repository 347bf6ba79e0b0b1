"""HTML built from elements, so that text is escaped unless it says that it is HTML already."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from ablate.report.text.escape import visible

_VOID = {"meta", "br", "img", "hr", "link", "wbr"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Html | Iterable["Child"] | None


def join(*children: Child) -> Html:
    """Return the children one after another; plain text is escaped, None is left out."""
    return Html("".join(_render(child) for child in children))


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return str(child)
    if isinstance(child, str):
        return text(child)
    return "".join(_render(inner) for inner in child)


def text(plain: str) -> Html:
    """Return `plain` escaped, with control and direction-override characters made visible."""
    return Html(html.escape(visible(plain), quote=True))


def tag(name: str, /, *children: Child, **attributes: str | int | None) -> Html:
    """Return an element. ``class_`` and ``for_`` lose their underscore, others turn it into ``-``; None is left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{join(*children)}</{name}>")


def table(
    caption: Child, head: Sequence[str], rows: Iterable[Html], *, words: int = 1, class_: str | None = None
) -> Html:
    """Return a table with a caption and one row of headers; the columns after the first `words` hold numbers."""
    cells = [tag("th", title, scope="col", class_="num" if at >= words else None) for at, title in enumerate(head)]
    return tag(
        "table", tag("caption", caption), tag("thead", tag("tr", cells)), tag("tbody", list(rows)), class_=class_
    )


def scroller(label: str, *content: Child) -> Html:
    """Return content that scrolls sideways inside itself where it is wider than the page, also by keyboard."""
    return tag("div", *content, class_="scroll", role="group", tabindex=0, aria_label=f"{label}, scrolls sideways")
