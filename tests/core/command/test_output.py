"""Output is kept line by line, however it arrives, and searched for what is wanted."""

from __future__ import annotations

import io
import re

from hypothesis import given
from hypothesis import strategies as st

from ablate.core.command.output import Output


def fed(data: bytes, cuts: list[int] | None = None) -> tuple[str, Output]:
    log = io.BytesIO()
    output = Output(log, {"loss": re.compile("loss ([0-9.]+)")}, {"diverged": [re.compile("loss is nan")]})
    at = 0
    for cut in [*sorted(cuts or ()), len(data)]:
        output.feed(data[at:cut])
        at = max(at, cut)
    output.end()
    return log.getvalue().decode(), output


def test_the_last_match_counts_and_a_sign_is_kept_with_its_line() -> None:
    log, output = fed(b"loss 3\nloss 2.5 of 9\nthe loss is nan\nloss is nan again\nno end")
    assert log == "loss 3\nloss 2.5 of 9\nthe loss is nan\nloss is nan again\nno end\n"
    assert output.matches["loss"][1] == "2.5"
    assert output.seen == {"diverged": "the loss is nan"}
    assert output.lines == 5
    assert output.last[-1] == "no end"


def test_a_line_that_is_drawn_over_is_kept_as_it_stood_last_and_every_state_is_searched() -> None:
    log, output = fed(b"\r 10% loss 9\r 50% loss 8\r100%\ndone\r\n")
    assert log == "100%\ndone\n"
    assert output.matches["loss"][1] == "8"


def test_a_line_without_end_and_bytes_that_are_no_text_do_no_harm() -> None:
    log, output = fed(b"x" * 200_000 + b"\xff loss 4\n")
    assert "\ufffd loss 4" in log
    assert output.matches["loss"][1] == "4"


@given(st.text(alphabet="ab\r\n loss3", max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_how_the_output_is_cut_into_pieces_does_not_matter(text: str, cuts: list[int]) -> None:
    data = text.encode()
    log, output = fed(data, [min(cut, len(data)) for cut in cuts])
    whole, other = fed(data)
    assert log == whole
    assert (output.lines, list(output.last)) == (other.lines, list(other.last))
    assert {name: match[0] for name, match in output.matches.items()} == {n: m[0] for n, m in other.matches.items()}
