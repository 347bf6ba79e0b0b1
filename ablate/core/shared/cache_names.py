"""How files of the stage cache are called, and whether one still holds what was written. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

NAME = re.compile(r"(?P<kind>[a-z]+)-(?P<step>\d{9,})-(?P<sha>[0-9a-f]{16})\.pt")


def checksum(raw: bytes) -> str:
    """Return the part of a file's name that its content decides."""
    return hashlib.sha256(raw).hexdigest()[:16]


def is_intact(path: Path) -> bool:
    """True when the content of a file of the cache is what its name says; raises OSError when it cannot be read."""
    match = NAME.fullmatch(path.name)
    return match is not None and checksum(path.read_bytes()) == match["sha"]
