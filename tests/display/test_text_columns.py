"""Columns fit the screen by shortening names, never numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ablate.display.text_columns import lay_out


def test_names_shrink_and_numbers_stay() -> None:
    rows = [("baseline", "3/3", "29.50"), ("noise_schedule=exponential", "2/3", "28.67")]
    lines = [line.plain for line in lay_out(("arm", "seeds", "psnr"), rows, align="~>>", width=34)]
    assert lines == [
        "  arm                 seeds   psnr",
        "  baseline              3/3  29.50",
        "  noise_…exponential    2/3  28.67",
    ]


def test_columns_without_text_are_left_out() -> None:
    lines = [line.plain for line in lay_out(("arm", "note", "n"), [("a", "", "1")], align="~<>", width=80)]
    assert lines == ["  arm  n", "  a    1"]


@given(st.lists(st.tuples(st.text(max_size=50), st.integers(0, 10**9).map(str)), min_size=1), st.integers(24, 100))
def test_lines_fit_the_width(rows: list[tuple[str, str]], width: int) -> None:
    for line in lay_out(("arm", "count"), rows, align="~>", width=width):
        assert cell_len(line.plain) <= width
    numbers = [row[1] for row in rows]
    assert [line.plain.split()[-1] for line in lay_out(("arm", "count"), rows, align="~>", width=width)[1:]] == numbers
