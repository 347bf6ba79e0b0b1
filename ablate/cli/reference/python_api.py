"""The page on the Python API: the signature and docstring of everything that ``import ablate`` gives."""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from types import ModuleType
from typing import Any

import ablate
from ablate.api import front_door
from ablate.cli.reference.markdown import code, from_docstring, head

_INTRO = """
Everything that `import ablate` gives, with its docstring. Importing it loads neither torch nor optuna nor pandas.
[From Python and notebooks](../how-to/python.md) has examples.
"""
_WIDTH = 88
_MARKS: Mapping[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def page() -> str:
    """Return docs/reference/python-api.md."""
    found = {name: public(name) for name in ablate.__all__ if not name.startswith("__")}
    # Functions first: they are what most readers look for.
    names = sorted(found, key=lambda name: isinstance(found[name], type))
    return head("Python API", _INTRO) + "".join(entry(name, found[name]) for name in names)


def public(name: str) -> Any:
    """Return what `ablate` has under a name; for a module that can be called, the function that the call reaches."""
    thing = getattr(ablate, name)
    return getattr(front_door, name) if isinstance(thing, ModuleType) else thing


def entry(name: str, thing: Any) -> str:
    """Return the section of one public name."""
    if isinstance(thing, type):
        return _class(name, thing)
    return f"\n## {name}\n\n{_signature(f'ablate.{name}', thing)}\n{_text(inspect.getdoc(thing))}"


def _class(name: str, thing: type) -> str:
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    title = f"\n## {name}\n\n```python\nclass ablate.{name}{f'({bases})' if bases else ''}\n```\n"
    own = inspect.getdoc(thing) if "__doc__" in vars(thing) else None
    if issubclass(thing, enum.Enum):
        members = "".join(f"* `{one.name}` = `{one.value!r}`\n" for one in thing)
        return f"{title}{_text(own)}\n{members}{''.join(_members(name, thing))}"
    return f"{title}{_text(own)}{_fields(thing)}{''.join(_members(name, thing))}"


def _fields(thing: type) -> str:
    """The annotated attributes of a class as a list: type, default, and the text under each."""
    lines = []
    for name, annotation, default, text in attributes(thing):
        stated = f"{name}: {annotation}" + (f" = {default}" if default else "")
        lines.append(f"* {code(stated)}{f': {from_docstring(text)}' if text else ''}\n")
    return f"\n{''.join(lines)}" if lines else ""


def attributes(thing: type) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, annotation, default, docstring) of every public annotated attribute of a class, from its source."""
    body = _body(thing)
    for at, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if node.target.id.startswith("_"):
            continue
        after = body[at + 1] if at + 1 < len(body) else None
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            text = " ".join(after.value.value.split())
        default = ast.unparse(node.value) if node.value is not None else ""
        yield node.target.id, ast.unparse(node.annotation), "" if default.startswith("field(") else default, text


def _body(thing: type) -> Sequence[ast.stmt]:
    found = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    assert isinstance(found, ast.ClassDef)
    return found.body


def _members(name: str, thing: type) -> Iterator[str]:
    """The public methods and properties that a class defines itself, in the order of its source."""
    for member, value in vars(thing).items():
        inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if member.startswith("_") or not (callable(inner) or isinstance(inner, property)):
            continue
        if isinstance(inner, type):
            continue
        text = _text(inspect.getdoc(inner))
        if isinstance(inner, property):
            result = inspect.signature(inner.fget).return_annotation if inner.fget is not None else ""
            yield f"\n### {name}.{member}\n\n```python\n{name}.{member}: {result}\n```\n{text}"
        else:
            prefix = "@classmethod\n" if isinstance(value, classmethod) else ""
            yield f"\n### {name}.{member}\n\n{_signature(f'{name}.{member}', inner, prefix=prefix)}\n{text}"


def _signature(name: str, thing: Any, *, prefix: str = "") -> str:
    """The call of a function as a code block, one parameter per line where it is long."""
    signature = inspect.signature(thing)
    parameters = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    found = signature.replace(parameters=parameters)
    line = f"{name}{_written(found)}"
    if len(line) > _WIDTH and parameters:
        inside = ",\n    ".join(_parts(found))
        returns = f" -> {_annotation(signature.return_annotation)}"
        line = f"{name}(\n    {inside},\n){'' if signature.return_annotation is inspect.Signature.empty else returns}"
    return f"```python\n{prefix}{line}\n```"


def _written(signature: inspect.Signature) -> str:
    returns = signature.return_annotation
    arrow = "" if returns is inspect.Signature.empty else f" -> {_annotation(returns)}"
    return f"({', '.join(_parts(signature))}){arrow}"


def _parts(signature: inspect.Signature) -> list[str]:
    """Each parameter as written, with the ``*`` before the first that is given by its name only."""
    found: list[str] = []
    starred = False
    for one in signature.parameters.values():
        if one.kind is inspect.Parameter.VAR_POSITIONAL:
            starred = True
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            found.append("*")
            starred = True
        stated = f"{_MARKS.get(one.kind, '')}{one.name}"
        if one.annotation is not inspect.Parameter.empty:
            stated += f": {_annotation(one.annotation)}"
        if one.default is not inspect.Parameter.empty:
            # A path is written as the text that may be given for it, the same on every system.
            stated += f" = {(one.default.as_posix() if isinstance(one.default, PurePath) else one.default)!r}"
        found.append(stated)
    return found


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _text(docstring: str | None) -> str:
    return f"\n{from_docstring(docstring)}\n" if docstring else ""
