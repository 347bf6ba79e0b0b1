"""report.html: one file that needs nothing else, no network and no JavaScript (which only sorts the table)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

import ablate
from ablate.report.data.material import Material, State
from ablate.report.figures.figure import Drawing
from ablate.report.figures.image_strips import PICTURES, Strip
from ablate.report.html import evidence
from ablate.report.html import prose as sections
from ablate.report.html.blocks import blocks_section
from ablate.report.html.comparison_table import comparison_table
from ablate.report.html.equal_budget import budget_section
from ablate.report.html.failures import stability_section
from ablate.report.html.families import contrasts_section
from ablate.report.html.search import search_section
from ablate.report.html.time_to_event import reaching_section
from ablate.report.text.html_elements import Html, join, scroller, tag


@cache
def _asset(name: str) -> str:
    return resources.files("ablate.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _policy() -> str:
    """What a browser may do with the page: draw it, and run our one script. Nothing is loaded or sent anywhere."""
    script = base64.b64encode(hashlib.sha256(_asset("sort.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def report_html(
    material: Material,
    drawings: Sequence[Drawing] = (),
    strips: Sequence[Strip] = (),
    files: Mapping[str, bytes] | None = None,
) -> str:
    """Return the page. `files` are the report's other files, listed in its footer with their SHA-256."""
    found = [section for section in _sections(material, drawings, strips) if section is not None]
    style = tag("style", Html(_asset("report.css")))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{material.study.name} · ablate report"),
        style,
    )
    contents = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in found]
    body = tag(
        "body",
        tag("a", "Skip to the answer", href="#answer", class_="skip"),
        _header(material),
        tag("nav", tag("ol", contents), aria_label="Sections"),
        tag("main", [_section(*section) for section in found]),
        _footer(material, files or {}),
        tag("script", Html(_asset("sort.js"))),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _section(name: str, title: str, content: Html) -> Html:
    return tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")


def _sections(
    material: Material, drawings: Sequence[Drawing], strips: Sequence[Strip]
) -> list[tuple[str, str, Html] | None]:
    def drawn(section: str) -> list[Html]:
        return [drawing.element() for drawing in drawings if drawing.section == section]

    return [
        ("answer", "Answer", sections.answer_section(material)),
        _optional("blocks", _blocks_title(material), blocks_section(material, drawn("blocks"))),
        ("comparison", _comparison_title(material), comparison_table(material)),
        _figure_section("forest", "Differences and their uncertainty", drawn("forest")),
        _optional("factors", "Factor by factor", evidence.factors_section(material, drawn("factors"))),
        _figure_section("curves", "Learning curves", drawn("curves")),
        _optional("budgets", "At equal compute", budget_section(material, drawn("budgets"))),
        _optional("reaching", "Time to the declared quality", reaching_section(material, drawn("reaching"))),
        _optional("cost", "Quality against cost", evidence.cost_section(material, drawn("cost"))),
        _optional("samples", _images_title(strips), evidence.samples_section(strips, drawn("samples"))),
        _optional("contrasts", "Contrasts of several arms", contrasts_section(material, drawn("contrasts"))),
        _optional("searches", "Searches", search_section(material.searched)),
        ("stability", "Stability", stability_section(material, drawn("stability"))),
        ("method", "Method", sections.method_section(material)),
        ("provenance", "Provenance", sections.provenance_section(material)),
        ("checklist", "Checklist for a paper", sections.checklist_section(material)),
    ]


def _blocks_title(material: Material) -> str:
    found = material.comparison.blocks
    return "" if found is None else f"Every arm in {len(found.names)} blocks ({found.word})"


def _comparison_title(material: Material) -> str:
    return "Comparison" if material.comparison.blocks is None else "Comparison over all blocks"


def _images_title(strips: Sequence[Strip]) -> str:
    return "Pictures" if {strip.kind for strip in strips} == {PICTURES} else "Restored and generated images"


def _figure_section(name: str, title: str, drawn: Sequence[Html]) -> tuple[str, str, Html] | None:
    return (name, title, join(drawn)) if drawn else None


def _optional(name: str, title: str, content: Html | None) -> tuple[str, str, Html] | None:
    return (name, title, content) if content is not None else None


def _header(material: Material) -> Html:
    study = material.study
    origin = f" from {study.file}" if study.file else ""
    return tag(
        "header",
        tag("p", "Ablation report ", _badges(material.state), class_="eyebrow"),
        tag("h1", study.name),
        tag("p", study.question, class_="question") if study.question else None,
        tag("p", f"Generated at {material.generated_at} by ablate {ablate.__version__}{origin}", class_="generated"),
    )


def _badges(state: State) -> Html:
    """How far the study is, and whether the page still fits its file, as capitals and in words."""
    done = "all trials" if state.word == "complete" else f"{state.results} of {state.planned} trials"
    badges = [(state.word, f"{done} have a result" if state.word == "complete" else done)]
    if state.stale:
        badges.append(("stale", "the study file has changed since the run"))
    return join([tag("span", tag("strong", word.upper()), " ", text, class_=f"badge {word}") for word, text in badges])


def _footer(material: Material, files: Mapping[str, bytes]) -> Html:
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", tag("code", hashlib.sha256(data).hexdigest())))
        for name, data in sorted(files.items())
    ]
    listing = (
        tag(
            "details",
            tag("summary", "Files of this report with their SHA-256"),
            scroller("Files", tag("table", tag("caption", "Files beside this page"), tag("tbody", rows))),
        )
        if rows
        else None
    )
    return tag(
        "footer",
        tag("p", "To reproduce: ", tag("code", sections.reproduce_command(material))),
        listing,
    )
