"""The comparison in a terminal: 80 columns, words without colour, whole numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from ablate.report.formats.terminal import comparison_table, plain_table

TABLE = """\
arm                         verdict         n  PSNR diff (dB)               p
baseline                    -               5   27.41 ± 0.15
noise_schedule=cosine       v worse         5   -0.28 [-0.39, -0.18]     .006
noise_schedule=exponential  = equivalent    5  -0.003 [-0.046, +0.040]   .835
dip_epochs=5                ? undecided     5   -0.27 [-0.50, -0.04]     .064
dip_epochs=20               ^ better        5  +0.602 [+0.558, +0.646]  <.001
both lr 0.03                x diverged    1/5       -                       -
PSNR: higher is better; difference to the baseline [95 % interval]; p by Holm
over 4 comparisons, level 0.05, margin ±0.1 dB
also measured, see arms.csv and report.html: SSIM, train seconds"""


def printed(renderable: Any, width: int, *, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, _environ={}
    )
    console.print(renderable)
    return out.getvalue()


def test_the_table_reads_as_expected_at_80_columns(case: Any) -> None:
    comparison = case.material().comparison
    assert plain_table(comparison) == TABLE
    assert printed(comparison_table(comparison), 80).rstrip("\n") == TABLE


@pytest.mark.parametrize("width", [60, 70, 80, 100, 200])
def test_numbers_are_never_cut(case: Any, width: int) -> None:
    """The arm's name gives way, secondary metrics go as whole columns; the primary numbers stay."""
    lines = plain_table(case.material().comparison, width).splitlines()

    assert max(map(cell_len, lines[:7])) <= width
    for whole in ("[-0.046, +0.040]", "<.001", "= equivalent", "27.41 ± 0.15"):
        assert any(whole in line for line in lines)


def test_a_wide_terminal_shows_the_other_metrics_and_the_time(case: Any) -> None:
    material = case.material()
    times = {arm.name: material.ratio(arm.name) for arm in case.study.arms}
    text = plain_table(material.comparison, 200, times)

    assert "SSIM diff" in text
    assert "1.74x" in text
    assert "also measured" not in text


def test_long_names_keep_their_end(make_case: Callable[..., Any]) -> None:
    arms = make_case().study.arms
    name = "a_factor_with_a_very_long_name_that_no_terminal_holds=level-7"
    case = make_case(arms=(arms[0], replace(arms[1], name=name)))
    assert "…" in plain_table(case.material().comparison)
    assert "=level-7  " in plain_table(case.material().comparison)


def test_wide_and_hostile_characters_keep_the_columns(make_case: Callable[..., Any]) -> None:
    arms = make_case().study.arms
    case = make_case(arms=(arms[0], replace(arms[1], name="学習率=0.01"), replace(arms[2], name="x\x1b[31m\ny")))
    lines = plain_table(case.material().comparison).splitlines()
    columns = {cell_len(line[: line.rindex("[")]) for line in lines[2:4]}

    assert len(columns) == 1
    assert "\x1b" not in "".join(lines)


def test_colour_adds_nothing_that_words_do_not_say(case: Any) -> None:
    table = comparison_table(case.material().comparison)
    coloured = printed(table, 80, colour=True)

    assert "\x1b[1;32m^ better\x1b[0m" in coloured
    assert "\x1b[31mv worse\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == printed(table, 80)
