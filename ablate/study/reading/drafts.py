"""Drafts: arms as they are written, with positions, before the core's settings model has seen them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.json_values import JsonValue, is_same
from ablate.study.factors import FactorInfo, level_text
from ablate.study.problems import BadValueError, Mark, Problems, known_words
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table

TOP_LEVEL = (
    "question",
    "core",
    "data",
    "schedules",
    "baseline",
    "blocks",
    "blocks-are",
    "vary",
    "arms",
    "grid",
    "zip",
    "leave-one-out",
    "leave-all-out",
    "only-one",
    "factorial",
    "path",
    "search",
    "tune",
    "seeds",
    "metrics",
    "alpha",
    "report",
    "budget",
)
"""Keys of a study file; `data` only when the core has a factor of that name, `schedules` when one takes tables."""

MOST_ARMS = 10_000


@dataclass(frozen=True)
class Level:
    """One value of one factor and where it is stated."""

    value: JsonValue
    mark: Mark
    node: Node | None = field(default=None, compare=False, repr=False)
    """As written, so that what is wrong inside a list or mapping can be pointed at."""


@dataclass(frozen=True, eq=False)
class Draft:
    """An arm as written: `levels` are its statements, by factor."""

    name: str
    levels: Mapping[str, Level]
    mark: Mark
    factor: str | None = None
    cell: Mapping[str, JsonValue] = field(default_factory=dict)
    """Its place in the design (see `Design.cells`)."""


@dataclass(frozen=True)
class Drafted:
    """What one section states: its arms in order, and the baseline's place among them, if it has one."""

    drafts: Sequence[Draft] = ()
    baseline: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True)
class Context:
    """What a design needs to know: the factors, the baseline's levels (None when it is broken), the problems."""

    factors: Mapping[str, FactorInfo]
    baseline: Mapping[str, JsonValue] | None
    stated: Mapping[str, Level]
    """What the baseline itself states."""
    problems: Problems

    def is_baseline_level(self, factor: str, value: JsonValue) -> bool:
        """True when the baseline has `value` for `factor`."""
        return self.baseline is not None and is_same(self.baseline[factor], value)

    def baseline_place(self, factor: str) -> str:
        """Say where the baseline's level of `factor` comes from."""
        return str(self.stated[factor].mark) if factor in self.stated else "the core's default"


def stated_factors(
    table: Table, factors: Mapping[str, FactorInfo], problems: Problems
) -> Iterator[tuple[Leaf, Node, FactorInfo]]:
    """Yield every entry of a mapping of factors; what names none is recorded.

    ``optim: {lr: 0.1}`` is ``optim.lr: 0.1`` where ``optim`` is a nested model; a mapping under the name of a factor
    that takes mappings is a level of it.
    """
    for key, node in table.entries:
        yield from _stated(key, node, factors, problems)


def _stated(
    key: Leaf, node: Node, factors: Mapping[str, FactorInfo], problems: Problems
) -> Iterator[tuple[Leaf, Node, FactorInfo]]:
    inner = [] if key.text in factors else [name for name in factors if name.startswith(f"{key.text}.")]
    if not inner:
        if (factor := factor_of(key, factors, problems)) is not None:
            yield key, node, factor
    elif isinstance(node, Table) and node.entries:
        for name, value in node.entries:
            yield from _stated(replace(name, text=f"{key.text}.{name.text}"), value, factors, problems)
    else:
        problems.error(
            node.mark if not isinstance(node, Leaf) or node.text else key.mark,
            f"{key.text!r} contains several factors: expected a mapping of them, got {values.describe(node)}",
            suggestion=f"write {inner[0]}: ..., or {key.text}: {{{inner[0].removeprefix(key.text + '.')}: ...}}",
            note=known_words(inner),
        )


def factor_of(key: Leaf, factors: Mapping[str, FactorInfo], problems: Problems) -> FactorInfo | None:
    """Return the factor that `key` names, or None after recording that there is none."""
    if (found := factors.get(key.text)) is not None:
        return found
    parent = factors.get(key.text.rpartition(".")[0])
    if parent is not None:
        hint = f"state it whole: {parent.name}: {{...}}" if parent.takes_mapping else None
        problems.error(key.mark, f"{parent.name!r} is one factor and has no {key.text!r}", suggestion=hint)
    elif key.text.replace("_", "-") in TOP_LEVEL:
        problems.error(
            key.mark,
            f"{key.text!r} is not a factor",
            suggestion=f"move {key.text!r} to the top level of the study file",
        )
    elif ends := [name for name in factors if name.endswith(f".{key.text}")]:
        near = f"did you mean {' or '.join(map(repr, ends))}?"
        problems.error(key.mark, f"unknown factor {key.text!r}", suggestion=near)
    else:
        problems.unknown(key.mark, "factor", key.text, factors)
    return None


def read_level(node: Node, factor: FactorInfo, problems: Problems) -> Level | None:
    """Return the level that `node` states, or None after recording what is wrong with it."""
    try:
        return Level(values.level(node, factor), node.mark, node)
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject=factor.name)
        return None


def read_settings(table: Table, factors: Mapping[str, FactorInfo], problems: Problems) -> dict[str, Level] | None:
    """Return the levels of a ``{factor: level}`` mapping, or None after recording every wrong one."""
    levels: dict[str, Level] = {}
    before = len(problems.errors)
    for key, node, factor in stated_factors(table, factors, problems):
        if isinstance(node, Items) and not factor.takes_list:
            problems.error(
                node.mark,
                f"{factor.name}: expected one level, got a list",
                suggestion=f"levels to compare go under 'vary: {{{factor.name}: [...]}}'",
            )
        elif factor.name in levels:
            first = levels[factor.name].mark
            problems.error(key.mark, f"{factor.name} is given twice", note=f"first in line {first.line}")
        elif (found := read_level(node, factor, problems)) is not None:
            levels[factor.name] = found
    return levels if len(problems.errors) == before else None


def one_level_taken_for_many(listed: Node, factor: FactorInfo) -> str | None:
    """Return how to write it where a list of levels looks like one level that is a list: ``layers: [64, 64]``.

    What stands under a factor in ``vary`` is always a list of its levels; only a factor whose every level is a list
    leaves no doubt that something else was meant.
    """
    if factor.json is None or not factor.takes_list or factor.json.takes_scalar or not isinstance(listed, Items):
        return None
    if not listed.items or any(not isinstance(item, Leaf) or item.is_null for item in listed.items):
        return None
    words = ", ".join(item.text if item.plain else repr(item.text) for item in listed.items if isinstance(item, Leaf))
    level = words if len(words) <= 40 else "..."
    return f"write {factor.name}: [[{level}]] for the one level [{level}]"


def table_of(node: Node, key: Leaf, wanted: str, problems: Problems) -> Table | None:
    """Return `node` as a non-empty mapping, or None after recording that `wanted` is expected under `key`."""
    if isinstance(node, Table) and node.entries:
        return node
    mark = key.mark if isinstance(node, Leaf) and not node.text else node.mark
    if isinstance(node, Table) or (isinstance(node, Leaf) and node.is_null):
        problems.error(mark, f"{key.text!r} is empty", note=f"expected: {wanted}")
    else:
        problems.error(
            mark, f"{key.text!r}: expected a mapping, got {values.describe(node)}", note=f"expected: {wanted}"
        )
    return None


def combination_name(levels: Mapping[str, Level]) -> str:
    """Name an arm by its levels: ``lr=0.01, batch_size=128``."""
    return ", ".join(f"{factor}={level_text(level.value)}" for factor, level in levels.items())


def named_settings(key: Leaf, node: Node, context: Context, wanted: str) -> Iterator[tuple[Leaf, dict[str, Level]]]:
    """Yield the readable entries of a ``{name: {factor: level, ...}}`` section; the rest is recorded."""
    table = table_of(node, key, wanted, context.problems)
    for name, stated in table.entries if table is not None else ():
        settings = table_of(stated, name, "{factor: level, ...}", context.problems)
        levels = read_settings(settings, context.factors, context.problems) if settings is not None else None
        if levels is not None:
            yield name, levels
