"""Designs: the ways a study file states its arms. Each reader takes one section and gives drafts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from ablate.json_values import JsonValue, is_same
from ablate.study.factors import FactorInfo, level_text
from ablate.study.problems import Mark
from ablate.study.reading.components import leave_all_out, leave_one_out, only_one
from ablate.study.reading.drafts import (
    MOST_ARMS,
    Context,
    Draft,
    Drafted,
    Level,
    combination_name,
    named_settings,
    one_level_taken_for_many,
    read_level,
    stated_factors,
    table_of,
)
from ablate.study.reading.path_design import path
from ablate.study.reading.yaml_tree import Items, Leaf, Node

Reader = Callable[[Leaf, Node, Context], Drafted]


def vary(key: Leaf, node: Node, context: Context) -> Drafted:
    """One change at a time: every level of every factor is an arm, named ``factor=level``."""
    drafts = []
    for factor, levels in _levels_by_factor(key, node, context, "{factor: [level, ...]}"):
        for level in levels:
            name = f"{factor.name}={level_text(level.value)}"
            if context.is_baseline_level(factor.name, level.value):
                context.problems.error(
                    level.mark,
                    f"{name} is the baseline's own level",
                    suggestion="remove it: the baseline is an arm already",
                    note=f"the baseline's: {context.baseline_place(factor.name)}",
                )
            else:
                cell = {factor.name: level.value}
                drafts.append(Draft(name, {factor.name: level}, level.mark, factor=factor.name, cell=cell))
    return Drafted(drafts)


def arms(key: Leaf, node: Node, context: Context) -> Drafted:
    """Named arms, each with any number of changes against the baseline."""
    stated = named_settings(key, node, context, "{name: {factor: level, ...}}")
    return Drafted([Draft(name.text, levels, name.mark, cell=_values(levels)) for name, levels in stated])


def grid(key: Leaf, node: Node, context: Context) -> Drafted:
    """Every combination of the levels; the baseline's own combination is the baseline, not an arm."""
    columns = dict(_columns(key, node, context, "{factor: [level, ...]}"))
    if not columns or not _affordable(math.prod(len(levels) for levels in columns.values()), key, context):
        return Drafted()
    return _combinations(key.mark, columns, itertools.product(*columns.values()), context)


def zip_(key: Leaf, node: Node, context: Context) -> Drafted:
    """Levels taken in step: the first of each factor, the second of each, and so on."""
    columns = dict(_columns(key, node, context, "{factor: [level, ...], other factor: [level, ...]}"))
    lengths = {factor.name: len(levels) for factor, levels in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} has {count}" for name, count in lengths.items())
        context.problems.error(key.mark, f"{key.text!r} needs the same number of levels for every factor", note=counts)
        return Drafted()
    return _combinations(key.mark, columns, zip(*columns.values(), strict=True), context)


def factorial(key: Leaf, node: Node, context: Context) -> Drafted:
    """Every combination of two levels per factor, of which one is the baseline's (it need not be written)."""
    columns: dict[str, list[Level]] = {}
    for factor, levels in _columns(key, node, context, "{factor: other level} or {factor: [level, other level]}"):
        if context.baseline is None:
            continue
        base = Level(context.baseline[factor.name], key.mark)
        others = [level for level in levels if not is_same(level.value, base.value)]
        if len(others) != 1 or len(levels) > 2:
            context.problems.error(
                levels[0].mark,
                f"{factor.name}: a factorial has two levels, and one is the baseline's ({level_text(base.value)})",
            )
        else:
            columns[factor.name] = [base, others[0]]
    if not columns or not _affordable(2 ** len(columns), key, context):
        return Drafted()
    infos = {context.factors[name]: levels for name, levels in columns.items()}
    return _combinations(key.mark, infos, itertools.product(*infos.values()), context)


READERS: Mapping[str, Reader] = {
    "vary": vary,
    "arms": arms,
    "grid": grid,
    "zip": zip_,
    "leave-one-out": leave_one_out,
    "leave-all-out": leave_all_out,
    "only-one": only_one,
    "factorial": factorial,
    "path": path,
}


def _values(levels: Mapping[str, Level]) -> dict[str, JsonValue]:
    return {name: level.value for name, level in levels.items()}


def _levels_by_factor(key: Leaf, node: Node, context: Context, wanted: str) -> Iterator[tuple[FactorInfo, list[Level]]]:
    """The readable levels of every known factor of a ``{factor: [levels]}`` section; the rest is recorded."""
    table = table_of(node, key, wanted, context.problems)
    if table is None:
        return
    seen: dict[str, Leaf] = {}
    for name, listed, factor in stated_factors(table, context.factors, context.problems):
        if (first := seen.setdefault(factor.name, name)) is not name:
            context.problems.error(name.mark, f"{factor.name} is given twice", note=f"first in line {first.mark.line}")
            continue
        nodes = listed.items if isinstance(listed, Items) else (listed,)
        if not nodes or (isinstance(listed, Leaf) and listed.is_null and not factor.optional):
            context.problems.error(name.mark, f"{name.text!r} lists no levels", note=f"expected: {wanted}")
        elif (hint := one_level_taken_for_many(listed, factor)) is not None:
            context.problems.error(
                listed.mark, f"{factor.name}: each of its levels is a list of its own", suggestion=hint
            )
        else:
            levels = [read_level(item, factor, context.problems) for item in nodes]
            yield factor, [level for level in levels if level is not None]


def _columns(key: Leaf, node: Node, context: Context, wanted: str) -> list[tuple[FactorInfo, list[Level]]]:
    """Like `_levels_by_factor`, for designs that combine factors: all columns, or none when anything is wrong."""
    before = len(context.problems.errors)
    columns = list(_levels_by_factor(key, node, context, wanted))
    for factor, levels in columns:
        seen: dict[JsonValue, Level] = {}
        for level in levels:
            if level.value in seen:
                first = seen[level.value]
                twice = f"{factor.name}={level_text(level.value)} is listed twice"
                if not is_same(first.value, level.value):  # in Python, as in SQL, true is 1
                    twice = f"{factor.name}: {level_text(first.value)} and {level_text(level.value)} count as one level"
                context.problems.error(level.mark, twice, suggestion="remove one", note=f"first at {first.mark}")
            seen.setdefault(level.value, level)
    return columns if len(context.problems.errors) == before else []


def _combinations(
    mark: Mark,
    columns: Mapping[FactorInfo, list[Level]],
    rows: Iterable[tuple[Level, ...]],
    context: Context,
) -> Drafted:
    drafts, baseline = [], None
    for row in rows:
        levels = {factor.name: level for factor, level in zip(columns, row, strict=True)}
        if all(context.is_baseline_level(name, level.value) for name, level in levels.items()):
            baseline = _values(levels)
        else:
            drafts.append(Draft(combination_name(levels), levels, mark, cell=_values(levels)))
    return Drafted(drafts, baseline)


def _affordable(combinations: int, key: Leaf, context: Context) -> bool:
    if combinations <= MOST_ARMS:
        return True
    context.problems.error(key.mark, f"{key.text!r} has {combinations} combinations, at most {MOST_ARMS}")
    return False
