"""How often every arm diverged, with exact intervals."""

from __future__ import annotations

from ablate.report.data.material import Material
from ablate.report.figures.base import Words, brief, finish, new_figure, styled
from ablate.report.figures.figure import INK, PALETTE, Drawing
from ablate.report.statistics.model import Stability
from ablate.report.text import numerals

_MOST_ARMS = 60
_COLUMNS = ("arm", "diverged", "runs", "share", "low", "high", "p")


def stability(material: Material) -> Drawing | None:
    """Draw the share of runs that diverged per arm; None when none did. With very many arms, only those that did."""
    comparison = material.comparison
    known = [comparison.stability[arm.name] for arm in material.shown_arms if arm.name in comparison.stability]
    known = [found for found in known if found.runs]
    if not any(found.diverged for found in known):
        return None
    shown = known if len(known) <= _MOST_ARMS else [found for found in known if found.diverged][:_MOST_ARMS]
    with styled():
        figure, (axis,) = new_figure(7.4, 0.9 + 0.3 * len(shown))
        for place, found in enumerate(shown):
            low, high = (100 * (end or 0.0) for end in (found.low, found.high))
            colour, marker = (PALETTE["violet"], "X") if found.diverged else (PALETTE["grey"], "o")
            axis.hlines(place, low, high, color=colour, linewidth=2.4)
            axis.plot(100 * _share(found), place, marker, color=colour, markersize=8, markeredgecolor="white")
            axis.annotate(
                f"{found.diverged} of {found.runs}", (1.0, place), xycoords=("axes fraction", "data"), xytext=(8, 0),
                textcoords="offset points", va="center", color=INK, annotation_clip=False,
            )  # fmt: skip
        axis.set_yticks(range(len(shown)), [brief(found.arm) for found in shown])
        axis.set_ylim(len(shown) - 0.4, -0.6)
        axis.set_xlim(-2, 102)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        axis.set_xlabel("runs that diverged (%)")
        rows = [
            (found.arm, found.diverged, found.runs, _share(found), found.low, found.high, found.p) for found in shown
        ]
        return finish(_words(shown, len(known)), figure, _COLUMNS, rows)


def _share(found: Stability) -> float:
    return found.diverged / found.runs


def _words(shown: list[Stability], known: int) -> Words:
    some = sum(found.diverged > 0 for found in shown)
    left_out = f" {known - len(shown)} more arms are in the table." if known > len(shown) else ""
    return Words(
        name="stability",
        section="stability",
        title="Share of runs that diverged",
        alt=f"Share of runs that diverged with exact intervals for {numerals.plural(len(shown), 'arm')}; in {some} of "
        "them at least one run diverged. The numbers are in the table of trials by outcome.",
        caption=f"Share of runs that diverged, with exact 95 % binomial (Clopper-Pearson) intervals.{left_out}",
    )
