"""Names that are formulas, markup and commands stay names in every file of a report."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.report.build import build_report
from ablate.report.data.csv_escape import armed, disarmed
from ablate.report.formats.csv_cells import csv_text
from ablate.report.text.escape import markdown

NAMES = (
    '=HYPERLINK("http://evil.example","x")',
    "-2+3",
    r"\input{/etc/passwd} \write18{rm -rf x} $\infty$ %",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "a|b\n| c | [l](javascript:alert(1)) ![i](http://evil.example/x.png) https://evil.example/x www.evil.example",
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
    assert [cell for cell in cells if cell.startswith(("=", "@", "+", "-")) and not is_number(cell)] == []
    assert f"'{NAMES[0]}" in cells


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", ["lr=0.1", "a@b", "prior - none", "1-2", "'quoted'", "x\t=1"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert csv_text(["arm"], [[name]]) == f"arm\n{name}\n"


@pytest.mark.parametrize("name", ["=1+1", "@A1", "+cmd|x!A0", "-2+3", "-prior", "+ EMA", "-0.5", "\t=1", "＝1"])
def test_what_begins_like_a_formula_is_disarmed_without_exception(name: str) -> None:
    assert csv_text([name], [[name]]) == f"'{name}\n'{name}\n"


def test_numbers_are_no_formulas() -> None:
    assert csv_text(["diff", "n"], [[-0.5, -3]]) == "diff,n\n-0.5,-3\n"


@given(st.text(alphabet="'=+-@\t\r\na1＝", max_size=6) | st.text())
def test_what_was_disarmed_reads_back_as_it_was(text: str) -> None:
    assert armed(disarmed(text)) == text
    assert disarmed(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")


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


class Attributes(HTMLParser):
    """Collects the values of every attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.values.setdefault(name, []).append(value or "")


LINKS = re.compile(r"https?://|www\.|mailto:|xmpp:|[\w.]@\w+\.\w", re.IGNORECASE)


def outside_code(page: str) -> str:
    """The page without what stands in code: renderers make links of everything else that looks like one."""
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", page)


def test_names_that_look_like_links_stay_text_in_markdown(hostile: Any, now: Any) -> None:
    build_report(hostile.study, hostile.rows, hostile.paths, figures=False, now=now)
    md = hostile.paths.report_md.read_text(encoding="utf-8")
    assert "https://evil.example/x" in md
    assert LINKS.findall(outside_code(md)) == []


@pytest.mark.parametrize(
    "text",
    [
        "https://a.b/c",
        "x HTTP://a b",
        "(www.a.b)",
        "me@a.example",
        "mailto:me",
        "ftp://`a`",
        "a|https://b|c",
        "_www.a_",
    ],
)
def test_nothing_outside_code_is_a_link(text: str) -> None:
    assert LINKS.findall(outside_code(markdown(text))) == []
    assert LINKS.findall(text) or text.startswith("ftp")


def test_the_page_may_run_its_own_script_and_nothing_else(hostile: Any, now: Any) -> None:
    build_report(hostile.study, hostile.rows, hostile.paths, now=now)
    html = hostile.paths.report_html.read_text(encoding="utf-8")
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    rules = dict(rule.strip().split(" ", 1) for rule in unescape(policy).split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    # The policy counts from where it stands on: nothing that it rules on comes before it.
    assert html.index("Content-Security-Policy") < min(html.index("<style"), html.index("<script"), html.index("<body"))
    found = Attributes()
    found.feed(html)
    assert found.values["href"]
    assert [name for name in found.values if name.startswith("on")] == []
    assert [value for value in found.values.get("src", []) if not value.startswith("data:image/")] == []
    assert [value for value in found.values["href"] if not value.startswith("#")] == []


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
