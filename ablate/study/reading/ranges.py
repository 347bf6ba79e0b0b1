"""The ``factors`` of a search: where the levels of each are looked for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ablate.json_values import JsonValue, identity, is_same
from ablate.search import Range
from ablate.study.factors import FactorInfo, level_text
from ablate.study.problems import BadValueError, Problems
from ablate.study.reading import values
from ablate.study.reading.drafts import Context, Level, one_level_taken_for_many, read_level, stated_factors, table_of
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table

WANTED = "{factor: {from: level, to: level, log: true}} or {factor: [level, ...]}"
KEYS = ("from", "to", "log", "step", "levels", "when")


def read_ranges(key: Leaf, node: Node, context: Context) -> tuple[Range, ...]:
    """Return the ranges of a ``factors`` section, in its order; what is wrong is recorded."""
    ranges: dict[str, Range] = {}
    table = table_of(node, key, WANTED, context.problems)
    if table is None:
        return ()
    for name, stated, factor in stated_factors(table, context.factors, context.problems):
        if (found := _range(name, stated, factor, ranges, context)) is not None:
            ranges[factor.name] = found
    return tuple(ranges.values())


def _range(name: Leaf, stated: Node, factor: FactorInfo, before: Mapping[str, Range], context: Context) -> Range | None:
    if isinstance(stated, Items):
        return _choices(name, stated, factor, {}, context.problems)
    if not isinstance(stated, Table) or not stated.entries:
        context.problems.error(
            stated.mark if isinstance(stated, Table) or not stated.is_null else name.mark,
            f"{factor.name}: expected a range or a list of levels, got {values.describe(stated)}",
            note=f"expected: {WANTED}",
        )
        return None
    errors = len(context.problems.errors)
    for key, _ in stated.entries:
        if key.text not in KEYS:
            context.problems.unknown(key.mark, "key of a range", key.text, KEYS)
    when = _when(factor, stated.get("when"), before, context)
    if len(context.problems.errors) > errors:
        return None
    if (listed := stated.get("levels")) is not None:
        return _choices(name, listed, factor, when, context.problems)
    return _span(name, stated, factor, when, context.problems)


def _choices(
    name: Leaf, listed: Node, factor: FactorInfo, when: Mapping[str, tuple[JsonValue, ...]], problems: Problems
) -> Range | None:
    """A range that is a list: two levels or more, each once."""
    if (hint := one_level_taken_for_many(listed, factor)) is not None:
        problems.error(listed.mark, f"{factor.name}: each of its levels is a list of its own", suggestion=hint)
        return None
    nodes = listed.items if isinstance(listed, Items) else (listed,)
    levels = [read_level(node, factor, problems) for node in nodes]
    if any(level is None for level in levels):
        return None
    found = [level.value for level in levels if level is not None]
    labels = {level_text(value) for value in found}
    if len({identity(value) for value in found}) < len(found) or len(labels) < len(found) or len(found) < 2:
        problems.error(name.mark, f"{factor.name}: a search needs at least two different levels")
        return None
    return Range(factor.name, choices=tuple(found), when=when)


def _span(
    name: Leaf, stated: Table, factor: FactorInfo, when: Mapping[str, tuple[JsonValue, ...]], problems: Problems
) -> Range | None:
    """A range between two numbers."""
    if factor.kind not in ("int", "float"):
        problems.error(
            name.mark,
            f"{factor.name} is not a number: list its levels",
            suggestion=f"write {factor.name}: [{_examples(factor)}]",
        )
        return None
    ends = [_end(name, stated, word, factor, problems) for word in ("from", "to")]
    low, high = (end.value if end is not None else None for end in ends)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    try:
        log, step = _log_and_step(stated, factor.kind == "int", low, high)
    except BadValueError as bad:
        problems.bad(name.mark, bad, subject=factor.name)
        return None
    return Range(factor.name, low, high, whole=factor.kind == "int", log=log, step=step, when=when)


def _examples(factor: FactorInfo) -> str:
    return "level, ..." if factor.json is not None else ", ".join(factor.choices or ("true", "false"))


def _end(name: Leaf, stated: Table, word: str, factor: FactorInfo, problems: Problems) -> Level | None:
    node = stated.get(word)
    if node is None:
        problems.error(name.mark, f"{factor.name}: a range needs 'from' and 'to'", note=f"expected: {WANTED}")
        return None
    level = read_level(node, factor, problems)
    if level is not None and level.value is None:
        problems.error(node.mark, f"{factor.name}: a range needs numbers for 'from' and 'to'")
    return level


def _log_and_step(stated: Table, whole: bool, low: float, high: float) -> tuple[bool, float | None]:
    if low >= high:
        raise BadValueError(f"'from' must be below 'to', got {level_text(low)} and {level_text(high)}")
    log = (node := stated.get("log")) is not None and values.boolean(node)
    if log and low <= 0:
        raise BadValueError(f"a range on the log scale must be above 0, got {level_text(low)}")
    if (node := stated.get("step")) is None:
        return log, None
    step = values.whole(node) if whole else values.number(node)
    if log:
        raise BadValueError("a range on the log scale cannot have a step", suggestion="leave out 'step' or 'log'")
    if step <= 0:
        raise BadValueError(f"a step must be above 0, got {level_text(step)}")
    steps = (high - low) / step
    if not math.isclose(steps, round(steps), abs_tol=1e-9) or round(steps) < 1:
        raise BadValueError(f"{level_text(high)} is not reached by whole steps of {level_text(step)}")
    return log, step


def _when(
    factor: FactorInfo, node: Node | None, before: Mapping[str, Range], context: Context
) -> dict[str, tuple[JsonValue, ...]]:
    """The condition under which a factor is searched: levels of factors searched before it."""
    conditions: dict[str, tuple[JsonValue, ...]] = {}
    if node is None:
        return conditions
    problems = context.problems
    if not isinstance(node, Table) or not node.entries:
        problems.error(node.mark, f"{factor.name} when: expected a mapping", note="expected: {other factor: level}")
        return conditions
    for name, stated, other in stated_factors(node, context.factors, problems):
        if other.name not in before:
            problems.error(
                name.mark,
                f"{factor.name} depends on {other.name}, which is not searched before it",
                suggestion=f"list {other.name} first, among the factors of the search",
            )
            continue
        nodes = stated.items if isinstance(stated, Items) else (stated,)
        levels = [level for item in nodes if (level := read_level(item, other, problems)) is not None]
        for level in levels:
            choices = before[other.name].choices
            if choices and not any(is_same(level.value, choice) for choice in choices):
                problems.error(
                    level.mark,
                    f"{factor.name} when: {other.name} is never {level_text(level.value)}",
                    note=f"searched: {', '.join(level_text(choice) for choice in choices)}",
                )
        conditions[other.name] = tuple(level.value for level in levels)
    return conditions
