"""Times, sizes and names stay short and never lie about what was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ablate.human_units import brief, number, pad, quoted, shorten, size, spoken, visible


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (7.6, "8s"),
        (59.6, "1m00"),
        (250, "4m10"),
        (3720, "1h02"),
        (86400 * 3 + 3600 * 4, "3d04h"),
        (-1, "0s"),
    ],
)
def test_brief_durations(seconds: float, expected: str) -> None:
    assert brief(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.42, "0.4 s"), (8.2, "8 s"), (250, "4 min 10 s"), (240, "4 min"), (5100, "1 h 25 min"), (7199, "2 h")],
)
def test_spoken_durations(seconds: float, expected: str) -> None:
    assert spoken(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(512, "512 B"), (1500, "1.5 kB"), (212e9, "212 GB"), (3.14e9, "3.1 GB"), (5e12, "5.0 TB")],
)
def test_sizes(count: float, expected: str) -> None:
    assert size(count) == expected


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(29.5031, 2, "29.50"), (0.00004, 3, "4.00e-05"), (0.0, 2, "0.00"), (-0.31, 2, "-0.31"), (2.5e7, 1, "2.50e+07")],
)
def test_numbers_keep_what_they_say(value: float, digits: int, expected: str) -> None:
    assert number(value, digits) == expected


@given(st.text(max_size=60), st.integers(0, 40))
def test_shortened_names_fit(name: str, width: int) -> None:
    assert cell_len(shorten(name, width)) <= width


@given(st.text(max_size=60), st.integers(2, 40))
def test_padded_names_fill_their_column(name: str, width: int) -> None:
    assert cell_len(pad(name, width)) == width


def test_shortening_keeps_the_level_at_the_end() -> None:
    assert shorten("noise_schedule=exponential", 16) == "noise…xponential"


@given(st.text())
def test_visible_text_cannot_steer_the_terminal(text: str) -> None:
    assert "\x1b" not in visible(text)
    assert "\n" not in visible(text)


def test_values_with_spaces_are_quoted() -> None:
    assert [quoted(value) for value in ("a=b", "both lr", 'say "x"', "", 0.5, 3)] == [
        "a=b", '"both lr"', '"say \\"x\\""', '""', "0.5", "3",
    ]  # fmt: skip
