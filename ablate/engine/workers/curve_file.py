"""The learning curve of a trial as a file: one JSON line per point, appended, and whole again after any crash."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

MOST_IMAGES = 2**53
"""What an outcome can state."""
Point = tuple[int, dict[str, float]]
"""Training images seen, and the values there."""


class CurveFile:
    """Appends points to curve.jsonl, each number of images once, also when a trial goes on from a checkpoint."""

    def __init__(self, path: Path) -> None:
        """Open `path`, creating it; what a crash left of a last line is cut off."""
        self.points: list[Point] = repaired(path)
        """The points that were there when the file was opened."""
        self._seen = {images for images, _ in self.points}
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, images: int, values: Mapping[str, float]) -> dict[str, float]:
        """Add a point; return what was added: the finite values, nothing when `images` is there already."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        if images in self._seen or not finite:
            return {}
        os.write(self._handle, (json.dumps({"images": images, **finite}, ensure_ascii=False) + "\n").encode())
        self._seen.add(images)
        return finite

    @property
    def furthest(self) -> int:
        """The most images of any point, of all attempts; 0 without a point."""
        return max((images for images in self._seen if 0 <= images <= MOST_IMAGES), default=0)

    def close(self) -> None:
        """Release the file."""
        os.close(self._handle)


def repaired(path: Path) -> list[Point]:
    """Return the points in `path` (none when it does not exist); the file is cut before its first damaged line."""
    if not path.exists():
        return []
    raw = path.read_bytes()
    points: list[Point] = []
    good = 0
    for line in raw.splitlines(keepends=True):
        point = _point(line)
        if point is None:
            os.truncate(path, good)
            break
        points.append(point)
        good += len(line)
    return points


def _point(line: bytes) -> Point | None:
    """Read one line, None when it is not a whole point."""
    try:
        data = json.loads(line) if line.endswith(b"\n") else None
        if not data:
            return None
        images, values = int(data.pop("images")), {str(name): float(value) for name, value in data.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return (images, values) if all(map(math.isfinite, values.values())) else None
