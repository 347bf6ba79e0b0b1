"""Names that are formulas, markup and commands stay names in every file of a report."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.report.build import build_report
from ablate.report.formats.csv_cells import csv_text

NAMES = (
    '=HYPERLINK("http://evil.example","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    r"\input{/etc/passwd} \write18{rm -rf x} $\infty$ %",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "a|b\n| c | [l](javascript:alert(1)) ![i](http://evil.example/x.png)",
)


@pytest.fixture
def hostile(make_case: Callable[..., Any]) -> Any:
    """Every arm but the baseline is called something else than it should be."""
    case = make_case(seeds=3, looks=(3,))
    arms = (
        case.study.arms[0],
        *(replace(arm, name=name) for arm, name in zip(case.study.arms[1:], NAMES, strict=True)),
    )
    renamed = {old.name: new.name for old, new in zip(case.study.arms, arms, strict=True)}
    rows = [replace(row, arm=renamed[row.arm]) for row in case.rows]
    return replace(case, study=replace(case.study, arms=arms, question=" ".join(NAMES)), rows=rows)


def test_no_cell_of_any_csv_is_a_formula(hostile: Any, now: Any) -> None:
    build_report(hostile.study, hostile.rows, hostile.paths, now=now)
    files = [*hostile.paths.folder.glob("*.csv"), *hostile.paths.figures.glob("*.csv")]
    cells = [
        cell for path in files for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) for cell in row
    ]

    assert len(files) > 6
    assert [cell for cell in cells if cell.startswith(("=", "@"))] == []
    assert f"'{NAMES[0]}" in cells


@pytest.mark.parametrize("name", ["+ EMA", "-prior", "-0.5", "lr=0.1", "a@b"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert csv_text(["arm"], [[name]]) == f"arm\n{name}\n"


@pytest.mark.parametrize("name", ["=1+1", "@A1", "+cmd|x!A0", "-2+3+cmd|x!A0", "\t=1"])
def test_formulas_are_disarmed(name: str) -> None:
    assert csv_text(["arm"], [[name]]) == f"arm\n'{name}\n"


def test_pages_hold_the_names_as_text(hostile: Any, now: Any) -> None:
    build_report(hostile.study, hostile.rows, hostile.paths, now=now)
    html = hostile.paths.report_html.read_text(encoding="utf-8")
    md = hostile.paths.report_md.read_text(encoding="utf-8")
    tex = hostile.paths.table_tex.read_text(encoding="utf-8")

    assert html.count("<script>") == 1
    assert "onerror=alert(2)>" not in html
    assert not re.search(r"(?<!\\)<script", md)
    assert not re.search(r"(?<!\\)\]\((javascript|http)", md)
    assert not re.search(r"\\(input|write18|infty)\b", tex)
    for drawn in hostile.paths.figures.glob("*.svg"):
        assert "<script" not in drawn.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["arms", "components"])
def test_the_table_compiles(hostile: Any, now: Any, tmp_path: Path, layout: str) -> None:
    """With the packages its first line names, in a real LaTeX, without a command running or a box overflowing."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("needs pdflatex with booktabs and colortbl: apt-get install texlive-latex-extra")
    arms = [replace(arm, settings={**arm.settings, "ema": at % 2 == 0}) for at, arm in enumerate(hostile.study.arms)]
    study = replace(hostile.study, arms=tuple(arms))
    build_report(study, hostile.rows, hostile.paths, figures=False, layout=layout, now=now)
    table = hostile.paths.table_tex.read_text(encoding="utf-8")
    packages, _, body = table.partition("\n")
    page = f"\\documentclass{{article}}\n{packages.removeprefix('% ')}\n\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout
