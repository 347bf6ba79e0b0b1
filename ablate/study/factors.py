"""Factors: what a core lets a study vary, read from the fields of its settings model."""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from ablate.beta_tables import is_table, table_label
from ablate.errors import AblateError
from ablate.interface import CoreSettings
from ablate.recipe import Scalar

Kind = Literal["bool", "int", "float", "name", "text"]


@dataclass(frozen=True)
class FactorInfo:
    """One factor. `low` and `high` are inclusive unless `low_open` or `high_open`; None means unbounded."""

    name: str
    kind: Kind
    default: Scalar
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    optional: bool = False
    """True when a level may be nothing at all (``null``)."""
    tables: bool = False
    """True when a level may also name a table of the study's ``schedules``."""
    unit: str = ""
    doc: str = ""

    @property
    def range_text(self) -> str:
        """The allowed range with its unit, for example ``above 0, at most 1 dB``; empty when unbounded."""
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.low_open else 'at least'} {level_text(self.low)}")
        if self.high is not None:
            parts.append(f"{'below' if self.high_open else 'at most'} {level_text(self.high)}")
        text = ", ".join(parts)
        return f"{text} {self.unit}" if text and self.unit else text

    def contains(self, number: float) -> bool:
        """True when `number` lies in the range."""
        above = self.low is None or (number > self.low if self.low_open else number >= self.low)
        below = self.high is None or (number < self.high if self.high_open else number <= self.high)
        return above and below


def level_text(value: Scalar) -> str:
    """Return a level as study files and arm names write it: ``true``, ``0.001``, ``1``, ``null``; a table in brief."""
    if value is None:
        return "null"
    if isinstance(value, str) and is_table(value):
        return table_label(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)


def factors_of(settings_model: type[CoreSettings]) -> dict[str, FactorInfo]:
    """Return the factors of a core by name, in the order of its settings.

    Raises AblateError for a settings model that cannot be varied: a field without default, or of a type that is not
    a scalar.
    """
    return {name: _factor(name, field, settings_model) for name, field in settings_model.model_fields.items()}


def _factor(name: str, field: FieldInfo, model: type[CoreSettings]) -> FactorInfo:
    where = f"setting {name!r} of {model.__name__}"
    if field.is_required():
        raise AblateError(f"{where} has no default", hint="every setting of a core needs a default value")
    parts, metadata = _unwrap(field.annotation, list(field.metadata))
    members = [part for part in parts if part is not type(None)]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    tables = bool(extra.get("tables"))
    kind, choices = _kind([member for member in members if member is not str] if tables else members, where)
    low, low_open = _bound(metadata, annotated_types.Gt, annotated_types.Ge, "gt", "ge", max)
    high, high_open = _bound(metadata, annotated_types.Lt, annotated_types.Le, "lt", "le", min)
    default = field.get_default(call_default_factory=True, validated_data={})
    return FactorInfo(
        name=name,
        kind=kind,
        default=default.value if isinstance(default, Enum) else default,
        choices=choices,
        low=low,
        high=high,
        low_open=low_open,
        high_open=high_open,
        optional=len(members) < len(parts),
        tables=tables,
        unit=str(extra.get("unit", "")),
        doc=field.description or "",
    )


def _unwrap(annotation: Any, metadata: list[Any]) -> tuple[list[Any], list[Any]]:
    """Flatten unions and Annotated into plain types and all metadata."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _unwrap(inner, [*metadata, *more])
    if origin in (Union, types.UnionType):
        parts: list[Any] = []
        for argument in get_args(annotation):
            found, metadata = _unwrap(argument, metadata)
            parts.extend(found)
        return parts, metadata
    return [annotation], metadata


def _kind(members: Iterable[Any], where: str) -> tuple[Kind, tuple[str, ...]]:
    types_found = list(members)
    names = [name for member in types_found for name in _names(member)]
    if names and all(_names(member) for member in types_found):
        return "name", tuple(names)
    plain: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
    if len(types_found) == 1 and types_found[0] in plain:
        return plain[types_found[0]], ()
    if set(types_found) == {int, float}:
        return "float", ()
    raise AblateError(
        f"{where} has a type that cannot be varied: {' | '.join(str(member) for member in types_found)}",
        hint="use bool, int, float, str or Literal['name', ...], each with ' | None' if it may be left out",
    )


def _names(member: Any) -> tuple[str, ...]:
    """The words of a Literal or of an enumeration of words, else nothing."""
    if get_origin(member) is Literal:
        values = get_args(member)
    elif isinstance(member, type) and issubclass(member, Enum):
        values = tuple(entry.value for entry in member)
    else:
        return ()
    return values if all(isinstance(value, str) for value in values) else ()


def _bound(
    metadata: Iterable[Any], open_type: type, closed_type: type, open_name: str, closed_name: str, tighter: Any
) -> tuple[float | None, bool]:
    """The tightest bound of one side and whether it is open; pydantic may leave bounds in a FieldInfo or bare."""
    found: list[tuple[float, bool]] = []
    for item in metadata:
        for entry in item.metadata if isinstance(item, FieldInfo) else (item,):
            if isinstance(entry, open_type | annotated_types.Interval) and getattr(entry, open_name) is not None:
                found.append((getattr(entry, open_name), True))
            if isinstance(entry, closed_type | annotated_types.Interval) and getattr(entry, closed_name) is not None:
                found.append((getattr(entry, closed_name), False))
    if not found:
        return None, False
    value = tighter(bound for bound, _ in found)
    return float(value), any(is_open for bound, is_open in found if bound == value)
