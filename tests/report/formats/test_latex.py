"""table.tex: a booktabs table whose cells are the comparison's and whose text is no command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report.formats.latex import table_latex
from ablate.report.text.escape import latex

TABLE = r"""\begin{tabular}{llcr@{\ }llr@{\ }lr}
\toprule
Factor & Arm & $n$ & \multicolumn{2}{c}{PSNR diff (dB)} & Verdict & \multicolumn{2}{c}{SSIM diff} & Time \\
\midrule
\rowcolor{gray!12}[2pt][6pt]  & baseline & 5 & 27.41 & $\pm$ 0.15 &  & 0.89136 & $\pm$ 0.00049 & 1.00$\times$ \\
\midrule
noise\_schedule & cosine & 5 & $-$0.28 & [$-$0.39, $-$0.18] & worse & $-$0.00095 & [$-$0.00131, $-$0.00058] & 1.00$\times$ \\
 & exponential & 5 & $-$0.003 & [$-$0.046, +0.040] & equivalent & $-$0.00001 & [$-$0.00015, +0.00013] & 1.00$\times$ \\
\midrule
dip\_epochs & 5 & 5 & $-$0.27 & [$-$0.50, $-$0.04] & undecided & $-$0.00090 & [$-$0.00168, $-$0.00013] & 0.84$\times$ \\
 & 20 & 5 & \textbf{+0.602} & [+0.558, +0.646] & better & +0.00201 & [+0.00186, +0.00215] & 1.74$\times$ \\
\midrule
 & both lr 0.03 & 1/5 & \multicolumn{2}{c}{--} & diverged & \multicolumn{2}{c}{--} & 0.97$\times$ \\
\bottomrule
\end{tabular}}"""  # noqa: E501  # a table is one line per row


def test_the_table_reads_as_expected(case: Any) -> None:
    page = table_latex(case.material())
    assert page[page.index(r"\begin{tabular}") : page.index(r"\end{table}")].strip() == TABLE


def test_the_caption_says_what_varies_and_how_it_was_tested(case: Any) -> None:
    caption = next(line for line in table_latex(case.material()).splitlines() if line.startswith(r"\caption"))
    for part in ("training seeds", r"95\,\% $t$-interval", "Holm-corrected over 4 comparisons", r"margin $\pm$0.1 dB"):
        assert part in caption


def test_a_factor_that_starts_with_a_bracket_is_no_option_of_the_row_before(case: Any) -> None:
    arms = (case.study.arms[0], replace(case.study.arms[1], factor="[2cm]"), *case.study.arms[2:])
    page = table_latex(replace(case, study=replace(case.study, arms=arms)).material())
    assert "\n{}[2cm] & " in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("50 % & $5 #1 a_b", r"50 \% \& \$5 \#1 a\_b"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("α = 5 σ ± 1", r"$\alpha$ = 5 $\sigma$ $\pm$ 1"),
    ],
)
def test_latex_escapes_commands(text: str, expected: str) -> None:
    assert latex(text) == expected


@given(st.text(alphabet='\\{}$&#%_^~<>|"a\n', max_size=20))
def test_no_text_leaves_an_open_brace_or_math(text: str) -> None:
    shown = latex(text)
    bare = shown.replace(r"\{", "").replace(r"\}", "").replace(r"\$", "")

    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert "\n" not in shown
