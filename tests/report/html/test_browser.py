"""report.html in a real browser: sorting, details, both colour schemes, every width, paper, and what axe finds."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import NothingComparableError
from ablate.outcome import OutcomeKind
from ablate.report.build import build_report
from ablate.report.figures.figure import PALETTE
from ablate.storage.rows import TrialRow
from ablate.study.spec import MetricSpec

pytestmark = pytest.mark.slow

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What a headless Chromium needs in a container, and what keeps it from looking for a network."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = {"phone": 390, "laptop": 1280}
LONG = "a very long name of an arm that goes on and on, lr=0.0001, dip_lr=0.0001, batch_size=4096"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; the tests are skipped where it or its driver is missing."""
    pytest.importorskip("playwright", reason="needs pip install '.[browser]'")
    program = next((path for name in NAMES if (path := shutil.which(name)) is not None), None)
    if program is None:
        pytest.skip("needs Chromium, for example apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page of all these tests is; written by the first one that needs it."""
    return tmp_path_factory.mktemp("page") / "report.html"


@pytest.fixture
def page_file(file: Path, make_case: Callable[..., Any], now: Any) -> Path:
    """A report with everything: figures, images, nine metrics, a long name, failures."""
    if not file.exists():
        case = make_case(images=True)
        extra = tuple(MetricSpec(f"measure_number_{at}", "min") for at in range(5))
        arms = (*case.study.arms, replace(case.study.arms[1], name=LONG, factor=None))
        study = replace(case.study, metrics=(*case.study.metrics, *extra), arms=arms)
        metrics = {metric.name: 0.25 for metric in extra}
        rows = [replace(row, metrics={**row.metrics, **metrics}) if row.metrics else row for row in case.rows]
        build_report(study, rows, case.paths, now=now)
        shutil.copy(case.paths.report_html, file)
    return file


@contextmanager
def showing(browser: Any, file: Path, *, width: int = 1280, **options: Any) -> Iterator[Any]:
    """Open a page, and check when it is closed that it was silent and loaded nothing."""
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)
    page = context.new_page()
    complaints: list[str] = []
    loaded: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert complaints == []
    assert [url for url in loaded if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Callable[..., Any]:
    """Return what opens the page: ``opened(width=390, color_scheme="dark")``."""
    return partial(showing, browser, page_file)


def axe_of(page: Any) -> tuple[dict[str, list[str]], set[str]]:
    """Return what axe complains about, with where, and the rules that passed."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install '.[browser]'")
    results = axe.Axe().run(page).response
    found = {rule["id"]: [node["html"][:200] for node in rule["nodes"]][:3] for rule in results["violations"]}
    return found, {rule["id"] for rule in results["passes"]}


def names(page: Any) -> list[str]:
    found: list[str] = page.locator("table.arms").first.locator("tbody.sortable > tr > th .name").all_inner_texts()
    return found


def column(page: Any, header: str) -> Any:
    return page.locator("table.arms").first.locator("thead th", has_text=re.compile(rf"^{re.escape(header)}"))


def test_a_click_sorts_and_a_second_one_turns_the_order(opened: Callable[..., Any]) -> None:
    """By number, with what has none at the end, and the baseline stays on top."""
    with opened() as page:
        before = names(page)
        head = column(page, "PSNR diff")
        head.locator("button").click()
        rising = names(page)
        values = [
            float(value)
            for value in page.locator("table.arms")
            .first.locator("tbody.sortable > tr")
            .evaluate_all("rows => rows.map(row => row.children[3].dataset.v)")
            if value
        ]
        assert head.get_attribute("aria-sort") == "ascending"
        head.locator("button").click()
        falling = names(page)
        assert head.get_attribute("aria-sort") == "descending"
        pinned = page.locator("table.arms").first.locator("tbody.pinned .name").all_inner_texts()

    assert values == sorted(values)
    assert len(values) == 4
    assert sorted(rising) == sorted(before) != rising
    assert rising[:4] == falling[:4][::-1]
    assert set(rising[4:]) == set(falling[4:]) == {"both lr 0.03", LONG}
    assert pinned == ["baseline"]


def test_the_keyboard_alone_sorts_and_opens(opened: Callable[..., Any]) -> None:
    with opened() as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        column(page, "arm").locator("button").focus()
        page.keyboard.press("Enter")
        assert names(page)[:4] == [LONG, "both lr 0.03", "dip_epochs=5", "dip_epochs=20"]
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        details = page.locator("table.arms details").first
        details.locator("summary").focus()
        page.keyboard.press("Enter")
        assert details.evaluate("element => element.open")
        assert details.locator("table.seeds tbody tr").count() == 5
        assert details.locator("table.seeds").is_visible()


def test_without_javascript_everything_is_there(opened: Callable[..., Any]) -> None:
    with opened(java_script_enabled=False) as page:
        assert page.locator("table.arms tbody tr").first.is_visible()
        page.locator("table.arms details summary").first.click()
        assert page.locator("table.seeds").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_no_width_scrolls_sideways_or_cuts_text(opened: Callable[..., Any], width: int, scheme: str) -> None:
    """Wide tables and figures scroll inside themselves, also with every fold open."""
    with opened(width=width, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert (brightness(paper) > brightness(ink)) == (scheme == "light")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_nothing_to_complain_about(opened: Callable[..., Any], scheme: str, width: int) -> None:
    """Landmarks, order of headings, names, headers of tables, alternative texts, contrast: WCAG 2 and best practice."""
    with opened(color_scheme=scheme, width=width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        violations, passed = axe_of(page)
    assert violations == {}
    assert passed >= {"color-contrast", "heading-order", "image-alt", "svg-img-alt", "landmark-one-main", "region"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_can_be_told_from_the_paper(opened: Callable[..., Any], scheme: str) -> None:
    """axe looks at no SVG: its text has a contrast of 4.5 or more, and every colour of data one of 3 or more."""
    with opened(color_scheme=scheme) as page:
        texts = page.evaluate(
            "[...document.querySelectorAll('.plot svg text')].map(each => getComputedStyle(each).fill)"
        )
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        lines = []
        for name in PALETTE:
            page.evaluate(f"document.body.style.outlineColor = 'var(--{name})'")
            lines.append(page.evaluate("getComputedStyle(document.body).outlineColor"))
    assert len(texts) > 50
    assert min(contrast(colour, paper) for colour in set(texts)) >= 4.5
    assert len(set(lines)) == len(PALETTE)
    assert min(contrast(colour, paper) for colour in lines) >= 3


def test_every_picture_says_what_it_shows(opened: Callable[..., Any]) -> None:
    with opened() as page:
        described = page.evaluate(
            """[...document.querySelectorAll('svg')].map(svg => {
                const ids = svg.getAttribute('aria-labelledby').split(' ');
                const words = ids.map(id => document.getElementById(id).textContent);
                return svg.getAttribute('role') + ': ' + words.join(' ');
            })"""
        )
        alts = page.evaluate("[...document.images].map(image => image.alt)")
    assert len(described) >= 5
    assert all(text.startswith("img: ") and len(text) > 60 for text in described)
    assert len(alts) == len(set(alts)) == 18
    assert all(alts)


def test_paper_shows_what_is_folded_and_cuts_nothing(opened: Callable[..., Any]) -> None:
    """On paper there is nothing to click on, no dark background, and no way to scroll."""
    with opened(color_scheme="dark") as page:
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 1000, "height": 700})
        assert page.get_by_text("Formulas").first.is_visible()
        assert page.get_by_text("With f the identity").is_visible()
        assert not page.locator("nav").is_visible()
        assert brightness(page.evaluate("getComputedStyle(document.body).color")) < 0.1
        tables = page.locator("#comparison table.arms").all()
        assert all(table.bounding_box()["width"] <= 1000 for table in tables)


def nothing(rows: list[TrialRow]) -> list[TrialRow]:
    return []


def one_seed(rows: list[TrialRow]) -> list[TrialRow]:
    return [row for row in rows if row.seed == 0]


def no_baseline(rows: list[TrialRow]) -> list[TrialRow]:
    return [row for row in rows if row.arm != "baseline"]


def all_diverged(rows: list[TrialRow]) -> list[TrialRow]:
    return [replace(row, outcome=OutcomeKind.DIVERGED, metrics={}) for row in rows]


def half_done(rows: list[TrialRow]) -> list[TrialRow]:
    return [replace(row, outcome=None, metrics={}, seconds=None) if row.number > 15 else row for row in rows]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nothing, "Nothing can be compared: nothing has been measured yet."),
        (one_seed, "over 1 of 5 seeds"),
        (no_baseline, "the baseline 'baseline' has no results"),
        (all_diverged, "the baseline 'baseline' diverged in 5 of 5 seeds"),
        (half_done, "PARTIAL 16 of 30 trials"),
    ],
)
def test_a_study_in_any_state_has_a_page_that_says_so(
    browser: Any, case: Any, now: Any, change: Callable[[list[TrialRow]], list[TrialRow]], said: str
) -> None:
    """With every section that has something to show, no empty one, and nothing wider than a phone."""
    with contextlib.suppress(NothingComparableError):
        build_report(case.study, change(case.rows), case.paths, now=now)
    with showing(browser, case.paths.report_html, width=390) as page:
        assert said in page.locator("body").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert all(len(text) > 40 for text in page.locator("section").all_inner_texts())
        assert axe_of(page)[0] == {}


def test_motion_is_only_for_those_who_want_it(opened: Callable[..., Any]) -> None:
    for motion, expected in (("reduce", "auto"), ("no-preference", "smooth")):
        with opened(reduced_motion=motion) as page:
            assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == expected


def test_the_page_is_small(page_file: Path) -> None:
    assert page_file.stat().st_size < 1_000_000


def parts(colour: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", colour)][:3]


def brightness(colour: str) -> float:
    """Relative luminance of ``rgb(...)`` (WCAG 2.2)."""
    shares = [part / 255 for part in parts(colour)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return math.fsum((0.2126 * red, 0.7152 * green, 0.0722 * blue))


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2)."""
    high, low = sorted((brightness(first), brightness(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)
