"""A Bayesian reading in words and cells: what stands beside a verdict, and what it does not promise."""

from __future__ import annotations

from ablate.report.statistics.model import Comparison, Row
from ablate.report.text.cells import unit_of


def posterior_header(comparison: Comparison) -> str:
    """Return the header of the column."""
    return "P(better/equivalent/worse), %" if _has_margin(comparison) else "P(better/worse), %"


def posterior_cell(row: Row) -> str:
    """Return ``97/3/<1``: better, equivalent where there is a margin, worse, in per cent; ``-`` without them."""
    found = _chances(row)
    return "/".join(_percent(chance) for _, chance in found) if found else "-"


def posterior_text(row: Row, unit: str = "seed") -> str:
    """Return what a sentence about the arm ends with; empty without a Bayesian reading. It rests on some `unit`."""
    words = {"better": "better", "equivalent": "within it", "worse": "worse"}
    if row.posterior_equivalent is not None:
        words |= {"better": "better by more than the margin", "worse": "worse by more than it"}
    named = [f"{words[word]} {_percent(chance)} %" for word, chance in _chances(row)]
    return f"; posterior by these {unit}s alone: {', '.join(named)}" if named else ""


def posterior_paragraphs(comparison: Comparison) -> list[str]:
    """Return how the posterior was made and what it does not say; nothing where none was asked for."""
    if comparison.bayes is None:
        return []
    share = comparison.bayes.test_share
    related = (
        f"with the correlation {share:g} of cross-validation folds, the share of the data that each tests on"
        if share
        else f"with independent {unit_of(comparison)}s"
    )
    zone = (
        "The margin is the region of practical equivalence: better and worse are chances of differences beyond it, "
        "while a verdict of better or worse is about differences from 0. "
        if _has_margin(comparison)
        else ""
    )
    return [
        f"Posterior: the chances that the true difference is better, {'equivalent, ' if zone else ''}or worse, by the "
        f"correlated t-test (Corani and Benavoli) under a flat prior, {related}. {zone}They stand beside the verdicts "
        "and never change one. They are not corrected for the number of arms or of looks, and bound no error rate: of "
        "many arms without an effect, some have a high chance of better. Without a margin they say what the "
        "uncorrected p says, in another unit."
    ]


def _has_margin(comparison: Comparison) -> bool:
    return comparison.primary.margin is not None


def _chances(row: Row) -> list[tuple[str, float]]:
    named = (
        ("better", row.posterior_better),
        ("equivalent", row.posterior_equivalent),
        ("worse", row.posterior_worse),
    )
    return [(word, chance) for word, chance in named if chance is not None]


def _percent(chance: float) -> str:
    """Whole per cent; what is not certain is never shown as 0 or 100."""
    if chance < 0.01:
        return "<1"
    return ">99" if chance > 0.99 else f"{100 * chance:.0f}"
