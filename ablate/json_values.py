"""Values of settings: any JSON, frozen, with one short text each that people, Optuna and arm names share."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

Scalar: TypeAlias = bool | int | float | str | None
"""A single value."""
JsonValue: TypeAlias = Scalar | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
"""What a level may be. Inside ablate it is frozen (see `freeze`): lists are tuples, mappings are `FrozenDict`."""

LONGEST_LABEL = 48
"""Characters of a list or mapping that is written in full."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]*")
_RESERVED = frozenset({"true", "false", "yes", "no", "on", "off", "null", "none", "nan", "inf", "infinity"})


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed and can therefore be hashed; JSON and pydantic take it for the dict it is."""

    def __hash__(self) -> int:  # type: ignore[override]
        return frozenset(self.items()).__hash__()  # for sets and keys of this process; digests name values elsewhere

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a recipe's settings cannot be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenDict, (dict(self),))


def freeze(value: Any) -> JsonValue:
    """Return `value` with lists as tuples and mappings as `FrozenDict`, so that it can be compared and hashed.

    Keys are put in alphabetical order: their order is no part of a digest, so it must not be able to change a number.
    Raises ValueError for what JSON has no form for: a number that is not finite, a key that is no text, or anything
    but null, truth values, numbers, texts, lists and mappings.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"not finite: {value!r}")
        return value
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"a key of a mapping is a text, not {wrong[0]!r}")
        return FrozenDict({key: freeze(value[key]) for key in sorted(value)})
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return tuple(freeze(item) for item in value)
    raise ValueError(f"not JSON: {type(value).__name__}")


def frozen_settings(settings: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return `settings` with every value frozen; raises ValueError that names the setting which is no JSON."""
    found = {}
    for name, value in settings.items():
        try:
            found[name] = freeze(value)
        except ValueError as error:
            raise ValueError(f"setting {name!r} is {error}") from None
    return found


def thaw(value: Any) -> Any:
    """Return a frozen value as plain lists and dicts, as ``json.loads`` would give it."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [thaw(item) for item in value]
    return value


def plain_settings(settings: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return a dict of its own with every value as plain lists and dicts."""
    return {name: thaw(value) if isinstance(value, tuple | Mapping) else value for name, value in settings.items()}


def canonical_json(value: Any) -> str:
    """Return one JSON text per value: keys sorted, no white space, ``1e-3`` and ``0.001`` alike.

    A whole-valued float stays a float (``1.0``), so a setting's declared type decides its digest, never the way it
    was written. Non-finite numbers are refused with ValueError: they have no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value` as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def identity(value: JsonValue) -> Any:
    """Return what tells `value` from others when it is compared or hashed: ``true`` is not 1, ``1`` is ``1.0``."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, Mapping):
        return (dict, tuple((key, identity(value[key])) for key in sorted(value)))
    return tuple(identity(item) for item in value) if isinstance(value, tuple | list) else value


def is_same(one: JsonValue, other: JsonValue) -> bool:
    """True for equal values (see `identity`)."""
    return bool(identity(one) == identity(other))


def json_label(value: JsonValue) -> str:
    """Return `value` as a study file may write it: ``[64, 64]``, ``{name: adam, lr: 0.1}``, ``true``, ``null``, ``1``.

    A list or mapping of more than `LONGEST_LABEL` characters is cut, and its digest keeps labels of different values
    apart: ``[64, 64, ... 40 items, #1a2b3c4d]``. Single values are never cut.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, tuple | list | Mapping):
        return _scalar(value)
    text = _nested(value)
    if len(text) <= LONGEST_LABEL:
        return text
    kept: list[str] = []
    for item in _items(value):
        if sum(len(one) + 2 for one in kept) + len(item) > LONGEST_LABEL // 2:
            break
        kept.append(item)
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    count = f"{len(value)} {'keys' if isinstance(value, Mapping) else 'items'}, #{digest_of(value)[:8]}"
    return f"{opening}{', '.join([*kept, f'... {count}'])}{closing}"


def _items(value: Sequence[JsonValue] | Mapping[str, JsonValue]) -> Iterable[str]:
    if isinstance(value, Mapping):
        return (f"{_text(key)}: {_nested(item)}" for key, item in value.items())
    return (_nested(item) for item in value)


def _nested(value: JsonValue) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(_items(value))}}}"
    return f"[{', '.join(_items(value))}]" if isinstance(value, tuple | list) else _scalar(value)


def _text(value: str) -> str:
    """A text inside a list or mapping: in quotes unless it is a plain word, so that ``"1"`` is not taken for 1."""
    plain = _WORD.fullmatch(value) and value.casefold() not in _RESERVED
    return value if plain else json.dumps(value, ensure_ascii=False)


def _scalar(value: JsonValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
