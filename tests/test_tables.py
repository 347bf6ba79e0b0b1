"""Tables as texts: exact, canonical, and refused when they are no forward process."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.beta_tables import betas_of, is_table, table_fault, table_label, table_numbers, table_text

BETAS = st.lists(st.floats(1e-6, 0.999), min_size=2, max_size=40)


@given(BETAS)
def test_a_table_survives_as_text_to_the_last_bit(betas: list[float]) -> None:
    text = table_text(betas)
    assert is_table(text)
    assert table_numbers(text) == betas
    assert table_text(table_numbers(text)) == text


@given(BETAS)
def test_alpha_bars_and_their_betas_are_one_schedule(betas: list[float]) -> None:
    """Cumulative products and back: the betas return to float64 accuracy of a difference from 1."""
    bars = [math.prod(1 - beta for beta in betas[: at + 1]) for at in range(len(betas))]
    if bars[-1] > 0 and table_fault("alpha_bars", bars) is None:
        assert betas_of("alpha_bars", bars) == pytest.approx(betas, abs=1e-14)


@pytest.mark.parametrize(
    ("kind", "numbers", "at", "words"),
    [
        ("betas", [0.1], 0, "2 to 10000 numbers"),
        ("betas", [0.1, 0.0, 0.2], 1, "beta = 0.0 at t = 2"),
        ("betas", [0.1, 1.0, 0.2], 1, "beta = 1.0 at t = 2"),
        ("betas", [0.1, -0.2], 1, "beta = -0.2"),
        ("alpha_bars", [1.0, 0.5], 0, "alpha-bar = 1.0 at t = 1"),
        ("alpha_bars", [0.9, 0.9], 1, "after 0.9"),
        ("alpha_bars", [0.9, 0.0, 0.0], 1, "alpha-bar = 0.0 at t = 2"),
    ],
)
def test_the_first_fault_is_named(kind: str, numbers: list[float], at: int, words: str) -> None:
    fault = table_fault(kind, numbers)  # type: ignore[arg-type]
    assert fault is not None
    assert fault[0] == at
    assert words in fault[1]


def test_the_last_step_may_destroy_everything() -> None:
    assert table_fault("betas", [0.1, 1.0]) is None
    assert betas_of("alpha_bars", [0.9, 0.0]) == pytest.approx([0.1, 1.0])


def test_alpha_bars_without_noise_between_them_are_refused() -> None:
    with pytest.raises(ValueError, match="beta = "):
        betas_of("alpha_bars", [1.0 - 1e-16, 5e-324, 0.0])


@pytest.mark.parametrize("text", ["[", "[1, 2]", "[true,0.5]", '["a"]', "[NaN,0.5]", "[0.1]", "{}"])
def test_other_texts_are_no_table(text: str) -> None:
    with pytest.raises(ValueError, match=r"table|betas|beta"):
        table_numbers(text)


def test_labels_depend_on_the_numbers_alone() -> None:
    assert table_label(table_text([0.1, 0.2])) == table_label("[0.1,0.2]")
    assert table_label("[0.1,0.2]") != table_label("[0.1,0.3]")
    assert table_label("[0.1,0.2]").endswith("of 2 betas")
