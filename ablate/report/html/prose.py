"""The sections of report.html that are words: the answer, the method, the provenance, the checklist."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ablate.report.data.material import Material
from ablate.report.data.provenance import scrub
from ablate.report.html.comparison_table import chip
from ablate.report.text import numerals
from ablate.report.text.answer import answer_of
from ablate.report.text.escape import printable, visible
from ablate.report.text.html_elements import Html, join, scroller, table, tag
from ablate.report.text.methods_section import method_paragraphs
from ablate.report.text.verdict_sentences import Sentence, file_command

_TODO = "TODO"
_SPELT_OUT = 25
"""Sentences on the first screen; the rest is one click away."""


def answer_section(material: Material) -> Html:
    """Return the first screen: summary, decided, undecided with what to run, what was not tested."""
    found = answer_of(material)
    return join(
        tag("p", str(found.summary), class_="summary"),
        _list((*found.decided, *found.undecided), "verdicts"),
        _list(found.findings, "notes"),
        _list((found.unfinished,), "verdicts") if found.unfinished is not None else None,
        _list(found.warnings, "notes"),
        _list(found.untested, "notes"),
    )


def _list(sentences: Sequence[Sentence], class_: str) -> Html | None:
    if not sentences:
        return None
    first = tag("ul", [_item(sentence) for sentence in sentences[:_SPELT_OUT]], class_=class_)
    rest = sentences[_SPELT_OUT:]
    if not rest:
        return first
    folded = tag("ul", [_item(sentence) for sentence in rest], class_=class_)
    return join(first, _folded(numerals.plural(len(rest), "more arm"), folded))


def _item(sentence: Sentence) -> Html:
    words = join(tag("strong", sentence.arm), " ", sentence.text) if sentence.arm is not None else join(sentence.text)
    command = tag("pre", tag("code", scrub(sentence.command)), class_="command") if sentence.command else None
    shown = chip(sentence.verdict.value) if sentence.verdict is not None else None
    return tag("li", shown, tag("div", words, command))


def method_section(material: Material) -> Html:
    """Return how the numbers were made, and the formulas."""
    formulas = tag(
        "details",
        tag("summary", "Formulas"),
        tag(
            "p",
            "With f the identity or the natural logarithm and s = +1 where higher is better, -1 where lower is: "
            "d_i = s (f(arm_i) - f(baseline_i)) for every shared seed i; mean d, standard deviation s_d (n - 1); "
            "SE = s_d / sqrt(n). p = 2 P(T > |d| / SE) with n - 1 degrees of freedom. Equivalence with margin m: "
            "p_eq = max(P(T > (d + m) / SE), P(T < (d - m) / SE)). Interval: d ± t(0.975, n - 1) SE.",
        ),
    )
    return join([tag("p", paragraph) for paragraph in method_paragraphs(material)], formulas)


def provenance_section(material: Material) -> Html:
    """Return where the numbers come from: facts, environment, the study file, the settings of every arm."""
    provenance = material.provenance
    facts = tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in provenance.facts], class_="facts")
    recorded = [[tag("dt", name), tag("dd", value)] for name, value in provenance.environment]
    parts = [facts]
    if recorded:
        parts.append(_folded("Recorded by the trials", tag("dl", recorded, class_="facts")))
    if provenance.study_text:
        parts.append(_folded("Study file", _verbatim("Study file", provenance.study_text)))
    parts.append(_folded("Settings of every arm", _verbatim("Settings of every arm", _settings(material))))
    return join(parts)


def _folded(title: str, content: Html) -> Html:
    return tag("details", tag("summary", title), content)


def _verbatim(label: str, text: str) -> Html:
    # `tag` would turn line breaks into visible escapes, so the lines are joined as HTML.
    lines = Html("\n".join(join(line) for line in printable(text).split("\n")).replace("\\t", "  "))
    return tag("pre", tag("code", lines), role="group", tabindex=0, aria_label=label)


def _settings(material: Material) -> str:
    """The baseline's settings in full, and of every other arm what differs: nothing is said twice."""
    base = material.study.baseline
    found = {base.name: dict(base.settings)}
    for arm in material.study.arms[1:]:
        found[arm.name] = {key: value for key, value in arm.settings.items() if base.settings.get(key) != value}
    return scrub(json.dumps(found, indent=1, ensure_ascii=False))


def checklist_section(material: Material) -> Html:
    """Return the questions reviewers ask (NeurIPS checklist items 4 to 8), filled in as far as is known."""
    rows = [
        tag("tr", tag("th", item, scope="row"), tag("td", tag("mark", text) if text.startswith(_TODO) else text))
        for item, text in _checklist(material)
    ]
    caption = "Filled in from the records; anything unknown is left to you"
    return scroller("Checklist", table(caption, ("question", "answer"), rows, words=2, class_="checklist"))


def _checklist(material: Material) -> list[tuple[str, str]]:
    study, comparison, provenance = material.study, material.comparison, material.provenance
    facts = dict(provenance.facts)
    data = study.baseline.settings.get("data")
    correction = "no correction" if comparison.correct == "none" else f"corrected ({comparison.correct.capitalize()})"
    changed = f"Changed after the run: {comparison.changed}. " if comparison.changed else ""
    commits = ", ".join(provenance.commits)
    return [
        (
            "4 Reproducibility: can the main result be reproduced from the information given?",
            f"Study file and settings of every arm: section Provenance. Command: {reproduce_command(material)}.",
        ),
        ("5 Open access to code", f"Commit {commits}" if commits else f"{_TODO}: say which commit of your code ran"),
        ("5 Open access to data", f"Data: {visible(data)}" if isinstance(data, str) else f"{_TODO}: name the data set"),
        (
            "6 Settings: are all training and test details given?",
            f"{numerals.plural(len(study.baseline.settings), 'setting')} of the baseline and every difference: section "
            "Provenance.",
        ),
        (
            "7 Significance: which variability, computed how, under which assumptions?",
            f"95 % t-intervals over {numerals.plural(comparison.look, 'training seed')}; differences "
            f"{'paired by seed' if comparison.test != 'welch' else 'of independent seeds'}, assumed roughly normal; "
            f"{numerals.plural(comparison.tested, 'comparison')}, {correction}. "
            f"{changed}Margins, seeds and test declared before the first trial: {provenance.declared}.",
        ),
        ("8 Compute: which devices, how much time?", f"{facts['devices']}; {facts['device time']}."),
    ]


def reproduce_command(material: Material) -> str:
    """Return the command that runs the study again."""
    return scrub(material.command or file_command(material.study))
