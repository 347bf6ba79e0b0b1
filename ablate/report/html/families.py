"""The section of report.html about contrasts of several arms: heatmaps, and every contrast with its test."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.data.material import Material
from ablate.report.html.comparison_table import chip
from ablate.report.statistics.families import Effect, Family
from ablate.report.text import numerals
from ablate.report.text.html_elements import Html, join, scroller, table, tag

_KINDS = {
    "main": "main effect",
    "interaction": "interaction",
    "together": "all together",
    "step": "step",
    "neighbours": "neighbouring levels",
}
_MOST = 100
"""Contrasts of one family in the page; report.json has all."""


def contrasts_section(material: Material, drawn: Sequence[Html]) -> Html | None:
    """Return the heatmaps and one table per family of contrasts; None where the designs allow none."""
    if not material.families and not drawn:
        return None
    designed = [_table(family, material) for family in material.families if family.kind != "vary"]
    neighbours = [_table(family, material) for family in material.families if family.kind == "vary"]
    folded = tag("details", tag("summary", "Neighbouring levels of ordered factors"), neighbours)
    return join(drawn, designed, folded if neighbours else None)


def _table(family: Family, material: Material) -> Html:
    metric = material.comparison.primary
    unit = numerals.unit_of_difference(metric)
    head = [
        "contrast",
        "what it is",
        "verdict",
        "n",
        f"{numerals.label(metric)}{f' ({unit})' if unit else ''}",
        "p (Holm)",
    ]
    rows = [_row(effect, material) for effect in family.effects[:_MOST]]
    rest = len(family.effects) - len(rows)
    more = f" The first {len(rows)} are shown; report.json has {rest} more." if rest else ""
    caption = (
        f"Contrasts of the {family.kind} design with 95 % t-intervals, corrected over "
        f"{numerals.plural(family.tested, 'test')} at level {family.alpha:.4g}, a family of their own. An interaction "
        f"is better if the changes together do better than the sum of their separate effects.{more}"
    )
    return scroller(f"Contrasts of the {family.kind} design", table(caption, head, rows, words=3))


def _row(effect: Effect, material: Material) -> Html:
    diff, interval = numerals.difference_parts(effect, material.comparison.primary)
    note = tag("span", effect.note, class_="interval") if effect.note else None
    return tag(
        "tr",
        tag("th", effect.name, scope="row"),
        tag("td", _KINDS[effect.kind]),
        tag("td", chip(effect.verdict.value if effect.verdict is not None else "-"), " ", note),
        tag("td", str(effect.n), class_="num"),
        tag("td", diff or "–", " ", tag("span", interval, class_="interval"), class_="num"),
        tag("td", numerals.p_text(effect.p_corrected), class_="num"),
    )
