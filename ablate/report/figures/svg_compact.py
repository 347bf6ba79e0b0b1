"""An SVG as matplotlib writes it, made lighter for a page that holds many: a third of the bytes, the same picture."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree as ET

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+")
_NO_TURN = re.compile(r"^rotate\(-?0(\.0+)? [^)]*\)$")
_USED = re.compile(r"url\(#([^)]+)\)")
_SHAPES = ("d", "points", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "transform", "cx", "cy", "r")
_DECIMALS = 2
"""Of coordinates, in points: finer than any screen or printer shows."""


def lighter(svg: str) -> str:
    """Return the ``<svg>`` without what no browser needs: metadata, unused ids and groups, digits, repeated styles.

    Styles that several elements share become classes of the figure, named ``s0``, ``s1`` and so on.
    """
    root = ET.fromstring(svg[svg.index("<svg") :])  # noqa: S314  (our own figure, drawn a moment ago)
    for metadata in root.findall(f"{_SVG}metadata"):
        root.remove(metadata)
    for element in root.iter():
        _trim(element)
    _drop_ids(root, _used_ids(root))
    _unwrap(root)
    _share_styles(root)
    return _written(root)


def _trim(element: ET.Element) -> None:
    """Round coordinates, leave out turns by nothing and the line breaks between elements."""
    for name in _SHAPES:
        if (value := element.get(name)) is not None:
            short = _NUMBER.sub(_rounded, value)
            element.set(name, _path(short) if name == "d" else short)
    if _NO_TURN.match(element.get("transform", "")):
        del element.attrib["transform"]
    if element.text is not None and not element.text.strip():
        element.text = None
    element.tail = None


def _path(commands: str) -> str:
    """Say L once: behind a move or a line, more coordinates are more lines."""
    parts: list[str] = []
    last = ""
    for part in commands.split():
        if part.isalpha():
            if part == "L" and last in ("M", "L"):
                continue
            last = part
        parts.append(part)
    return " ".join(parts)


def _rounded(found: re.Match[str]) -> str:
    text = f"{float(found.group()):.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _used_ids(root: ET.Element) -> set[str]:
    links = {element.get(_LINK, "").removeprefix("#") for element in root.iter()}
    return links | {
        name for element in root.iter() for value in element.attrib.values() for name in _USED.findall(value)
    }


def _drop_ids(root: ET.Element, used: set[str]) -> None:
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)


def _unwrap(parent: ET.Element) -> None:
    """Put the children of groups that say nothing in the place of the group."""
    for child in list(parent):
        _unwrap(child)
    kept: list[ET.Element] = []
    for child in list(parent):
        kept += list(child) if child.tag == f"{_SVG}g" and not child.attrib else [child]
    parent[:] = kept


def _share_styles(root: ET.Element) -> None:
    counts = Counter(style for element in root.iter() if (style := element.get("style")) is not None)
    names = {style: f"s{at}" for at, style in enumerate(style for style, count in counts.items() if count > 1)}
    for element in root.iter():
        if (name := names.get(element.get("style", ""))) is not None:
            del element.attrib["style"]
            element.set("class", name)
    if names:
        rules = ET.Element(f"{_SVG}style")
        rules.text = "".join(f".{name}{{{style}}}" for style, name in names.items())
        root.insert(0, rules)


def _written(root: ET.Element) -> str:
    ET.register_namespace("", _SVG[1:-1])
    ET.register_namespace("xlink", _LINK[1:].partition("}")[0])
    return ET.tostring(root, encoding="unicode")
