"""The comparison at equal budgets as plain text cells, the same for report.html and report.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.report.statistics.equal_budget import Equal
from ablate.report.statistics.model import Comparison, Row
from ablate.report.statistics.spent import BUDGETS, Budget
from ablate.report.text import numerals
from ablate.report.text.cells import verdict_word

_SAME = "spent the same"


@dataclass(frozen=True)
class BudgetCell:
    """A verdict with its difference and interval, or words in its place."""

    verdict: str
    text: str
    interval: str = ""
    spent: str = ""
    """By the arm in all, against the baseline."""


def columns_of(equal: Sequence[Equal]) -> dict[str, dict[str, Equal]]:
    """Return the budgets in which some arm differs from the baseline: words -> arm -> what holds there.

    Budgets in which the same arms differ with the same values are one column: where every arm sees the same data,
    equal epochs are equal images.
    """
    columns: dict[Budget, dict[str, Equal]] = {}
    words: dict[Budget, list[str]] = {}
    for budget, word in BUDGETS.items():
        own = {one.arm: one for one in equal if one.budget == budget}
        twin = next((other for other, found in columns.items() if _alike(found, own)), budget)
        if own:
            columns.setdefault(twin, own)
            words.setdefault(twin, []).append(word)
    return {_listed(words[budget]): found for budget, found in columns.items()}


def _listed(words: Sequence[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])


def _alike(some: Mapping[str, Equal], others: Mapping[str, Equal]) -> bool:
    return some.keys() == others.keys() and all(some[arm].row.values == others[arm].row.values for arm in some)


def budget_head(equal: Sequence[Equal]) -> tuple[str, ...]:
    """Return the header: the arm, as it was trained, and every budget in which some arm differs."""
    return ("arm", "as trained", *(f"equal {words}" for words in columns_of(equal)))


def budget_cells(equal: Sequence[Equal], comparison: Comparison) -> list[tuple[str, tuple[BudgetCell, ...]]]:
    """Return a row for every arm that spent more or less of some budget than the baseline."""
    columns = columns_of(equal).values()
    arms = {one.arm for one in equal}
    return [
        (arm, (_trained(comparison, arm), *(_cell(found.get(arm), comparison) for found in columns)))
        for arm in comparison.arms
        if arm in arms
    ]


def _trained(comparison: Comparison, arm: str) -> BudgetCell:
    row = comparison.row(arm)
    return _shown(row, comparison, "")


def _cell(one: Equal | None, comparison: Comparison) -> BudgetCell:
    if one is None:
        return BudgetCell("", _SAME)
    return _shown(one.row, comparison, f"spent {numerals.times_text(one.ratio)}")


def _shown(row: Row, comparison: Comparison, spent: str) -> BudgetCell:
    diff, interval = numerals.difference_parts(row, comparison.primary)
    return BudgetCell(verdict_word(row), diff or "-", interval, spent)


def budget_caption(comparison: Comparison) -> str:
    """Return what the table shows and how far it may be read."""
    unit = numerals.unit_of_difference(comparison.primary)
    return (
        f"{numerals.label(comparison.primary)} minus the baseline's{f' ({unit})' if unit else ''}, as trained and at "
        "equal spending: each seed at the smaller of the two budgets, read from the learning curves, "
        "with the 95 % t-interval and the arm's whole budget against the baseline's. Exploratory: one test per cell, "
        "without correction"
    )
