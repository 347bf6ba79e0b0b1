"""A finished figure: its files, its words, and how it goes into a page. Imports no matplotlib."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from ablate.report.figures.svg_compact import lighter
from ablate.report.text.html_elements import Html, tag, text

INK = "#1b2026"
"""Colour of text and axes in figure files; the page's own text colour when inlined."""
RULE = "#c9ced6"
"""Colour of grid lines; the page's own when inlined."""
SHADE = "#e7ebf0"
"""Colour of shaded zones; the page's own when inlined."""
PALETTE = {
    "blue": "#0173b2",
    "orange": "#c27c00",
    "green": "#029e73",
    "vermilion": "#d55e00",
    "violet": "#bb66a9",
    "brown": "#b07a4c",
    "grey": "#767c85",
    "sky": "#3d9bd4",
}
"""seaborn's "colorblind" palette, darker where a line on white would have less than 3:1 contrast; each colour is a CSS
variable of the page."""
_IDS = re.compile(r'\bid="([^"]+)"')
_CLASSES = re.compile(r'(class="|(?<=[>}])\.)(s\d+)(?=["{])')
_USES = re.compile(r'(xlink:href="#|url\(#)([^")]+)')


@dataclass(frozen=True)
class Drawing:
    """One figure as files: ``figures/<name>.svg``, ``.png``, ``.csv`` (whichever are given)."""

    name: str
    section: str
    """Id of the page's section it belongs to."""
    title: str
    alt: str
    """What it shows, for those who do not see it."""
    caption: str
    png: bytes
    svg: str | None = None
    csv: str | None = None

    def files(self) -> dict[str, bytes]:
        """Return file name -> content."""
        found = {f"{self.name}.png": self.png}
        if self.svg is not None:
            found[f"{self.name}.svg"] = self.svg.encode()
        if self.csv is not None:
            found[f"{self.name}.csv"] = self.csv.encode()
        return found

    def element(self) -> Html:
        """Return the ``<figure>``: inline SVG where there is one, else the PNG as data."""
        picture = inline_svg(self) if self.svg is not None else png_image(self.png, self.alt)
        return tag(
            "figure",
            tag("div", picture, class_="plot", role="group", tabindex=0, aria_label=f"Figure: {self.title}"),
            tag("figcaption", self.caption),
            id=f"figure-{self.name}",
        )


def png_image(png: bytes, alt: str, class_: str | None = None, style: str | None = None) -> Html:
    """Return an ``<img>`` that holds the PNG itself."""
    source = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return tag("img", src=source, alt=alt, class_=class_, style=style)


def inline_svg(drawing: Drawing) -> Html:
    """Return the SVG for use inside a page: described, in the page's colours, with ids of its own."""
    svg = _IDS.sub(rf'id="{drawing.name}-\1"', lighter(drawing.svg or ""))
    svg = _CLASSES.sub(rf"\g<1>{drawing.name}-\2", svg)
    svg = _USES.sub(rf"\1{drawing.name}-\2", svg)
    for colour, variable in ((INK, "currentColor"), (RULE, "var(--rule)"), (SHADE, "var(--shade)")):
        svg = svg.replace(colour, variable)
    for name, colour in PALETTE.items():
        svg = svg.replace(colour, f"var(--{name})")
    head, _, rest = svg.partition(">")
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    box = size.group(0) if size else ""
    width = f"{float(size.group(1)) * 4 / 3:.0f}" if size else "720"
    title = f'<title id="{drawing.name}-title">{text(drawing.title)}</title>'
    described = f'<desc id="{drawing.name}-desc">{text(drawing.alt)}</desc>'
    opening = (
        f'<svg {box} role="img" aria-labelledby="{drawing.name}-title {drawing.name}-desc" style="--drawn:{width}px">'
    )
    return Html(f"{opening}{title}{described}{rest.strip()}")
