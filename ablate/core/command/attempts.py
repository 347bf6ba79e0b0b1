"""What earlier attempts at a trial left behind: how long they took, and whether one ended and only its metrics lack.

And what was in the files that a command line names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate.code_text import digest_of_text
from ablate.core.command.spec.python_command import NotPython, python_command
from ablate.paths import write_json

_LARGEST_SCRIPT_BYTES = 10_000_000
_PROGRAMS = re.compile(
    r"\.(py|ipynb|sh|bash|zsh|r|rmd|jl|m|pl|rb|lua|js|mjs|ts|yaml|yml|toml|ini|cfg|conf|gin)", re.IGNORECASE
)
"""Endings of files that say what is computed. Others may be what a script writes, and change with every trial."""


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


def program_texts(words: Sequence[str], directory: Path) -> dict[str, str]:
    """Return the digests of the scripts and configuration files that a command line names, also for a shell."""
    found = {}
    for word in dict.fromkeys(_names_in(words)):
        with suppress(OSError, ValueError):
            path = directory / word
            if path.is_file() and path.stat().st_size <= _LARGEST_SCRIPT_BYTES:
                data = path.read_bytes()
                if _PROGRAMS.fullmatch(path.suffix) or data.startswith(b"#!"):
                    found[word] = digest_of_text(data)
    return found


def _names_in(words: Sequence[str]) -> Iterator[str]:
    """What may name a file: words, what follows ``=``, the words of a line for a shell, the module of ``python -m``."""
    for word in words:
        yield word
        for part in word.split():
            yield part.strip("'\";&|()")
            yield part.partition("=")[2]
    with suppress(NotPython, ValueError):
        command = python_command(words)
        if command.is_module:
            inside = command.target.replace(".", "/")
            yield from (f"{inside}.py", f"{inside}/__main__.py")
