"""What earlier attempts at a trial left behind: how long they took, and whether one ended and only its metrics lack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate.paths import write_json

_LARGEST_SCRIPT_BYTES = 10_000_000


@dataclass(frozen=True)
class Ended:
    """An attempt whose command ended well."""

    scripts: dict[str, str]
    """File named in the command line -> digest of what was in it."""
    log_from: int
    log_to: int
    """Bytes of the trial's log that hold the output."""


@dataclass(frozen=True)
class Attempts:
    """What is known of the attempts at one recipe, as a file of the trial's folder."""

    recipe: str
    """Digest of the recipe."""
    spent_s: float = 0.0
    """Seconds of the attempts that the next one can build on."""
    ended: Ended | None = None

    def write(self, path: Path) -> None:
        """Keep it."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path, recipe: str) -> Attempts:
        """Return what is kept of `recipe`: nothing, where the file is missing, damaged or of another recipe."""
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            ended = data["ended"]
            found = cls(str(data["recipe"]), float(data["spent_s"]), None if ended is None else Ended(**ended))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(recipe)
        return found if found.recipe == recipe else cls(recipe)


def scripts_in(words: Sequence[str], directory: Path) -> dict[str, str]:
    """Return the digests of the files that a command line names: with another script, old results are not its own."""
    found = {}
    for word in words:
        try:
            path = directory / word
            if path.is_file() and path.stat().st_size <= _LARGEST_SCRIPT_BYTES:
                found[word] = hashlib.sha256(path.read_bytes()).hexdigest()
        except (OSError, ValueError):  # too long a name, or no file that can be read
            continue
    return found
