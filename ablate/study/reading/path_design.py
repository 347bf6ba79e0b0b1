"""The ablation path: from the baseline to a target, one change after the other."""

from __future__ import annotations

from ablate.study.factors import level_text
from ablate.study.reading.drafts import (
    Context,
    Draft,
    Drafted,
    Level,
    read_level,
    read_settings,
    stated_factors,
    table_of,
)
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table

WANTED = "{factor: level, name of several changes: {factor: level, ...}}"


def path(key: Leaf, node: Node, context: Context) -> Drafted:
    """Every arm makes one change more than the one before, in the order of the section; the last is the target.

    A change is a factor's level, or has a name and any number of levels. An arm is named by the changes it has made,
    so that a path in another order shares what the two have in common.
    """
    before = len(context.problems.errors)
    changes = _changes(key, node, context)
    if len(changes) == 1 and len(context.problems.errors) == before:
        context.problems.error(key.mark, f"{key.text!r} needs at least two changes", suggestion="use 'vary' for one")
    if len(context.problems.errors) > before:
        return Drafted()
    drafts: list[Draft] = []
    made: dict[str, Level] = {}
    for number, levels in enumerate(changes.values(), start=1):
        made = {**made, **levels}
        name = " + ".join(list(changes)[:number])
        mark = next(iter(levels.values())).mark
        cell = {other: place < number for place, other in enumerate(changes)}
        drafts.append(Draft(name, made, mark, cell=cell))
    return Drafted(drafts, dict.fromkeys(changes, False))


def _changes(key: Leaf, node: Node, context: Context) -> dict[str, dict[str, Level]]:
    """What is changed, by label in order; what is wrong is recorded."""
    changes: dict[str, dict[str, Level]] = {}
    first: dict[str, Level] = {}
    table = table_of(node, key, WANTED, context.problems)
    for name, stated in table.entries if table is not None else ():
        label, levels = _change(name, stated, context)
        for factor, level in levels.items():
            if factor in first:
                context.problems.error(
                    level.mark, f"{factor} is changed twice on the path", note=f"first at {first[factor].mark}"
                )
            elif context.is_baseline_level(factor, level.value):
                context.problems.error(
                    level.mark,
                    f"{factor}={level_text(level.value)} is the baseline's own level: no change",
                    note=f"the baseline's: {context.baseline_place(factor)}",
                )
            first.setdefault(factor, level)
        if levels:
            changes[label] = levels
    return changes


def _change(name: Leaf, stated: Node, context: Context) -> tuple[str, dict[str, Level]]:
    """The label and the levels of one change; no levels after recording what is wrong."""
    factors, problems = context.factors, context.problems
    whole = name.text in factors and factors[name.text].takes_mapping
    if isinstance(stated, Table) and not whole:
        if any(factor.startswith(f"{name.text}.") for factor in factors):
            return name.text, read_settings(Table(((name, stated),), stated.mark), factors, problems) or {}
        settings = table_of(stated, name, "{factor: level, ...}", problems)
        found = read_settings(settings, factors, problems) if settings is not None else None
        return name.text, found or {}
    for _, node, factor in stated_factors(Table(((name, stated),), name.mark), factors, problems):
        if isinstance(node, Items) and not factor.takes_list:
            problems.error(
                node.mark,
                f"{factor.name}: expected one level, got a list",
                note="a path has one target",
            )
        elif (level := read_level(node, factor, problems)) is not None:
            return f"{factor.name}={level_text(level.value)}", {factor.name: level}
    return name.text, {}
