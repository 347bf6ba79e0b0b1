"""report.md: the answer, the table, and how to read it, for a repository or a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.escape import markdown, markdown_code
from ablate.report.material import Material
from ablate.report.table import Line, lines_of, primary_header, secondary_headers
from ablate.report.text import Answer, Sentence, answer
from ablate.report.wording import method_paragraphs


def report_markdown(material: Material, figures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the whole page; `figures` are (file name inside figures/, alternative text)."""
    study = material.study
    times = {arm.name: material.ratio(arm.name) for arm in study.arms}
    parts = [
        f"# {markdown(study.name)}",
        f"{markdown(study.question)}" if study.question else "",
        f"*{material.state}*",
        *_answer_parts(answer(study, material.comparison, times, command=material.command)),
        "## Comparison",
        comparison_markdown(material),
        *(f"![{markdown(alt)}](figures/{name})" for name, alt in figures),
        "## Method",
        *(markdown(text) for text in method_paragraphs(material)),
        "## Where it comes from",
        _facts(material.provenance.facts),
        f"Generated at {material.generated_at} by ablate.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer_parts(found: Answer) -> list[str]:
    parts = ["## Answer", markdown(str(found.summary))]
    for heading, group in (
        ("", found.decided),
        ("Undecided:", found.undecided),
        ("What this does not show:", found.untested),
    ):
        if group:
            parts += [heading, "\n".join(_item(sentence) for sentence in group)]
    if found.unfinished is not None:
        parts.append(_item(found.unfinished))
    if found.warnings:
        parts += ["Warnings:", "\n".join(_item(sentence) for sentence in found.warnings)]
    return parts


def _item(sentence: Sentence) -> str:
    arm = f"**{markdown(sentence.arm)}** " if sentence.arm is not None else ""
    command = f" {markdown_code(sentence.command)}" if sentence.command else ""
    return f"- {arm}{markdown(sentence.text)}{command}"


def comparison_markdown(material: Material) -> str:
    """Return the comparison table in Markdown."""
    comparison = material.comparison
    times = {arm.name: material.ratio(arm.name) for arm in material.study.arms}
    lines = lines_of(comparison, [arm.name for arm in material.shown_arms], times)
    header = ["arm", "verdict", "n", primary_header(comparison), "p (Holm)", *secondary_headers(comparison), "time"]
    align = ["---", "---", "--:", "--:", "--:", *["--:"] * (len(header) - 6), "--:"]
    rows = [header, align, *(_cells(line) for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(line: Line) -> list[str]:
    name = markdown(line.arm)
    diff, interval = line.primary
    shown = f"**{diff}**" if line.bold else diff
    return [
        f"**{name}**" if line.baseline else name,
        line.verdict,
        line.n,
        f"{shown} {interval}".strip(),
        markdown(line.p_holm),
        *line.secondary,
        line.time,
    ]


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {markdown(name)}: {markdown(value)}" for name, value in facts)
