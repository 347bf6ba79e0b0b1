"""The short sections of a study file: question, seeds, alpha, report, budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablate.study.problems import BadValueError, Problems
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table
from ablate.study.spec import BUDGET_UNITS
from ablate.study.verdict_method import (
    CHOICES,
    FEWEST_FLIPS,
    LARGEST_FLIP,
    LATER_CHOICES,
    LOOK_CHOICES,
    MOST_FUTILITY,
    Method,
)

DEFAULT_LOOKS = (5,)
DEFAULT_ALPHA = 0.05
MOST_SEEDS = 1000
_METHOD = "{test: paired, noise: own, correct: holm, equivalence: holm}"
LOOK_KEYS = ("looks", "boundaries", "futility")
"""Keys of ``seeds`` where it is a mapping."""


def read_question(node: Node | None, problems: Problems) -> str:
    """Return the question, empty when there is none."""
    if node is None:
        return ""
    try:
        return values.text(node).strip()
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject="question")
        return ""


def read_seeds(node: Node | None, problems: Problems) -> tuple[tuple[int, ...], int]:
    """Return the numbers of seeds per arm at which verdicts may be given, and the first seed.

    ``seeds: 5`` is one look at seeds 0 to 4; ``seeds: [3, 4]`` one look at these two.
    """
    if isinstance(node, Items):
        return _listed(node, problems)
    return _read_looks(node, problems), 0


def _listed(node: Items, problems: Problems) -> tuple[tuple[int, ...], int]:
    """Read the seeds themselves: a study whose seeds are split over machines."""
    try:
        seeds = [values.count(item) for item in node.items]
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject="seeds")
        return DEFAULT_LOOKS, 0
    if not seeds or seeds != list(range(seeds[0], seeds[0] + len(seeds))):
        problems.error(
            node.mark,
            "seeds: a list names seeds that follow one another, such as [3, 4, 5]",
            suggestion="write {looks: [3, 5, 10]} for several looks",
            note="seeds: 5 are the seeds 0 to 4",
        )
        return DEFAULT_LOOKS, 0
    if seeds[-1] >= MOST_SEEDS:
        problems.error(node.mark, f"seeds: {seeds[-1]} is out of range: below {MOST_SEEDS}")
        return DEFAULT_LOOKS, 0
    return (len(seeds),), seeds[0]


def _read_looks(node: Node | None, problems: Problems) -> tuple[int, ...]:
    if node is None:
        return DEFAULT_LOOKS
    looks = _looks(node, problems) if isinstance(node, Table) else (_count(node, problems),)
    counts = tuple(count for count in looks if count is not None)
    if counts == (1,):
        problems.warn(node.mark, "with one seed no verdict is possible", suggestion="3 or more")
    return counts or DEFAULT_LOOKS


def _looks(table: Table, problems: Problems) -> tuple[int | None, ...]:
    for key, _ in table.entries:
        if key.text not in LOOK_KEYS:
            problems.unknown(key.mark, "key of seeds", key.text, LOOK_KEYS)
    node = table.get("looks")
    if node is None or not isinstance(node, Items) or not node.items:
        where = table.mark if node is None else node.mark
        problems.error(where, "seeds: expected a list of seed counts", suggestion="write {looks: [3, 5, 10]}")
        return ()
    counts = tuple(_count(item, problems) for item in node.items)
    for earlier, later, item in zip(counts, counts[1:], node.items[1:], strict=False):
        if earlier is not None and later is not None and later <= earlier:
            problems.error(item.mark, f"looks must increase, but {later} follows {earlier}")
    return counts


def _count(node: Node, problems: Problems) -> int | None:
    try:
        count = values.count(node)
        if not 1 <= count <= MOST_SEEDS:
            raise BadValueError(f"{count} is out of range: at least 1, at most {MOST_SEEDS} seeds")
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject="seeds")
        return None
    return count


def read_alpha(node: Node | None, problems: Problems) -> float:
    """Return the error rate of the whole study, above 0 and at most 0.5."""
    if node is None:
        return DEFAULT_ALPHA
    try:
        alpha = values.number(node)
        if not 0 < alpha <= 0.5:
            hint = "did you mean 0.05?" if alpha == 5 else None
            raise BadValueError("out of range: above 0, at most 0.5", suggestion=hint)
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject="alpha")
        return DEFAULT_ALPHA
    return alpha


def read_method(
    key: Leaf | None, node: Node | None, seeds: Node | None, looks: tuple[int, ...], problems: Problems
) -> tuple[Method, frozenset[str]]:
    """Return what the sections ``report`` and ``seeds`` state, and which words both leave to the default.

    Defaults stand where nothing is stated, or where it is wrong: then the problem is recorded.
    """
    chosen = {**_look_method(seeds, looks, problems), **_report(key, node, problems)}
    left_open = frozenset(LATER_CHOICES) - chosen.keys()
    if "correct" in chosen:
        chosen.setdefault("equivalence", chosen["correct"])
    method = _agreeing(chosen, node, looks, problems) if isinstance(node, Table) else Method(**chosen)
    return method, left_open


def _report(key: Leaf | None, node: Node | None, problems: Problems) -> dict[str, Any]:
    if key is None or node is None:
        return {}
    if not isinstance(node, Table) or not node.entries:
        empty = isinstance(node, Table) or (isinstance(node, Leaf) and node.is_null)
        problems.error(
            key.mark if empty else node.mark,
            f"report: expected a mapping, got {'an empty one' if isinstance(node, Table) else values.describe(node)}",
            suggestion="leave it out for the defaults" if empty else None,
            note=f"expected: {_METHOD}",
        )
        return {}
    chosen: dict[str, Any] = {}
    for word, value in node.entries:
        if word.text not in CHOICES:
            problems.unknown(word.mark, "key of 'report'", word.text, CHOICES)
            continue
        try:
            chosen[word.text] = values.name(value, CHOICES[word.text])
        except BadValueError as bad:
            problems.bad(value.mark, bad, subject=f"report {word.text}")
    return chosen


def _look_method(node: Node | None, looks: tuple[int, ...], problems: Problems) -> dict[str, Any]:
    """What ``seeds`` states beside its looks: how they share alpha, and when an arm is stopped."""
    chosen: dict[str, Any] = {}
    for word, value in node.entries if isinstance(node, Table) else ():
        if word.text not in LOOK_KEYS[1:]:
            continue
        if len(looks) < 2:
            problems.error(word.mark, f"seeds {word.text}: needs several looks", suggestion="leave it out")
            continue
        try:
            chosen[word.text] = (
                _futility(value) if word.text == "futility" else values.name(value, LOOK_CHOICES[word.text])
            )
        except BadValueError as bad:
            problems.bad(value.mark, bad, subject=f"seeds {word.text}")
    return chosen


def _futility(node: Node) -> float:
    chance = values.number(node)
    if not 0 <= chance <= MOST_FUTILITY:
        hint = f"did you mean {chance / 100:g}?" if 1 <= chance <= 100 * MOST_FUTILITY else None
        raise BadValueError(f"a chance is wanted, from 0 (never stop) to {MOST_FUTILITY}", suggestion=hint)
    return chance


def _agreeing(chosen: Mapping[str, Any], table: Table, looks: tuple[int, ...], problems: Problems) -> Method:
    """Return the method, or the default one after recording what does not go together."""
    test = chosen.get("test", "paired")
    if chosen.get("noise") == "pooled" and test != "paired":
        problems.error(
            _value(table, "noise", table).mark,
            f"report noise: pooled noise needs the paired test, not {test}",
            suggestion="leave out one of them",
        )
        return Method()
    if test == "permutation":
        _check_flips(_value(table, "test", table), looks, problems)
    return Method(**chosen)


def _check_flips(node: Node, looks: tuple[int, ...], problems: Problems) -> None:
    """Say for which numbers of seeds exact sign flips have no answer."""
    if max(looks) > LARGEST_FLIP:
        problems.error(
            node.mark,
            f"report test: exact sign flips work for at most {LARGEST_FLIP} shared seeds; the study plans {max(looks)}",
            suggestion="use the paired test",
        )
    elif min(looks) < FEWEST_FLIPS:
        problems.warn(
            node.mark,
            f"exact sign flips need {FEWEST_FLIPS} shared seeds or more; the first look is at {min(looks)}",
            suggestion=f"plan {FEWEST_FLIPS} seeds or more, or use the paired test",
        )


def _value(table: Table, name: str, default: Node) -> Node:
    node = table.get(name)
    return default if node is None else node


def read_budget(node: Node | None, problems: Problems, key: Leaf | None = None) -> dict[str, float]:
    """Return ``{unit: amount}`` as declared, empty when there is no budget."""
    if node is None or key is None:
        return {}
    if not isinstance(node, Table) or not node.entries:
        mark = key.mark if isinstance(node, Leaf) and node.is_null else node.mark
        hint = f"did you mean {{hours: {node.text}}}?" if isinstance(node, Leaf) and not node.is_null else None
        problems.error(mark, "budget: a unit is needed", suggestion=hint, note="expected: {hours: 2}")
        return {}
    budget: dict[str, float] = {}
    for unit, amount in node.entries:
        if unit.text not in BUDGET_UNITS:
            problems.unknown(unit.mark, "unit of a budget", unit.text, BUDGET_UNITS)
            continue
        try:
            budget[unit.text] = _positive(amount)
        except BadValueError as bad:
            problems.bad(amount.mark, bad, subject="budget")
    if len(budget) > 1:
        problems.error(key.mark, "a budget can have only one unit", note=f"stated: {', '.join(budget)}")
    return budget


def _positive(node: Node) -> float:
    amount = values.number(node)
    if amount <= 0:
        raise BadValueError("a budget must be above 0")
    return amount
