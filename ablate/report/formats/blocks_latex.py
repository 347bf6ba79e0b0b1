"""table_blocks.tex: arms by blocks as a booktabs table, ready to be \\input into a paper."""

from __future__ import annotations

import re

from ablate.report.data.material import Material
from ablate.report.text.block_cells import BlockCell, block_caption, block_header, block_lines
from ablate.report.text.escape import latex

_MARKS = {
    "better": r"$\uparrow$",
    "worse": r"$\downarrow$",
    "equivalent": "$=$",
    "undecided": "",
    "diverged": r"$\times$",
}


def blocks_latex(material: Material) -> str:
    """Return a complete ``table`` environment; its first line names the packages it needs."""
    comparison = material.comparison
    header = block_header(comparison)
    lines = block_lines(comparison)
    shape = "l" + "r" * (len(header) - 1) + "@{\\qquad}r"
    caption = (
        f"{latex(material.study.question or material.study.name)} {latex(block_caption(comparison))} "
        r"$\uparrow$ better, $\downarrow$ worse, $=$ equivalent, $\times$ diverged; the others are undecided."
    )
    body = []
    for line in lines:
        cells = " & ".join([latex(line.arm), *(_cell(cell) for cell in line.cells)])
        body.append((r"\rowcolor{gray!12} " if line.baseline else "") + cells + r" \\")
        body += [r"\midrule"] * line.baseline
    return "\n".join(
        [
            r"% \usepackage{booktabs,graphicx} \usepackage[table]{xcolor}",
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}\setlength{\belowcaptionskip}{5pt}",
            rf"\caption{{{caption}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{shape}}}",
            r"\toprule",
            " & ".join(["Arm", *(latex(name) for name in header)]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _cell(cell: BlockCell) -> str:
    if cell.text == "-":
        return _MARKS.get(cell.verdict) or "--"
    parts = (_numbers(cell.text), _numbers(cell.interval), _MARKS.get(cell.verdict, ""))
    return " ".join(part for part in parts if part)


def _numbers(text: str) -> str:
    """Escape numbers and give them minus signs instead of hyphens."""
    return re.sub(r"-(?=\d)", "$-$", latex(text))
