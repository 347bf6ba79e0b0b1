"""Figures inside a page: lighter than their files, and the same picture."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ablate.report.figures.all import draw_all
from ablate.report.figures.figure import Drawing, inline_svg
from ablate.report.figures.svg_compact import lighter

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"


@pytest.fixture
def drawings(case: Any) -> list[Drawing]:
    material = case.material()
    return [drawing for drawing in draw_all(material, material.points, []) if drawing.svg is not None]


def shapes(svg: str) -> Counter[str]:
    counted = ("path", "use", "text", "rect", "clipPath")
    return Counter(
        tag for one in ET.fromstring(svg[svg.index("<svg") :]).iter() if (tag := one.tag[len(SVG) :]) in counted
    )


def coordinates(svg: str) -> list[float]:
    found = [one.get(name, "") for one in ET.fromstring(svg[svg.index("<svg") :]).iter() for name in ("d", "x", "y")]
    return [float(number) for text in found for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_a_lighter_figure_draws_every_shape_at_its_place_with_half_the_bytes(drawings: list[Drawing]) -> None:
    for drawing in drawings:
        assert drawing.svg is not None
        light = lighter(drawing.svg)
        assert shapes(light) == shapes(drawing.svg)
        assert coordinates(light) == pytest.approx(coordinates(drawing.svg), abs=0.0051)
        assert len(light) < 0.55 * len(drawing.svg)


def test_every_reference_and_style_of_an_inlined_figure_is_its_own(drawings: list[Drawing]) -> None:
    """Several figures share one page: a class or an id of one must not style or clip another."""
    for drawing in drawings:
        inline = str(inline_svg(drawing))
        ids = set(re.findall(r'\bid="([^"]+)"', inline))
        used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', inline))
        classes = set(re.findall(r'class="([^"]+)"', inline))
        rules = set(re.findall(r"[>}]\.([^{]+)\{", inline))
        assert used
        assert used <= ids
        assert classes == rules
        assert all(name.startswith(f"{drawing.name}-") for name in ids | classes)


def test_text_groups_and_turns_survive() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg"><metadata>x</metadata><g id="a"><g id="b" opacity="0.5">'
        '<text transform="rotate(-90 1.0004 2)">y (dB)</text><text transform="rotate(-0 1 2)"> </text></g></g>'
        '<path d="M 0 -0.0001 \nL 1.23456 2 \nL 3 4 \nC 1 2 3 4 5 6 \nL 7 8 \nz\n"/></svg>'
    )
    assert lighter(svg) == (
        '<svg xmlns="http://www.w3.org/2000/svg"><g opacity="0.5"><text transform="rotate(-90 1 2)">y (dB)</text>'
        '<text /></g><path d="M 0 0 1.23 2 3 4 C 1 2 3 4 5 6 L 7 8 z" /></svg>'
    )
