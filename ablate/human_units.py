"""Times, sizes and names as the terminal shows them: short, with a unit, and never wider than their column."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from rich.cells import cell_len

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def brief(seconds: float) -> str:
    """Return a duration in at most six characters: ``8s``, ``4m10``, ``1h02``, ``3d04h``."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def spoken(seconds: float) -> str:
    """Return a duration for a sentence: ``0.4 s``, ``8 s``, ``4 min 10 s``, ``1 h 25 min``."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        minutes, rest = divmod(whole, _MINUTE)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / _MINUTE), _MINUTE)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: float) -> str:
    """Return `count` bytes in decimal units: ``512 B``, ``3.1 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def number(value: float, digits: int) -> str:
    """Return `value` with `digits` decimals, or in powers of ten where these would show nothing of it."""
    if value != 0 and (abs(value) < 0.5 * 10**-digits or abs(value) >= 1e6):
        return f"{value:.2e}"
    return f"{value:.{digits}f}"


def plural(count: int, word: str) -> str:
    """Return ``1 seed``, ``3 seeds``."""
    return f"{count} {word}{'s' * (count != 1)}"


def visible(text: str) -> str:
    """Return `text` on one line with control characters (escape sequences) made harmless and visible."""
    return "".join(
        symbol.encode("unicode_escape").decode("ascii") if unicodedata.category(symbol).startswith("C") else symbol
        for symbol in text
    )


def shortest(path: str) -> str:
    """Return `path` relative to the working directory where it lies below it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def shorten(name: str, width: int) -> str:
    """Return `name` in at most `width` cells; the middle goes first, since the level at the end tells arms apart."""
    name = visible(name)
    if cell_len(name) <= width:
        return name
    if width <= 1:
        return "…"[:width]
    room = (width - 1) * 2 // 3
    start = max(0, len(name) - room)
    while cell_len(name[start:]) > room:
        start += 1
    end = name[start:]
    head = 0
    while cell_len(name[: head + 1]) + 1 + cell_len(end) <= width:
        head += 1
    return f"{name[:head]}…{end}"


def pad(text: str, width: int) -> str:
    """Return `text` shortened or filled with spaces to exactly `width` cells."""
    text = shorten(text, width)
    return text + " " * (width - cell_len(text))


def quoted(value: object) -> str:
    """Return `value` for a ``key=value`` line: quoted where a space or a quote would confuse."""
    text = visible(f"{value:.6g}" if isinstance(value, float) else str(value))
    if text and not any(symbol in text for symbol in ' "\\'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
