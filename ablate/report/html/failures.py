"""The section of report.html about trials that gave no number: how many there were, when and how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ablate.outcome import OutcomeKind
from ablate.report.data.material import Material
from ablate.report.data.provenance import scrub
from ablate.report.statistics.model import Comparison
from ablate.report.text import numerals
from ablate.report.text.html_elements import Html, join, scroller, table, tag

Counts = Mapping[str, Counter[OutcomeKind | None]]
"""Arm -> outcome -> trials, every attempt counted."""

_AGAIN = (OutcomeKind.FAILED, OutcomeKind.LOST, OutcomeKind.STOPPED, OutcomeKind.OUT_OF_MEMORY)
_SHOWN = 50
"""Ends that are listed; trials.csv has all."""


def stability_section(material: Material, drawn: Sequence[Html]) -> Html:
    """Return per arm how many trials were measured, diverged and failed, with exact intervals, and every end."""
    counts: dict[str, Counter[OutcomeKind | None]] = {arm.name: Counter() for arm in material.study.arms}
    for row in material.rows:
        counts.setdefault(row.arm, Counter())[row.outcome] += 1
    total = sum(counts.values(), Counter[OutcomeKind | None]())
    again = [kind for kind in _AGAIN if total[kind]]
    measured, diverged = numerals.plural(total[OutcomeKind.MEASURED], "trial"), total[OutcomeKind.DIVERGED]
    if not diverged and not again:
        return tag("p", f"{measured} measured; none diverged, none failed.")
    others = sum(total[kind] for kind in again)
    said = f"{measured} measured, {diverged} diverged, {others} ended for other reasons and will be run again."
    return join(tag("p", said), drawn, _shares(material, counts, again), _ends(material))


def _shares(material: Material, counts: Counts, again: Sequence[OutcomeKind]) -> Html:
    head = ["arm", "measured", "diverged", "share diverged (95 %)", "p against the baseline"]
    head += [kind.value.replace("_", " ") for kind in again]
    rows = [_row(arm.name, counts[arm.name], again, material.comparison) for arm in material.shown_arms]
    caption = (
        "Trials by outcome, every attempt counted. Shares of runs that diverged with exact binomial intervals; p of "
        "Boschloo's exact test against the baseline's share, not corrected."
    )
    return scroller("Trials by outcome", table(caption, head, rows))


def _row(arm: str, counts: Counter[OutcomeKind | None], again: Sequence[OutcomeKind], comparison: Comparison) -> Html:
    found = comparison.stability.get(arm)
    share = p = "–"
    if found is not None and found.runs and found.low is not None and found.high is not None:
        share = f"{found.diverged}/{found.runs} [{found.low:.0%}, {found.high:.0%}]"
        p = numerals.p_text(found.p) if found.p is not None else "–"
    cells = [str(counts[OutcomeKind.MEASURED]), str(counts[OutcomeKind.DIVERGED]), share, p]
    cells += [str(counts[kind]) for kind in again]
    return tag("tr", tag("th", arm, scope="row"), [tag("td", text, class_="num") for text in cells])


def _ends(material: Material) -> Html | None:
    """Every trial that counts and ended without numbers: after how many images, and what was reported."""
    ended = [
        (arm, seed, row)
        for (arm, seed), row in sorted(material.results.items())
        if row.outcome not in (None, OutcomeKind.MEASURED)
    ]
    if not ended:
        return None
    rows = []
    for arm, seed, row in ended[:_SHOWN]:
        images, kind = row.attributes.get("images_seen"), row.outcome
        cells = [
            tag("td", (kind.value if kind is not None else "").replace("_", " ")),
            tag("td", scrub(str(row.attributes.get("error") or ""))[:300]),
            tag("td", str(seed), class_="num"),
            tag("td", f"{images:,}" if isinstance(images, int) and images else "–", class_="num"),
        ]
        rows.append(tag("tr", tag("th", arm, scope="row"), cells))
    rest = f" The first {len(rows)} are shown; trials.csv has all." if len(ended) > len(rows) else ""
    caption = f"Trials that ended without numbers, and the training images they had seen.{rest}"
    listed = table(caption, ("arm", "outcome", "what was reported", "seed", "images seen"), rows, words=3)
    return tag("details", tag("summary", f"What ended them ({len(ended)})"), scroller("Ends of trials", listed))
