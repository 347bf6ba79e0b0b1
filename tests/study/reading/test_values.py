"""Reading single values: what YAML would have guessed does not matter, the wanted kind decides."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.recipe import Scalar
from ablate.study.factors import FactorInfo
from ablate.study.problems import BadValueError, Mark, Source
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Table

MARK = Mark(Source("s.yaml"))


def word(text: str, *, plain: bool = True) -> Leaf:
    return Leaf(text, plain=plain, mark=MARK)


def refusal(text: str, factor: FactorInfo, *, plain: bool = True) -> tuple[str, str | None]:
    with pytest.raises(BadValueError) as caught:
        values.level(word(text, plain=plain), factor)
    return caught.value.message, caught.value.suggestion


LR = FactorInfo("lr", "float", 0.001, low=0, low_open=True, high=1)
SIZE = FactorInfo("batch_size", "int", 64, low=1, high=4096, unit="images")
EMA = FactorInfo("ema", "bool", True)
METHOD = FactorInfo("method", "name", "ddpm", choices=("ddpm", "dip", "off", "yes"))
NOTE = FactorInfo("note", "text", "")
WINDOW = FactorInfo("window", "int", None, optional=True)


@pytest.mark.parametrize(
    ("text", "factor", "expected"),
    [
        ("1e-3", LR, 0.001),
        ("0.001", LR, 0.001),
        ("+1E-3", LR, 0.001),
        (".5", LR, 0.5),
        ("1", LR, 1.0),
        ("64", SIZE, 64),
        ("64.0", SIZE, 64),
        ("1e3", SIZE, 1000),
        ("1_000", SIZE, 1000),
        ("00", FactorInfo("n", "int", 1), 0),
        ("08", FactorInfo("n", "int", 1), 8),
        ("-3", FactorInfo("n", "int", 1), -3),
        ("true", EMA, True),
        ("Yes", EMA, True),
        ("OFF", EMA, False),
        ("no", EMA, False),
        ("off", METHOD, "off"),
        ("yes", METHOD, "yes"),
        ("dip", METHOD, "dip"),
        ("1e-3", NOTE, "1e-3"),
        ("010", NOTE, "010"),
        ("null", WINDOW, None),
        ("~", WINDOW, None),
        ("", WINDOW, None),
        ("5", WINDOW, 5),
    ],
)
def test_a_level_is_read_as_the_factor_wants_it(text: str, factor: FactorInfo, expected: Scalar) -> None:
    found = values.level(word(text), factor)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "factor", "message", "suggestion"),
    [
        ("010", SIZE, "010 is ambiguous: YAML 1.1 reads it as 8, other readers as 10", "write 10"),
        ("12:30", SIZE, "12:30 is not a number (YAML 1.1 reads it as 750, counting in sixties)", None),
        ("1:02:03", LR, "1:02:03 is not a number (YAML 1.1 reads it as 3723, counting in sixties)", None),
        ("0x10", SIZE, "expected a whole number in decimal digits, got '0x10'", None),
        (".nan", LR, "a number must be finite, not .nan", None),
        ("-inf", LR, "a number must be finite, not -inf", None),
        ("1e999", LR, "1e999 is too large for a number", None),
        ("1e20", SIZE, "1e20 is too large for a whole number: at most 2**53", None),
        ("1" * 70, SIZE, f"expected a whole number, got '{'1' * 57}...'", None),
        ("1.5", SIZE, "expected a whole number, got '1.5'", None),
        ("0", SIZE, "0 is out of range: at least 1, at most 4096 images", None),
        ("0", LR, "0 is out of range: above 0, at most 1", None),
        ("1.5", LR, "1.5 is out of range: above 0, at most 1", None),
        ("fast", LR, "expected a number, got 'fast'", None),
        ("１２", SIZE, "expected a whole number, got '１２'", None),
        ("", LR, "expected a level, got nothing (default: 0.001)", None),
        ("none", WINDOW, "'none' is only a text here", "write null for no value"),
        ("1", EMA, "expected true or false, got '1'", "did you mean true?"),
        ("0", EMA, "expected true or false, got '0'", "did you mean false?"),
        ("maybe", EMA, "expected true or false, got 'maybe'", None),
        ("DIP", METHOD, "unknown name 'DIP'", "did you mean 'dip'?"),
        ("no", METHOD, "unknown name 'no'", None),
    ],
)
def test_what_cannot_be_read_says_what_would_be(
    text: str, factor: FactorInfo, message: str, suggestion: str | None
) -> None:
    assert refusal(text, factor) == (message, suggestion)


@pytest.mark.parametrize(
    ("text", "factor", "suggestion"),
    [
        ("0.01", LR, "did you mean 0.01, without quotes?"),
        ("64", SIZE, "did you mean 64, without quotes?"),
        ("true", EMA, "did you mean true, without quotes?"),
    ],
)
def test_quotes_make_a_text(text: str, factor: FactorInfo, suggestion: str) -> None:
    assert refusal(text, factor, plain=False)[1] == suggestion


def test_a_quoted_null_is_a_text() -> None:
    assert values.level(word("null", plain=False), NOTE) == "null"


@pytest.mark.parametrize(
    ("node", "found"), [(Items((), MARK), "a list"), (Table((), MARK), "a mapping")], ids=["list", "mapping"]
)
def test_a_level_is_one_value(node: Items | Table, found: str) -> None:
    with pytest.raises(BadValueError, match=f"expected one level, got {found}"):
        values.level(node, LR)


def test_text_wants_something() -> None:
    with pytest.raises(BadValueError, match="expected a text, got nothing"):
        values.text(word(""))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_survives_its_text(number: float) -> None:
    assert values.number(word(repr(number))) == number


@given(st.integers(-(2**53), 2**53))
def test_every_exact_whole_number_survives_its_text(number: int) -> None:
    assert values.whole(word(str(number))) == number


@given(st.text(), st.booleans(), st.sampled_from([LR, SIZE, EMA, METHOD, NOTE, WINDOW]))
def test_any_text_is_read_or_refused(text: str, plain: bool, factor: FactorInfo) -> None:
    """What is read is finite, in range and of the factor's kind; nothing else is ever raised."""
    try:
        found = values.level(word(text, plain=plain), factor)
    except BadValueError:
        return
    if factor.choices:
        assert found in factor.choices
    elif isinstance(found, int | float):
        assert math.isfinite(found)
        assert factor.contains(found)
