"""report.md and what escapes into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report.formats.markdown import comparison_markdown, report_markdown
from ablate.report.text.escape import markdown, markdown_code, printable, visible
from tests.sentences import SENTENCES

TABLE = """\
| arm | verdict | n | PSNR diff (dB) ↑ | p (Holm) | SSIM diff ↑ | train seconds diff (%) ↓ | time |
| --- | --- | --: | --: | --: | --: | --: | --: |
| **baseline** | - | 5 | 27.41 ± 0.15 |  | 0.89136 ± 0.00049 | 12.03 ± 0.17 | 1.00x |
| noise_schedule=cosine | worse | 5 | -0.28 [-0.39, -0.18] | .006 | -0.00095 [-0.00131, -0.00058] | -0.2 [-2.0, +1.6] | 1.00x |
| noise_schedule=exponential | equivalent | 5 | -0.003 [-0.046, +0.040] | .835 | -0.00001 [-0.00015, +0.00013] | -0.4 [-2.5, +1.7] | 1.00x |
| dip_epochs=5 | undecided | 5 | -0.27 [-0.50, -0.04] | .064 | -0.00090 [-0.00168, -0.00013] | -20.4 [-22.1, -18.6] | 0.84x |
| dip_epochs=20 | better | 5 | **+0.602** [+0.558, +0.646] | \\<.001 | +0.00201 [+0.00186, +0.00215] | +93.1 [+89.6, +96.6] | 1.74x |
| both lr 0.03 | diverged | 1/5 | - | - | - | - | 0.97x |"""  # noqa: E501  # a table is one line per row


def test_the_table_reads_as_expected(case: Any) -> None:
    assert comparison_markdown(case.material()) == TABLE


def test_the_page_has_answer_table_method_and_origin(case: Any) -> None:
    page = report_markdown(case.material(), [("forest.png", "A forest plot")])
    headings = [line for line in page.splitlines() if line.startswith("#")]

    assert headings == ["# schedules", "## Answer", "## Comparison", "## Method", "## Where it comes from"]
    assert "![A forest plot](figures/forest.png)" in page
    assert SENTENCES["page has answer table"] in page
    assert page.endswith("Generated at 2026-03-01T12:00:00Z by ablate.\n")


def test_the_page_says_what_the_baseline_is(case: Any) -> None:
    base = replace(case.study.arms[0], levels={"noise_schedule": "linear", "lr": 0.001, "note": "a|b", "cap": None})
    page = report_markdown(replace(case, study=replace(case.study, arms=(base, *case.study.arms[1:]))).material())
    assert "\n\nThe baseline: noise_schedule linear, lr 0.001, note a\\|b.\n\n" in page
    assert "The baseline:" not in report_markdown(case.material())


def test_a_hostile_name_stays_in_its_cell(case: Any) -> None:
    name = "a|b\n| c | <b>x</b> [l](javascript:1)"
    arms = (*case.study.arms[:-1], replace(case.study.arms[-1], name=name))
    rows = [replace(row, arm=name) if row.arm == "both lr 0.03" else row for row in case.rows]
    lines = comparison_markdown(replace(case, study=replace(case.study, arms=arms), rows=rows).material()).splitlines()

    assert len(lines) == 8
    assert lines[-1].startswith(r"| a\|b\\n\| c \| \<b\>x\</b\> [l\](javascript:1) | diverged |")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dip_epochs=5", "dip_epochs=5"),
        ("_x_ **y**", r"\_x\_ \*\*y\*\*"),
        ("<img> &amp; `x`", r"\<img\> \&amp; \`x\`"),
        ("[+0.5, +0.6]", "[+0.5, +0.6]"),
        ("![a](b) [c]: d", r"![a\](b) [c\]: d"),
    ],
)
def test_markdown_escapes_only_what_is_markup(text: str, expected: str) -> None:
    assert markdown(text) == expected


def test_inline_code_survives_backticks_and_pipes() -> None:
    assert markdown_code("a") == "`a`"
    assert markdown_code("`a` | b") == "`` `a` \\| b ``"


@given(st.text())
def test_visible_text_is_one_printable_line(text: str) -> None:
    shown = visible(text)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert visible(shown) == shown
    shown.encode()


def test_printable_text_keeps_its_lines() -> None:
    assert printable("a\n\tb\x00\n") == "a\n\tb\\x00"
