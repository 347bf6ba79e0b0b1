"""The text of the user's code that results come from: a digest of what was in a file, or of a function's source.

Files are read, nothing is run. Two texts may do the same (another comment); the same text may do another thing, where
what it imports has changed.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

CODE = "code"
"""Entry of an outcome's environment: what `written` returns."""
_DIGITS = 12
_PLAIN = (bool, int, float, str)


def digest_of_text(text: bytes) -> str:
    """Return the digest of a text, short enough to be shown."""
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def written(texts: Mapping[str, str]) -> str:
    """Return name -> digest as one line, ``train.py 3f2a91c07b12; net.py 09d1f7ce5a44``."""
    return "; ".join(f"{name} {digest}" for name, digest in sorted(texts.items()))


def read_back(line: str) -> dict[str, str]:
    """Return what `written` wrote; what is no such line holds nothing."""
    pairs = (part.rpartition(" ") for part in line.split("; "))
    return {name: digest for name, _, digest in pairs if name}


def text_of_module(found: Any) -> dict[str, str]:
    """Return the name and the digest of the file in which a class or function is defined; nothing without a file."""
    try:
        path = Path(inspect.getsourcefile(inspect.unwrap(found)) or "")
        return {path.name: digest_of_text(path.read_bytes())}
    except (OSError, TypeError, ValueError):
        return {}


def text_of_function(function: Callable[..., Any]) -> dict[str, str]:
    """Return the name and the digest of a function that has no file of its own: of a notebook, inside another function.

    Functions, classes and plain constants beside it that it uses by name belong to it, since they are sent with it.
    """
    name = getattr(function, "__qualname__", type(function).__qualname__)
    parts = [f"{one}\n{text}" for one, text in sorted(_with_what_it_uses(function, name).items())]
    return {name: digest_of_text("\n".join(parts).encode())}


def _with_what_it_uses(function: Callable[..., Any], name: str) -> dict[str, str]:
    module = getattr(function, "__module__", None)
    found: dict[str, str] = {}
    waiting: list[tuple[str, Any]] = [(name, function)]
    while waiting:
        called, one = waiting.pop()
        if called not in found:
            found[called] = repr(one) if isinstance(one, _PLAIN) else _source(one)
            waiting += [pair for pair in _used_by(one) if getattr(pair[1], "__module__", module) == module]
    return found


def _source(one: Any) -> str:
    """The source, or where there is none (a prompt, `exec`) what the interpreter made of it.

    A pickle would not do: those of equal functions may differ.
    """
    try:
        return textwrap.dedent(inspect.getsource(one))
    except (OSError, TypeError):
        return "\n".join(_compiled(code) for code in _codes(one))


def _used_by(one: Any) -> Iterator[tuple[str, Any]]:
    """What the code names of its module and of the functions around it."""
    for function in [] if isinstance(one, _PLAIN) else _functions(one):
        inner = inspect.unwrap(function)
        code = getattr(inner, "__code__", None)
        if code is None:
            continue
        around = {}
        for name, cell in zip(code.co_freevars, inner.__closure__ or (), strict=False):
            try:
                around[name] = cell.cell_contents
            except ValueError:  # not set yet
                continue
        beside = {name: inner.__globals__[name] for name in _names(code) if name in inner.__globals__}
        for name, value in (*around.items(), *beside.items()):
            if inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, _PLAIN):
                yield name, value


def _functions(one: Any) -> list[Any]:
    """A function itself, or the methods of a class or of an object that is called."""
    if inspect.isfunction(one):
        return [one]
    owner = one if inspect.isclass(one) else type(one)
    return [method for _, method in sorted(vars(owner).items()) if inspect.isfunction(method)]


def _codes(one: Any) -> list[CodeType]:
    return [inspect.unwrap(function).__code__ for function in _functions(one)]


def _names(code: CodeType) -> set[str]:
    inner = (names for one in code.co_consts if isinstance(one, CodeType) for names in _names(one))
    return {*code.co_names, *inner}


def _compiled(code: CodeType) -> str:
    constants = [_compiled(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return "\n".join((code.co_name, code.co_code.hex(), *constants, *code.co_names, *code.co_varnames))


def _constant(value: object) -> str:
    """A constant as text; the order of a set is another one in every process."""
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
