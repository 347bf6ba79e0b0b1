"""The ``search`` and ``tune`` sections: what is looked for, how, and how far."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.search import CURVE_PRUNERS, NEEDED_PACKAGES, PRUNERS, SAMPLERS, Direction, Range, Search
from ablate.study.problems import BadValueError, Mark, Problems
from ablate.study.reading import values
from ablate.study.reading.drafts import Context, table_of
from ablate.study.reading.ranges import read_ranges
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table
from ablate.study.spec import Arm, MetricSpec

SECTIONS = ("search", "tune")
MOST_TRIALS = 10_000
MOST_SEEDS = 100
FEWEST_FOR_WILCOXON = 5
"""With fewer pairs no signed-rank test can reach the pruner's level of 0.1, and nothing is ever given up."""
KEYS: Mapping[str, tuple[str, ...]] = {
    "search": ("factors", "sampler", "trials", "pruner", "seeds", "metrics", "confirm"),
    "tune": ("factors", "sampler", "trials", "pruner", "seeds"),
}
WANTED = "{factors: {factor: {from: level, to: level}}, trials: 40}"


@dataclass(frozen=True)
class Stated:
    """A section as read, before it is known which arm it starts from."""

    search: Search
    mark: Mark


def read_search(key: Leaf, node: Node, context: Context, metrics: Sequence[MetricSpec]) -> Stated | None:
    """Return what a ``search`` or ``tune`` section states, or None after recording what is wrong with it."""
    kind, problems = key.text, context.problems
    before = len(problems.errors)
    table = table_of(node, key, WANTED, problems)
    if table is None:
        return None
    for name, _ in table.entries:
        if name.text not in KEYS[kind]:
            problems.unknown(name.mark, f"key of {kind!r}", name.text, KEYS[kind])
    ranges = _ranges(key, table, context)
    primary = next((metric for metric in metrics if metric.primary), None)
    objectives: tuple[tuple[str, Direction], ...] = ((primary.name, primary.direction),) if primary else ()
    search = Search("search", ranges, objectives, {}, tunes=kind == "tune")
    for name, stated in table.entries:
        try:
            search = _with(search, name, stated, metrics)
        except BadValueError as bad:
            problems.bad(stated.mark, bad, subject=f"{kind} {name.text}")
    if len(search.objectives) > 1 and table.get("confirm") is None:
        search = replace(search, confirm=False)
    if len(problems.errors) == before:
        _check(search, table, key, problems)
    return Stated(search, key.mark) if len(problems.errors) == before else None


def _ranges(key: Leaf, table: Table, context: Context) -> tuple[Range, ...]:
    stated, node = table.key("factors"), table.get("factors")
    if stated is None or node is None:
        context.problems.error(key.mark, f"{key.text!r} names no factors", note=f"expected: {WANTED}")
        return ()
    return read_ranges(stated, node, context)


def _with(search: Search, key: Leaf, node: Node, metrics: Sequence[MetricSpec]) -> Search:
    """The search with one more of its keys read."""
    match key.text:
        case "sampler":
            return replace(search, sampler=values.name(node, SAMPLERS))
        case "pruner":
            return replace(search, pruner=values.name(node, PRUNERS))
        case "trials":
            return replace(search, trials=_count(node, MOST_TRIALS, "trials"))
        case "seeds":
            return replace(search, seeds=_count(node, MOST_SEEDS, "seeds per candidate"))
        case "confirm":
            return replace(search, confirm=values.boolean(node))
        case "metrics":
            return replace(search, objectives=_objectives(node, metrics))
        case _:
            return search


def _count(node: Node, most: int, what: str) -> int:
    count = values.count(node)
    if not 1 <= count <= most:
        raise BadValueError(f"{count} is out of range: at least 1, at most {most} {what}")
    return count


def _objectives(node: Node, metrics: Sequence[MetricSpec]) -> tuple[tuple[str, Direction], ...]:
    known = {metric.name: metric for metric in metrics}
    nodes = node.items if isinstance(node, Items) else (node,)
    chosen = [known[values.name(item, tuple(known))] for item in nodes]
    if len({metric.name for metric in chosen}) < len(chosen) or not 1 <= len(chosen) <= 2:
        raise BadValueError("expected one or two different metrics")
    if not chosen[0].primary:
        primary = next(name for name, metric in known.items() if metric.primary)
        raise BadValueError(f"the primary metric comes first: {primary}")
    return tuple((metric.name, metric.direction) for metric in chosen)


def _check(search: Search, table: Table, key: Leaf, problems: Problems) -> None:
    """Record what does not go together."""

    def at(name: str) -> Mark:
        node = table.get(name)
        return key.mark if node is None else node.mark

    missing = [name for name in NEEDED_PACKAGES.get(search.sampler, ()) if importlib.util.find_spec(name) is None]
    if missing:
        problems.error(
            at("sampler"),
            f"sampler {search.sampler!r} needs the package {', '.join(missing)}",
            suggestion=f"pip install {' '.join(missing)}",
        )
    numbers = [one for one in search.ranges if not one.choices and not one.when]
    if search.sampler == "cma-es" and len(numbers) < 2:
        problems.error(at("sampler"), "sampler 'cma-es' needs at least two numeric ranges without 'when'")
    two = len(search.objectives) > 1
    if two and search.sampler == "cma-es":
        problems.error(at("sampler"), "sampler 'cma-es' takes one metric", suggestion="use nsga-ii or tpe for two")
    if two and search.pruner != "none":
        problems.error(at("pruner"), "with two metrics nothing can be pruned: learning curves have only one")
    if two and search.confirm:
        problems.error(at("confirm"), "with two metrics there is no single best candidate to confirm")
    if search.pruner in CURVE_PRUNERS and search.seeds > 1:
        problems.error(
            at("pruner"),
            f"pruner {search.pruner!r} uses one curve per candidate, not {search.seeds} seeds",
            suggestion="leave out 'seeds', or use the pruner 'wilcoxon', which compares seeds",
        )
    if search.pruner == "wilcoxon" and search.seeds < FEWEST_FOR_WILCOXON:
        problems.error(
            at("pruner"),
            f"pruner 'wilcoxon' compares seeds and needs at least {FEWEST_FOR_WILCOXON} per candidate",
            suggestion=f"add seeds: {FEWEST_FOR_WILCOXON}",
        )


def searches_of(
    stated: Sequence[Stated], arms: Sequence[Arm], places: Mapping[str, Mark], problems: Problems
) -> tuple[Search, ...]:
    """Return the searches of a study: one for a ``search``, one per arm for a ``tune``."""
    found: list[Search] = []
    base = dict(arms[0].levels)
    for one in stated:
        if not one.search.tunes:
            found.append(replace(one.search, start=base))
            continue
        for arm in arms:
            clash = [searched.factor for searched in one.search.ranges if searched.factor in arm.levels]
            if clash and arm is not arms[0]:
                problems.error(
                    places.get(arm.name, one.mark),
                    f"arm {arm.name!r} states {', '.join(clash)}, which 'tune' changes",
                    suggestion="remove the factor from one of them",
                )
            found.append(replace(one.search, name=arm.name, start=base | dict(arm.levels)))
    return tuple(found)


def refuse_candidate_names(searches: Sequence[Search], places: Mapping[str, Mark], problems: Problems) -> None:
    """Record arms that are called what a search calls its candidates or its best one."""
    taken: set[str] = {search.arm for search in searches if search.arm is not None and not search.tunes}
    for arm, mark in places.items():
        head, mark_sign, number = arm.rpartition(" #")
        if arm in taken or (searches and mark_sign and number.isdecimal() and head):
            problems.error(mark, f"{arm!r} is a name that a search uses", suggestion="choose another name")
