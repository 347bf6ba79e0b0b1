"""Taking a command line of Python apart: the interpreter, its options, and the script or module that it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PYTHON = re.compile(r"python[\d.]*t?")
_FLAGS = frozenset("bBdEIOPqRsSuv")
"""Options of one letter without a value, which only set how the interpreter behaves."""
_VALUED = frozenset("WX")


class NotPython(Exception):
    """A command line that is no Python script or module; says why."""


@dataclass(frozen=True)
class PythonCommand:
    """A command line that runs a Python script or module."""

    program: str
    options: tuple[str, ...]
    """Of the interpreter."""
    target: str
    """Path of the script, or name of the module."""
    is_module: bool
    """True for ``python -m``."""
    arguments: tuple[str, ...]
    """Of the script."""


def python_command(words: Sequence[str]) -> PythonCommand:
    """Take a command line apart; raises NotPython."""
    program, *rest = words
    if _PYTHON.fullmatch(Path(program).name) is None:
        raise NotPython(f"{program!r} is not python")
    options: list[str] = []
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        flags, letter, attached = _cluster(word)
        if letter == "m":
            target = attached or (rest.pop(0) if rest else "")
            if not target:
                raise NotPython("-m names no module")
            return PythonCommand(program, (*options, *flags), target, True, tuple(rest))
        if letter in _VALUED:
            value = attached or (rest.pop(0) if rest else "")
            options += [*flags, f"-{letter}{value}"]
        elif letter:
            raise NotPython(f"{word} is not a script")
        else:
            options += flags
    if not rest:
        raise NotPython(f"{program} is given no script")
    return PythonCommand(program, tuple(options), rest[0], False, tuple(rest[1:]))


def _cluster(word: str) -> tuple[list[str], str, str]:
    """Split ``-Bum``: the flags in front, the letter that ends them (empty without one), and what is attached to it."""
    flags: list[str] = []
    for at, letter in enumerate(word[1:], start=1):
        if letter not in _FLAGS:
            return flags, letter, word[at + 1 :]
        flags.append(f"-{letter}")
    return flags, "" if flags else "-", ""
