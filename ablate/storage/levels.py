"""How a factor's levels become Optuna params: readable, exact, and able to grow.

Optuna stores a number and, per trial, the distribution that decodes it. It refuses a second distribution of another
kind, and a categorical whose choices changed; a range far wider than the levels is accepted, but makes its importance
estimates meaningless. So the distribution of a factor is always the smallest that covers every level the study has
seen (names: also every name the core knows), and when a level is added, all trials of the study get the wider one in
the same transaction. Ranges only widen and choices are only appended, so no stored value changes its meaning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ablate.errors import StorageError
from ablate.json_values import JsonValue, Scalar, json_label

ParamKind = Literal["int", "float", "bool", "text", "json"] | tuple[str, ...]
"""What a factor's levels are; a tuple holds the names that the core knows."""

LARGEST_INT: Final = 2**53
"""Optuna stores every param as a double: integers beyond this would come back changed."""


def stored_level(value: JsonValue) -> Scalar:
    """Return a level as Optuna keeps it: single values as they are, a list or mapping as its label ``[64, 64]``.

    A label is for people. What a trial computed is in its recipe, and what a candidate tries in its attributes.
    """
    return json_label(value) if isinstance(value, tuple | list | Mapping) else _single(value)


def _single(value: JsonValue) -> Scalar:
    assert value is None or isinstance(value, bool | int | float | str)
    return value


def is_omitted(kind: ParamKind, value: Scalar) -> bool:
    """True for "no value" of a numeric factor: Optuna's way to say that is a trial without this param."""
    return value is None and kind in ("int", "float")


def covering(name: str, kind: ParamKind, before: BaseDistribution | None, value: Scalar) -> BaseDistribution:
    """Return the smallest distribution that holds `before` and `value` (not omitted). Raises StorageError."""
    if kind == "int":
        return _int_range(name, before, value)
    if kind == "float":
        return _float_range(name, before, value)
    return _choices(name, kind, before, value)


def encoded(distribution: BaseDistribution, value: Scalar) -> float:
    """Return the number that Optuna stores for `value`, which `distribution` covers."""
    if isinstance(distribution, CategoricalDistribution):
        # Not `to_internal_repr`: it takes True for 1 and 1.0.
        return float(next(i for i, choice in enumerate(distribution.choices) if _same(choice, value)))
    return float(distribution.to_internal_repr(value))


def joined(before: BaseDistribution | None, declared: BaseDistribution) -> BaseDistribution:
    """Return the range of a search, widened by the levels stored so far (`before`)."""
    if isinstance(before, IntDistribution) and isinstance(declared, IntDistribution):
        return _widened_int(_widened_int(declared, before.low), before.high)
    if isinstance(before, FloatDistribution) and isinstance(declared, FloatDistribution):
        return _widened_float(_widened_float(declared, before.low), before.high)
    return before if before is not None else declared


def _widened_int(range_: IntDistribution, value: int) -> IntDistribution:
    """The range with `value` in it; steps and the log scale go where they cannot hold it."""
    low, high = min(range_.low, value), max(range_.high, value)
    fits = (value - range_.low) % range_.step == 0
    return IntDistribution(low, high, log=range_.log and low > 0, step=range_.step if fits else 1)


def _widened_float(range_: FloatDistribution, value: float) -> FloatDistribution:
    low, high = min(range_.low, value), max(range_.high, value)
    steps = None if range_.step is None else (value - range_.low) / range_.step
    step = range_.step if steps is not None and math.isclose(steps, round(steps), abs_tol=1e-9) else None
    return FloatDistribution(low, high, log=range_.log and low > 0, step=step)


def _int_range(name: str, before: BaseDistribution | None, value: Scalar) -> IntDistribution:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _not_a(name, "a whole number", value)
    if abs(value) > LARGEST_INT:
        raise StorageError(
            f"factor {name!r}: {value} is too large to be stored exactly", hint=f"stay within {LARGEST_INT}"
        )
    if before is None:
        return IntDistribution(value, value)
    if not isinstance(before, IntDistribution):
        raise _other_kind(name)
    return _widened_int(before, value)


def _float_range(name: str, before: BaseDistribution | None, value: Scalar) -> FloatDistribution:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _not_a(name, "a number", value)
    if before is None:
        return FloatDistribution(value, value)
    if not isinstance(before, FloatDistribution):
        raise _other_kind(name)
    return _widened_float(before, value)


def _choices(name: str, kind: ParamKind, before: BaseDistribution | None, value: Scalar) -> CategoricalDistribution:
    if before is not None and not isinstance(before, CategoricalDistribution):
        raise _other_kind(name)
    choices: list[Scalar] = list(before.choices) if before is not None else []
    known: tuple[Scalar, ...] = (False, True) if kind == "bool" else kind if isinstance(kind, tuple) else ()
    for level in (*known, value):
        if not any(_same(choice, level) for choice in choices):
            choices.append(level)
    return CategoricalDistribution(choices)


def _same(one: Scalar, other: Scalar) -> bool:
    return type(one) is type(other) and one == other


def _not_a(name: str, what: str, value: Scalar) -> StorageError:
    return StorageError(f"factor {name!r} is {what}, not {value!r}", hint="check the core's settings model")


def _other_kind(name: str) -> StorageError:
    return StorageError(
        f"factor {name!r} was stored as another kind of value", hint="give the study another --name or --results"
    )
