"""table.tex: the comparison as a booktabs table, ready to be \\input into a paper."""

from __future__ import annotations

import re
from itertools import groupby

from ablate.report import digits
from ablate.report.escape import latex
from ablate.report.material import Material
from ablate.report.table import Line, lines_of, primary_header, secondary_headers
from ablate.study.spec import Arm


def table_latex(material: Material) -> str:
    """Return a complete ``table`` environment; it needs the packages booktabs and colortbl (xcolor)."""
    comparison = material.comparison
    times = {arm.name: material.ratio(arm.name) for arm in material.study.arms}
    arms = material.shown_arms
    lines = {line.arm: line for line in lines_of(comparison, [arm.name for arm in arms], times)}
    secondary = secondary_headers(comparison, arrow=False)
    body = [_row(lines[arms[0].name], "", shade=True)] if arms[0].name in lines else []
    for _, group in groupby(arms[1:], key=lambda arm: arm.factor):
        known = [arm for arm in group if arm.name in lines]
        body += [r"\midrule"] * bool(known)
        body += [_row(lines[arm.name], _group_cell(arm, first=at == 0)) for at, arm in enumerate(known)]
    headers = ["Factor", "Arm", "$n$", rf"\multicolumn{{2}}{{c}}{{{latex(primary_header(comparison, arrow=False))}}}"]
    headers += ["Verdict", *(latex(header) for header in secondary), "Time"]
    return "\n".join(
        [
            "% \\usepackage{booktabs} \\usepackage[table]{xcolor}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(material)}}}",
            rf"\begin{{tabular}}{{llcr@{{\ }}ll{'r' * len(secondary)}r}}",
            r"\toprule",
            " & ".join(headers) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _group_cell(arm: Arm, *, first: bool) -> str:
    if not first or not arm.factor:
        return ""
    # Behind the end of a row, LaTeX takes a bracket for an option of it.
    return ("{}" if arm.factor.startswith("[") else "") + latex(arm.factor)


def _numbers(text: str) -> str:
    """Escape a cell of numbers and give them minus signs instead of hyphens."""
    return re.sub(r"-(?=\d)", "$-$", latex(text))


def _row(line: Line, group: str, *, shade: bool = False) -> str:
    diff, interval = line.primary
    shown = rf"\textbf{{{_numbers(diff)}}}" if line.bold else _numbers(diff)
    cells = [group, latex(line.arm), line.n, shown, _numbers(interval)]
    cells += ["" if line.baseline else line.verdict, *(_numbers(text) for text in line.secondary), _times(line.time)]
    return (r"\rowcolor{gray!12} " if shade else "") + " & ".join(cells) + r" \\"


def _times(text: str) -> str:
    return text.replace("x", r"$\times$")


def _caption(material: Material) -> str:
    comparison, metric = material.comparison, material.comparison.primary
    margin = digits.margin_text(metric)
    correction = {"holm": "Holm-corrected", "bh": "Benjamini-Hochberg-corrected", "none": "uncorrected"}
    text = (
        f"{latex(material.study.question or material.study.name)} "
        f"Differences to the baseline ({digits.arrow_words(metric)} in {latex(digits.label(metric))}; "
        f"the baseline's own row shows its mean), mean over $n$ training seeds with 95\\,\\% $t$-interval of the "
        f"{'paired ' if comparison.test != 'welch' else ''}difference; verdicts {correction[comparison.correct]} over "
        f"{digits.plural(comparison.tested, 'comparison')} at $\\alpha = {comparison.alpha:.4g}$"
    )
    text += f", margin {latex(margin)}." if margin else ", no equivalence margin declared."
    return text + " Bold: the best arm that is decided better, and better arms not shown to be worse than it."
