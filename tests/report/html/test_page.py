"""report.html: well-formed, complete, safe, and in need of nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ablate.outcome import OutcomeKind
from ablate.report.figures.image_strips import strips_of
from ablate.report.html.page import report_html
from ablate.report.statistics.model import Verdict
from ablate.report.text.cells import headline_metrics
from ablate.report.text.html_elements import join, tag
from ablate.study.spec import MetricSpec
from tests.sentences import SENTENCES

HOSTILE = '<script>alert(1)</script> & "q" `x` \x1b[31m \u202e\n<img src=x onerror=alert(2)>'
SECTIONS = ("answer", "comparison", "factors", "cost", "contrasts", "stability", "method", "provenance", "checklist")
VOID = {"meta", "br", "img", "hr", "link", "wbr"}


class Page(HTMLParser):
    """Reads a page, checks that elements close, and remembers what matters."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(case: Any) -> Page:
    return Page(report_html(case.material()))


def test_the_page_is_well_formed_and_has_every_section(case: Any) -> None:
    page = page_of(case)
    sections = [attributes["id"] for attributes in page.all("section")]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]

    assert page.open == []
    assert sections == [name for name in SECTIONS if name in sections]
    assert set(sections) == set(SECTIONS)
    assert len(ids) == len(set(ids))
    assert {attributes["href"] for attributes in page.all("a")} <= {f"#{name}" for name in ids}


def test_nothing_is_loaded_from_anywhere(make_case: Callable[..., Any]) -> None:
    case = make_case(images=True)
    material = case.material()
    text = report_html(material, strips=strips_of(material, case.paths))
    page = Page(text)
    for name, attributes in page.tags:
        assert name not in ("link", "iframe", "object", "embed", "base")
        source = attributes.get("src") or ""
        assert not source or source.startswith("data:image/png;base64,")
    assert not re.search(r"url\(|@import|https?:", text)
    assert len(page.all("img")) == 18


def test_hostile_text_stays_text(make_case: Callable[..., Any]) -> None:
    """Names, questions, notes and file texts can hold anything; none of it may become markup."""
    case = make_case(question=HOSTILE, text=HOSTILE, file=HOSTILE)
    arms = (*case.study.arms[:-1], replace(case.study.arms[-1], name=HOSTILE, factor=HOSTILE))
    rows = [replace(row, arm=HOSTILE) if row.arm == case.study.arms[-1].name else row for row in case.rows]
    rows[5] = replace(rows[5], attributes={"error": HOSTILE, "device_name": HOSTILE, "environment": {HOSTILE: HOSTILE}})
    page = page_of(replace(case, study=replace(case.study, arms=arms), rows=rows))

    assert page.all("script") == [{}]
    assert page.all("img") == []
    assert page.open == []
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    assert "<script>alert(1)</script>" in page.text


def test_the_table_can_be_read_by_a_screen_reader(case: Any) -> None:
    page = page_of(case)
    headers = page.all("th")

    assert all(attributes.get("scope") in ("col", "row") for attributes in headers)
    assert len(page.all("caption")) == len(page.all("table"))
    assert [a["aria-sort"] for a in headers if "aria-sort" in a] == ["none"] * 10
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert "higher is better" in page.text


def test_every_verdict_stands_as_a_word(case: Any) -> None:
    page = page_of(case)
    for verdict in Verdict:
        assert {"class": f"chip {verdict}"} in page.all("span")
        assert verdict.value in page.text


def test_the_baseline_is_pinned_outside_the_rows_that_sort(case: Any) -> None:
    text = report_html(case.material())
    pinned = text[text.index('<tbody class="pinned">') : text.index('<tbody class="sortable">')]

    assert "baseline" in pinned
    assert "noise_schedule=cosine" not in pinned.split("<details>")[0]


def test_seed_values_are_there(case: Any) -> None:
    text = page_of(case).text
    row = case.material().comparison.row("dip_epochs=20")
    for value in row.values.values():
        assert f"{value:.3f}" in text


def test_a_changed_study_file_makes_the_page_stale(make_case: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text("question: another one\n", encoding="utf-8")
    text = page_of(make_case(file=str(file))).text

    assert SENTENCES["changed study file makes"] in text
    assert "STALE" not in page_of(make_case()).text


def test_metrics_beyond_the_first_few_have_a_table_of_their_own(make_case: Callable[..., Any]) -> None:
    """The study's margins say which metrics matter; nothing that was measured is left out of the page."""
    primary, *declared = make_case().study.metrics
    more = tuple(MetricSpec(name, "min") for name in ("loss", "loss_a", "loss_b"))
    case = make_case(metrics=(primary, *more, *declared))
    text = report_html(case.material())
    first, rest = text.split("3 more metrics, exploratory")

    assert headline_metrics(case.material().comparison) == (more[0], *declared)
    assert "SSIM diff" in first
    assert "loss diff" in first
    assert "loss a diff" not in first
    assert "loss a diff" in rest
    assert "loss b diff" in rest


def test_an_empty_study_says_so_and_shows_no_empty_section(make_case: Callable[..., Any]) -> None:
    case = make_case()
    page = page_of(replace(case, rows=[]))

    assert SENTENCES["empty study says so"] in page.text
    assert "PARTIAL 0 of 30 trials" in page.text
    assert "cost" not in [attributes["id"] for attributes in page.all("section")]


def test_the_study_file_keeps_its_lines(make_case: Callable[..., Any]) -> None:
    case = make_case(text="a: 1\n  b: <2>\n\n# end\n")
    assert "a: 1\n  b: &lt;2&gt;\n\n# end" in report_html(case.material())


def test_elements_escape_text_and_keep_html() -> None:
    assert tag("p", "a < b", tag("b", "&"), class_="x") == '<p class="x">a &lt; b<b>&amp;</b></p>'
    assert tag("td", data_v='"', hidden=None) == '<td data-v="&quot;"></td>'
    assert join("<", [None, "x"]) == "&lt;x"


def test_stability_says_when_and_how_trials_ended(make_case: Callable[..., Any]) -> None:
    """Every end has its images and its words; shares have exact intervals and an exact test against the baseline."""
    case = make_case()
    rows = [
        replace(row, attributes={**row.attributes, "images_seen": 1280}) if row.outcome is not None else row
        for row in case.rows
    ]
    rows[3] = replace(rows[3], outcome=OutcomeKind.OUT_OF_MEMORY, metrics={}, attributes={"error": "needs 9 GB"})
    text = page_of(replace(case, rows=rows)).text
    section = text[text.rindex("Stability", 0, text.rindex("Method")) : text.rindex("Method")]

    assert SENTENCES["stability says when how"] in section
    assert "both lr 0.03 1 4 4/5 [28%, 99%] .021 0" in section
    assert section.count("diverged loss is nan") == 4
    assert "dip_epochs=5 out of memory needs 9 GB 0 –" in section
    assert "1,280" in section
