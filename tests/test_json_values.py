"""JSON values: frozen and told apart in Python, and short texts that people can read."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.json_values import (
    LONGEST_LABEL,
    FrozenDict,
    JsonValue,
    canonical_json,
    digest_of,
    freeze,
    identity,
    is_same,
    json_label,
    thaw,
)

FRACTIONS = st.floats(-9, 9).filter(lambda value: not value.is_integer())
"""Whole-valued floats are left out: 1 and 1.0 are one level, whose setting's type decides how it is stored."""
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), FRACTIONS, st.text(max_size=4))
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


@given(VALUES)
def test_a_value_is_frozen_and_thawed_without_change(value: Any) -> None:
    frozen = freeze(value)
    assert thaw(frozen) == value
    assert canonical_json(frozen) == canonical_json(value)
    assert freeze(json.loads(json.dumps(value))) == frozen
    assert {frozen: 1}[freeze(value)] == 1
    assert pickle.loads(pickle.dumps(frozen)) == copy.deepcopy(frozen) == frozen


@given(VALUES, VALUES)
def test_values_are_the_same_when_their_json_is(one: Any, other: Any) -> None:
    assert is_same(freeze(one), freeze(other)) == (canonical_json(one) == canonical_json(other))


def test_truth_values_are_no_numbers() -> None:
    assert not is_same(True, 1)
    assert not is_same((1, 0), (True, False))
    assert not is_same(FrozenDict(a=1), FrozenDict(a=True))
    assert is_same((1, 2), (1.0, 2))
    assert len({identity(value) for value in (True, 1, 1.0)}) == 2


def test_the_order_of_keys_means_nothing() -> None:
    """A digest does not see it, so no number may depend on it."""
    one, other = freeze({"b": 1, "a": 2}), freeze({"a": 2, "b": 1})
    assert one == other
    assert list(one) == list(other) == ["a", "b"]  # type: ignore[arg-type]
    assert json_label(one) == json_label(other)


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {"a": {1: 2}}, object(), b"x", {1, 2}], ids=lambda value: str(type(value))
)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not|text"):
        freeze(value)


@pytest.mark.parametrize(
    "change",
    [
        lambda frozen: frozen.update(a=2),
        lambda frozen: frozen.pop("a"),
        lambda frozen: frozen.__setitem__("a", 2),
        lambda frozen: frozen.__ior__({"a": 2}),
    ],
)
def test_a_frozen_mapping_cannot_be_changed(change: Any) -> None:
    frozen = FrozenDict(a=1)
    with pytest.raises(TypeError):
        change(frozen)
    assert frozen == {"a": 1}


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ([64, 64], "[64, 64]"),
        ([0.5, 1.0, 1e-5], "[0.5, 1, 1e-05]"),
        ([], "[]"),
        ({}, "{}"),
        ({"name": "adam", "lr": 0.1}, "{lr: 0.1, name: adam}"),
        ([True, None, "true", "1", "a b", "conv-3"], '[true, null, "true", "1", "a b", conv-3]'),
        ([[1, 2], {"a": [3]}], "[[1, 2], {a: [3]}]"),
        ("[64, 64]", "[64, 64]"),
        (1.0, "1"),
    ],
)
def test_a_label_is_what_a_study_file_may_write(value: Any, label: str) -> None:
    assert json_label(freeze(value)) == label


def test_a_long_label_is_cut_and_still_tells_values_apart() -> None:
    labels = {json_label((*range(100, 130), last)) for last in (1, 2, 3)}
    assert len(labels) == 3
    for label in labels:
        assert label.startswith("[100, 101")
        assert "31 items" in label
    assert digest_of([*range(100, 130), 1])[:8] in json_label((*range(100, 130), 1))
    assert len(json_label(freeze({f"key{n}": "x" * 90 for n in range(9)}))) <= LONGEST_LABEL


@given(VALUES.filter(lambda value: isinstance(value, list | dict)))
def test_labels_are_short_and_printable(value: JsonValue) -> None:
    label = json_label(freeze(value))
    assert len(label) <= LONGEST_LABEL + 16
    assert label[0] + label[-1] in ("[]", "{}")
