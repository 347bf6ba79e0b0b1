"""Factors: what a core lets a study vary, read from the fields of its settings model."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from ablate.beta_tables import is_table, table_label
from ablate.errors import AblateError
from ablate.interface import CoreSettings, default_of, nested_model
from ablate.json_values import JsonValue, freeze, json_label
from ablate.study.json_types import JsonType, json_type

Kind = Literal["bool", "int", "float", "name", "text", "json"]
"""What a factor's levels are: a truth value, a number, one of some names, a text, or any other JSON (see `json`)."""
_DEEPEST = 8
"""Models nested in one another."""


@dataclass(frozen=True)
class FactorInfo:
    """One factor. `low` and `high` are inclusive unless `low_open` or `high_open`; None means unbounded."""

    name: str
    kind: Kind
    default: JsonValue
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
    json: JsonType | None = field(default=None, compare=False)
    """What JSON a level of kind ``json`` is: lists, mappings, unions."""

    @property
    def takes_list(self) -> bool:
        """True when one level may be a list."""
        return self.json is not None and self.json.takes_list

    @property
    def takes_mapping(self) -> bool:
        """True when one level may be a mapping."""
        return self.json is not None and self.json.takes_mapping

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


def level_text(value: JsonValue) -> str:
    """Return a level as study files and arm names write it: ``true``, ``0.001``, ``1``, ``null``, ``[64, 64]``.

    Long lists and mappings are cut, with a digest that keeps them apart; a table is said in brief.
    """
    if isinstance(value, str) and is_table(value):
        return table_label(value)
    return json_label(value)


def factors_of(settings_model: type[CoreSettings]) -> dict[str, FactorInfo]:
    """Return the factors of a core by name, in the order of its settings; those of nested models by dotted name.

    Raises AblateError for a settings model that cannot be varied: a field without default, or whose default is no
    JSON.
    """
    return {factor.name: factor for factor in _factors(settings_model, None, "", settings_model.__name__)}


def _factors(model: type[BaseModel], instance: BaseModel | None, prefix: str, owner: str) -> Iterator[FactorInfo]:
    """The factors of `model`, whose defaults are those of `instance` where there is one."""
    if prefix.count(".") > _DEEPEST:
        raise AblateError(f"setting {prefix[:-1]!r} of {owner} is nested more than {_DEEPEST} levels deep")
    for name, info in model.model_fields.items():
        full, inner = f"{prefix}{name}", nested_model(info)
        if instance is None and info.is_required() and inner is None:
            raise AblateError(
                f"setting {full!r} of {owner} has no default", hint="every setting of a core needs a default value"
            )
        try:
            default = getattr(instance, name) if instance is not None else default_of(info, inner)
        except ValueError as error:
            hint = "every setting of a core needs a default value"
            raise AblateError(f"setting {full!r} of {owner} has no default", hint=hint) from error
        if inner is None:
            yield _factor(full, info, default, f"setting {full!r} of {owner}")
        elif isinstance(default, BaseModel):
            yield from _factors(inner, default, f"{full}.", owner)
        else:
            raise AblateError(f"setting {full!r} of {owner} is a {inner.__name__}, and so must its default be")


def _factor(name: str, field: FieldInfo, default: Any, where: str) -> FactorInfo:
    parts, metadata = _unwrap(field.annotation, list(field.metadata))
    members = [part for part in parts if part is not type(None)]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    tables = bool(extra.get("tables"))
    kind, choices = _kind([member for member in members if member is not str] if tables else members)
    low, low_open = _bound(metadata, annotated_types.Gt, annotated_types.Ge, "gt", "ge", max)
    high, high_open = _bound(metadata, annotated_types.Lt, annotated_types.Le, "lt", "le", min)
    type_ = json_type(field.annotation) if kind == "json" else None
    return FactorInfo(
        name=name,
        kind=kind,
        default=_default(default, where),
        choices=choices,
        low=None if type_ else low,
        high=None if type_ else high,
        low_open=low_open and type_ is None,
        high_open=high_open and type_ is None,
        optional=len(members) < len(parts) or (type_ is not None and type_.takes_null),
        tables=tables,
        unit=str(extra.get("unit", "")),
        doc=field.description or "",
        json=type_,
    )


def _default(value: Any, where: str) -> JsonValue:
    try:
        return freeze(to_jsonable_python(value.value if isinstance(value, Enum) else value))
    except ValueError as error:
        raise AblateError(f"{where} has a default that is no JSON: {error}", hint="settings are JSON values") from error


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


def _kind(members: Iterable[Any]) -> tuple[Kind, tuple[str, ...]]:
    types_found = list(members)
    names = [name for member in types_found for name in _names(member)]
    if names and all(_names(member) for member in types_found):
        return "name", tuple(names)
    plain: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
    if len(types_found) == 1 and isinstance(types_found[0], type) and types_found[0] in plain:
        return plain[types_found[0]], ()
    if len(types_found) == 2 and all(one in (int, float) for one in types_found):
        return "float", ()
    return "json", ()


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
