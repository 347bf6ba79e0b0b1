"""The sections of report.html that are evidence: factors, cost, images."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.report.data.material import Material
from ablate.report.figures.figure import png_image
from ablate.report.figures.image_strips import Strip
from ablate.report.html.comparison_table import chip, level
from ablate.report.statistics.model import Comparison
from ablate.report.statistics.pareto import front_sentences, front_text
from ablate.report.statistics.trend import Trend
from ablate.report.text import numerals
from ablate.report.text.cells import verdict_word
from ablate.report.text.html_elements import Html, join, scroller, table, tag
from ablate.study.spec import Arm

_CLEAR = 0.05
"""Level of the trend test: exploratory, one per factor."""
_KINDS = {
    "restored": "Restored",
    "generated": "Generated from noise",
    "training": "Over training",
    "pictures": "Written by the command",
}


def factors_section(material: Material, drawn: Sequence[Html]) -> Html | None:
    """Return one small table per varied factor, and the figures about factors; None when nothing was varied alone."""
    factors = list(dict.fromkeys(arm.factor for arm in material.study.arms if arm.factor is not None))
    if not factors and not drawn:
        return None
    tables = tag("div", [_factor_table(factor, material) for factor in factors], class_="cards")
    said = [tag("p", trend_sentence(trend)) for trend in material.trends if trend.p is not None]
    return join(tables, said, drawn)


def trend_sentence(trend: Trend) -> str:
    """Say what Page's test says about the order of a factor's levels."""
    levels = ", ".join(f"{level:g}" for level in trend.levels)
    chosen = "" if trend.declared else "; the direction was not declared, so p is doubled"
    shown = numerals.p_text(trend.p)
    p = f"p < {shown[1:]}" if shown.startswith("<") else f"p = {shown}"
    test = f"Page's trend test, {p}, {numerals.plural(trend.seeds, 'seed')}{chosen}"
    name, where = numerals.label(trend.metric), f"{trend.factor} ({levels})"
    if trend.hump:
        return f"{where}: the mean {name} is best or worst inside the range, so compare neighbouring levels ({test})."
    if trend.p is not None and trend.p <= _CLEAR:
        return f"{where}: {name} is {trend.course} with the level ({test})."
    return f"{where}: no trend of {name} is shown ({test})."


def _factor_table(factor: str, material: Material) -> Html:
    study, comparison = material.study, material.comparison
    arms = [
        arm for arm in study.arms if arm.factor == factor and (arm.name, comparison.primary.name) in comparison.rows
    ]
    base = level(study.baseline.settings.get(factor))
    first = tag("tr", tag("th", base, scope="row"), tag("td", "baseline"), tag("td"))
    rows = [first, *(_level_row(arm, factor, comparison) for arm in arms)]
    levels = table(tag("code", factor), ("level", "verdict", "difference"), rows, words=3, class_="factor")
    return scroller(f"Levels of {factor}", levels)


def _level_row(arm: Arm, factor: str, comparison: Comparison) -> Html:
    row = comparison.row(arm.name)
    return tag(
        "tr",
        tag("th", level(arm.settings.get(factor)), scope="row"),
        tag("td", chip(verdict_word(row))),
        tag("td", numerals.difference_text(row, comparison.primary, unit=True), class_="num"),
    )


def cost_section(material: Material, drawn: Sequence[Html]) -> Html | None:
    """Return what each arm costs, who dominates whom, and the scatter plot."""
    if not drawn and not any(cost.seconds is not None for cost in material.costs.values()):
        return None
    front = material.front
    sentences = [tag("li", said) for said in front_sentences(front, numerals.label)] if front is not None else []
    said = tag("ul", sentences, class_="notes") if sentences else None
    return join(said, drawn, _cost_table(material))


def _cost_table(material: Material) -> Html:
    front = material.front
    rows = []
    for arm in material.shown_arms:
        cost = material.costs[arm.name]
        mean = "–" if cost.seconds is None else numerals.duration(cost.seconds)
        cells = [tag("td", front_text(front, arm.name))] if front is not None else []
        cells += [
            tag("td", text, class_="num")
            for text in (mean, numerals.times_text(cost.ratio), numerals.duration(cost.total))
        ]
        rows.append(tag("tr", tag("th", arm.name, scope="row"), cells))
    head = ("mean per trial", "relative to the baseline", "all trials together")
    caption = "Wall time of trials; reused work counts with the time it once took"
    if front is None:
        return scroller("Time per arm", table(caption, ("arm", *head), rows))
    caption = (
        f"{caption}. Front: arms that no other arm dominates. To dominate is to be better or equivalent both in "
        f"{numerals.label(front.quality)} and in {numerals.label(front.time)}, and better in one. Against the "
        f"baseline the verdicts above apply; {numerals.plural(front.pairs, 'other pair')} are a family of their own. "
        "Exploratory"
    )
    return scroller("Time per arm", table(caption, ("arm", "front", *head), rows, words=2))


def samples_section(strips: Sequence[Strip], drawn: Sequence[Html]) -> Html | None:
    """Return the image rows: the same images, the same noise, the same seed in every arm; never picked by hand."""
    if not strips and not drawn:
        return None
    parts: list[Html] = []
    for kind in dict.fromkeys(strip.kind for strip in strips):
        own = [strip for strip in strips if strip.kind == kind]
        rows = [
            tag(
                "tr",
                tag("th", strip.label, tag("span", strip.note, class_="interval") if strip.note else None, scope="row"),
                tag("td", png_image(strip.png, strip.alt, "strip", _narrower(strip))),
            )
            for strip in own
        ]
        strip_table = tag("table", tag("caption", own[0].caption), tag("tbody", rows), class_="strips")
        parts.append(join(tag("h3", _KINDS[kind]), scroller(f"Images, {_KINDS[kind].lower()}", strip_table)))
    return join(parts, drawn)


def _narrower(strip: Strip) -> str | None:
    return f"--share:{strip.share:.4g}" if strip.share < 1 else None
