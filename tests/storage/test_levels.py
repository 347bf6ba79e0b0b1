"""Levels as Optuna params: exact, and able to grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from ablate.errors import StorageError
from ablate.json_values import JsonValue, Scalar, freeze
from ablate.storage.levels import LARGEST_INT, ParamKind, covering, encoded, is_omitted, stored_level
from ablate.storage.read import decoded_level

INTS = st.integers(-LARGEST_INT, LARGEST_INT)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEVELS: dict[ParamKind, st.SearchStrategy[list[Scalar]]] = {
    "int": st.lists(INTS, min_size=1),
    "float": st.lists(FLOATS, min_size=1),
    "bool": st.lists(st.booleans() | st.none(), min_size=1),
    "text": st.lists(st.one_of(st.text(), st.booleans(), st.integers(-3, 3), FLOATS, st.none()), min_size=1),
    ("linear", "cosine"): st.lists(st.sampled_from(["linear", "cosine", "new", None]), min_size=1),
}


@pytest.mark.parametrize("kind", LEVELS, ids=str)
@given(data=st.data())
def test_every_level_comes_back_as_written_however_many_follow(kind: ParamKind, data: st.DataObject) -> None:
    """The number stored at first, read with the widest distribution, is still the same value of the same type."""
    levels = data.draw(LEVELS[kind])
    distribution: BaseDistribution | None = None
    stored: list[float] = []
    for level in levels:
        distribution = covering("x", kind, distribution, level)
        stored.append(encoded(distribution, level))
    assert distribution is not None
    text = distribution_to_json(distribution)
    assert [(type(level), level) for level in levels] == [
        (type(level), level) for level in (decoded_level(number, text) for number in stored)
    ]
    assert json_to_distribution(text) == distribution


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.lists(JSON, min_size=1))
def test_lists_and_mappings_are_stored_by_a_label_that_stays(values: list[JsonValue]) -> None:
    distribution: BaseDistribution | None = None
    levels = [stored_level(freeze(value)) for value in values]
    numbers = []
    for level in levels:
        distribution = covering("x", "json", distribution, level)
        numbers.append(encoded(distribution, level))
    assert distribution is not None
    text = distribution_to_json(distribution)
    assert [(type(level), level) for level in levels] == [
        (type(level), level) for level in (decoded_level(number, text) for number in numbers)
    ]


def test_a_stored_list_reads_as_in_a_study_file() -> None:
    assert stored_level((64, 64)) == "[64, 64]"
    assert covering("layers", "json", None, stored_level((64, 64))) == CategoricalDistribution(("[64, 64]",))
    assert stored_level(0.5) == 0.5


def test_a_range_is_no_wider_than_the_levels() -> None:
    """Optuna's importances are meaningless on a range far wider than the values in it."""
    first = covering("lr", "float", None, 0.001)
    assert covering("lr", "float", first, 0.01) == FloatDistribution(0.001, 0.01)
    assert covering("n", "int", IntDistribution(8, 16), 4) == IntDistribution(4, 16)


def test_names_start_with_all_that_the_core_knows_and_are_only_appended() -> None:
    before = covering("s", ("linear", "cosine"), None, "cosine")
    assert before == CategoricalDistribution(("linear", "cosine"))
    assert covering("s", ("cosine", "sigmoid", "linear"), before, "mine") == CategoricalDistribution(
        ("linear", "cosine", "sigmoid", "mine")
    )


def test_true_is_not_taken_for_one() -> None:
    both = covering("x", "text", covering("x", "text", None, 1), True)
    assert (encoded(both, 1), encoded(both, True)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("kind", "before", "value"),
    [
        ("int", None, 2**53 + 1),
        ("int", None, 1.5),
        ("int", None, True),
        ("float", None, "much"),
        ("float", None, False),
        ("int", FloatDistribution(0, 1), 1),
        ("float", IntDistribution(0, 1), 1.0),
        ("text", IntDistribution(0, 1), "a"),
    ],
)
def test_a_value_that_would_come_back_changed_is_refused(
    kind: ParamKind, before: BaseDistribution | None, value: Scalar
) -> None:
    with pytest.raises(StorageError) as caught:
        covering("x", kind, before, value)
    assert caught.value.hint is not None


def test_only_numbers_are_omitted_when_none() -> None:
    assert [is_omitted(kind, None) for kind in LEVELS] == [True, True, False, False, False]
    assert not is_omitted("int", 0)
