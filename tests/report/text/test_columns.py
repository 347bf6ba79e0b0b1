"""Columns of the comparison table: the reader's choice, the same in every format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pytest

from ablate.errors import AblateError
from ablate.report.build import gather
from ablate.report.formats.latex import table_latex
from ablate.report.formats.markdown import comparison_markdown
from ablate.report.formats.terminal import comparison_table
from ablate.report.html.page import report_html
from ablate.report.text import numerals
from tests.sentences import SENTENCES

CHOSEN = ("mean", "diff", "ssim", "rho", "wins", "diverged", "compute")


def chosen(case: Any, columns: Sequence[str]) -> Any:
    return gather(case.study, case.rows, case.paths, columns=columns)


def expected(case: Any, arm: str) -> tuple[str, str]:
    """rho and minutes of an arm, from its trials alone."""
    values = {name: [row.metrics["psnr"] for row in case.rows if row.arm == name] for name in ("baseline", arm)}
    rho = float(np.corrcoef(values["baseline"], values[arm])[0, 1])
    return f"{rho:.2f}", f"{sum(row.seconds for row in case.rows if row.arm == arm) / 60:.1f}"


def test_every_format_shows_the_columns_asked_for_in_their_order(case: Any) -> None:
    material = chosen(case, CHOSEN)
    rho, minutes = expected(case, "dip_epochs=20")
    mean = numerals.mean_text(material.comparison.row("dip_epochs=20"), case.study.primary)
    arm = f"| dip_epochs=20 | better | {mean} | **+0.602** [+0.558, +0.646] | +0.00201 [+0.00186, +0.00215] |"

    head, _, _, *rows = comparison_markdown(material).splitlines()
    assert head == (SENTENCES["every format shows columns"])
    assert f"{arm} {rho} | 5/5 | 0/5 | {minutes} |" in rows

    table = comparison_table(material.comparison, totals=material.totals, columns=CHOSEN).lines(200)
    assert table[0].plain.split()[:4] == ["arm", "verdict", "PSNR", "(dB)"]
    assert table[5].plain.split()[-4:] == [rho, "5/5", "0/5", minutes]

    latex = table_latex(material)
    assert r"Arm & \multicolumn{2}{c}{PSNR (dB)} & \multicolumn{2}{c}{PSNR diff (dB)} & Verdict &" in latex
    assert r"& $\rho$ & Wins & Diverged & Compute (min) \\" in latex
    assert f"{rho} & 5/5 & 0/5 & {minutes} " in latex

    page = report_html(material)
    heads = re.findall(r"<th[^>]*><button[^>]*>([^<]+)", page[: page.index("</thead>")])
    assert [head.strip() for head in heads[2:]] == [
        "PSNR (dB)", "PSNR diff (dB)", "SSIM diff", "rho", "wins", "diverged", "compute (min)",
    ]  # fmt: skip


def test_the_latex_table_has_as_many_cells_as_columns(case: Any) -> None:
    for columns in (CHOSEN, ("n",), ("p", "rho"), ("time", "diff")):
        latex = table_latex(chosen(case, columns))
        shape = re.search(r"\\begin\{tabular\}\{(.*)\}\n", latex)
        assert shape is not None
        wide = len(re.sub(r"@\{.*?\}", "", shape.group(1)))
        rows = [line for line in latex.splitlines() if line.endswith(r"\\") and "Factor" not in line]
        spans = [line.count("&") + line.count(r"\multicolumn{2}") for line in rows]
        assert set(spans) == {wide - 1}


def test_a_column_without_room_in_the_terminal_is_named_below(case: Any) -> None:
    lines = comparison_table(case.material().comparison, columns=CHOSEN).lines(80)
    assert lines[-1].plain.startswith(SENTENCES["column without room terminal"])


def test_the_page_shows_what_verdicts_cost_and_what_sharing_seeds_bought(case: Any) -> None:
    material = case.material()
    page = report_html(material)
    rhos = [row.rho for row in map(material.comparison.row, material.comparison.arms) if row.rho is not None]
    assert "compute (min)" in page
    assert "rho: correlation with the baseline over seeds." in page
    assert f"rho, is {median(rhos):.2f} (median of 4 arms, {min(rhos):.2f} to {max(rhos):.2f})" in page
    welch = gather(case.study, case.rows, case.paths, method=replace(case.study.method, test="welch"))
    assert "rho" not in report_html(welch).split("</table>")[0]


@pytest.mark.parametrize(
    ("columns", "message", "hint"),
    [
        (("n", "rhoo"), "unknown column 'rhoo'", "did you mean 'rho'?"),
        (
            ("zz",),
            "unknown column 'zz'",
            "known: n, diff, p, time, compute, rho, diverged, wins, mean, posterior, ssim,",
        ),
        (("psnr",), "psnr is the primary metric", "its columns are diff (to the baseline) and mean"),
        (("n", "p", "n"), "column 'n' is named twice", "leave out one of them"),
    ],
)
def test_a_column_that_is_not_there_is_refused(
    make_case: Callable[..., Any], columns: Sequence[str], message: str, hint: str
) -> None:
    with pytest.raises(AblateError, match=re.escape(message)) as caught:
        chosen(make_case(), columns)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)
