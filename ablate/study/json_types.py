"""What JSON a setting takes, read from its Python type: as much as reading a level from YAML needs to know.

Whether a value is right is decided by pydantic afterwards; here it is decided what a word in a study file means.
"""

from __future__ import annotations

import datetime
import types
import uuid
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

from ablate.json_values import JsonValue, Scalar, freeze

ScalarKind = Literal["null", "bool", "int", "float", "text"]
_SCALARS: Mapping[Any, ScalarKind] = {
    type(None): "null",
    None: "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
}
_TEXTS = (PurePath, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, bytes)
"""Types that pydantic reads from a text."""


@dataclass(frozen=True, eq=False)
class JsonType:
    """The JSON values of a type; several kinds at once for a union."""

    shown: str
    """The type as messages name it: ``list[int]``."""
    scalars: frozenset[ScalarKind] = frozenset()
    choices: tuple[Scalar, ...] = ()
    """Members of Literals and enumerations."""
    items: JsonType | None = None
    """Of a list; None when it takes no list."""
    fixed: tuple[JsonType, ...] = ()
    """Of a tuple of known length: the types of its items."""
    values: JsonType | None = None
    """Of a mapping; None when it takes no mapping."""
    fields: Mapping[str, JsonType] = field(default_factory=dict)
    """Of a mapping with known keys: their types."""
    anything: bool = False

    @property
    def takes_list(self) -> bool:
        """True when a value may be a list."""
        return self.anything or self.items is not None

    @property
    def takes_mapping(self) -> bool:
        """True when a value may be a mapping."""
        return self.anything or self.values is not None

    @property
    def takes_scalar(self) -> bool:
        """True when a value may be a single one, other than nothing."""
        return self.anything or bool(self.choices) or bool(self.scalars - {"null"})

    @property
    def takes_null(self) -> bool:
        """True when a value may be nothing."""
        return self.anything or "null" in self.scalars or None in self.choices

    def item(self, index: int) -> JsonType:
        """The type of a list's item."""
        return self.fixed[index] if index < len(self.fixed) else self.items or ANYTHING

    def value(self, key: str) -> JsonType:
        """The type of a mapping's value."""
        return self.fields.get(key) or self.values or ANYTHING


ANYTHING = JsonType("anything", frozenset({"null", "bool", "int", "float", "text"}), anything=True)
"""Any JSON: what a word means is guessed as YAML 1.2 does."""


def json_type(annotation: Any, seen: frozenset[type] = frozenset()) -> JsonType:
    """Return what a setting of type `annotation` takes. A type that is not known takes anything."""
    shown = _shown(annotation)
    if annotation in (Any, object) or isinstance(annotation, TypeVar):
        return ANYTHING
    if annotation is None or annotation in _SCALARS:
        return JsonType(shown, scalars=frozenset({_SCALARS[annotation]}))
    if isinstance(annotation, NewType):
        return json_type(annotation.__supertype__, seen)
    if (alias := getattr(annotation, "__value__", None)) is not None:  # `type Name = ...`
        return json_type(alias, seen)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return json_type(arguments[0], seen)
    if origin is Literal:
        return JsonType(shown, choices=tuple(_choice(one) for one in arguments))
    if origin in (Union, types.UnionType):
        return _union(shown, [json_type(one, seen) for one in arguments])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return JsonType(shown, choices=tuple(_choice(entry) for entry in annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of_model(annotation, shown, seen)
    return _of_container(origin or annotation, arguments, shown, seen)


def _of_container(origin: Any, arguments: tuple[Any, ...], shown: str, seen: frozenset[type]) -> JsonType:
    if not isinstance(origin, type):
        return ANYTHING
    if issubclass(origin, _TEXTS):
        return JsonType(shown, scalars=frozenset({"text"}))
    if issubclass(origin, tuple) and arguments and arguments[-1] is not Ellipsis:
        return JsonType(shown, items=ANYTHING, fixed=tuple(json_type(one, seen) for one in arguments))
    if issubclass(origin, Mapping):
        return JsonType(shown, values=json_type(arguments[1], seen) if len(arguments) > 1 else ANYTHING)
    if issubclass(origin, Sequence | Set):
        return JsonType(shown, items=json_type(arguments[0], seen) if arguments else ANYTHING)
    return ANYTHING


def _of_model(model: type[BaseModel], shown: str, seen: frozenset[type]) -> JsonType:
    if model in seen:
        return JsonType(shown, values=ANYTHING)
    inner = seen | {model}
    fields = {name: json_type(one.annotation, inner) for name, one in model.model_fields.items()}
    return JsonType(shown, values=ANYTHING, fields=fields)


def _union(shown: str, parts: Sequence[JsonType]) -> JsonType:
    if any(part.anything for part in parts):
        return ANYTHING
    lists = [part for part in parts if part.items is not None]
    names = dict.fromkeys(name for part in parts for name in part.fields)
    by_name = {name: [part.fields[name] for part in parts if name in part.fields] for name in names}
    return JsonType(
        shown,
        scalars=frozenset[ScalarKind]().union(*(part.scalars for part in parts)),
        choices=tuple(dict.fromkeys(choice for part in parts for choice in part.choices)),
        items=_joined([part.items for part in lists if part.items is not None]),
        fixed=lists[0].fixed if len(lists) == 1 else (),
        values=_joined([part.values for part in parts if part.values is not None]),
        fields={name: joined for name, types_ in by_name.items() if (joined := _joined(types_)) is not None},
    )


def _joined(parts: Sequence[JsonType]) -> JsonType | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return _union(" | ".join(dict.fromkeys(one.shown for one in parts)), parts)


def _choice(member: Any) -> Scalar:
    value: JsonValue = freeze(member.value if isinstance(member, Enum) else member)
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    raise ValueError(f"a choice is a single value, not {value!r}")


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    if get_origin(annotation) is Annotated:
        return _shown(get_args(annotation)[0])
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return " | ".join("None" if one is type(None) else _shown(one) for one in arguments)
    if origin is not None and origin is not Literal and arguments:
        inner = ", ".join("..." if one is Ellipsis else _shown(one) for one in arguments)
        return f"{getattr(origin, '__name__', str(origin))}[{inner}]"
    return str(annotation).replace("typing.", "")
