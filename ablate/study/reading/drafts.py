"""Drafts: arms as they are written, with positions, before the core's settings model has seen them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.recipe import Scalar
from ablate.study.factors import FactorInfo, level_text
from ablate.study.problems import BadValueError, Mark, Problems
from ablate.study.reading import values
from ablate.study.reading.yaml_tree import Items, Leaf, Node, Table

TOP_LEVEL = (
    "question",
    "core",
    "data",
    "schedules",
    "baseline",
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

    value: Scalar
    mark: Mark


@dataclass(frozen=True, eq=False)
class Draft:
    """An arm as written: `levels` are its statements, by factor."""

    name: str
    levels: Mapping[str, Level]
    mark: Mark
    factor: str | None = None
    cell: Mapping[str, Scalar] = field(default_factory=dict)
    """Its place in the design (see `Design.cells`)."""


@dataclass(frozen=True)
class Drafted:
    """What one section states: its arms in order, and the baseline's place among them, if it has one."""

    drafts: Sequence[Draft] = ()
    baseline: Mapping[str, Scalar] | None = None


@dataclass(frozen=True)
class Context:
    """What a design needs to know: the factors, the baseline's levels (None when it is broken), the problems."""

    factors: Mapping[str, FactorInfo]
    baseline: Mapping[str, Scalar] | None
    stated: Mapping[str, Level]
    """What the baseline itself states."""
    problems: Problems

    def is_baseline_level(self, factor: str, value: Scalar) -> bool:
        """True when the baseline has `value` for `factor`."""
        return self.baseline is not None and self.baseline[factor] == value

    def baseline_place(self, factor: str) -> str:
        """Say where the baseline's level of `factor` comes from."""
        return str(self.stated[factor].mark) if factor in self.stated else "the core's default"


def factor_of(key: Leaf, factors: Mapping[str, FactorInfo], problems: Problems) -> FactorInfo | None:
    """Return the factor that `key` names, or None after recording that there is none."""
    if (found := factors.get(key.text)) is not None:
        return found
    if key.text.replace("_", "-") in TOP_LEVEL:
        problems.error(
            key.mark,
            f"{key.text!r} is not a factor",
            suggestion=f"move {key.text!r} to the top level of the study file",
        )
    else:
        problems.unknown(key.mark, "factor", key.text, factors)
    return None


def read_level(node: Node, factor: FactorInfo, problems: Problems) -> Level | None:
    """Return the level that `node` states, or None after recording what is wrong with it."""
    try:
        return Level(values.level(node, factor), node.mark)
    except BadValueError as bad:
        problems.bad(node.mark, bad, subject=factor.name)
        return None


def read_settings(table: Table, factors: Mapping[str, FactorInfo], problems: Problems) -> dict[str, Level] | None:
    """Return the levels of a ``{factor: level}`` mapping, or None after recording every wrong one."""
    levels: dict[str, Level] = {}
    before = len(problems.errors)
    for key, node in table.entries:
        factor = factor_of(key, factors, problems)
        if factor is None:
            continue
        if isinstance(node, Items):
            problems.error(
                node.mark,
                f"{factor.name}: one level is wanted, not a list",
                suggestion=f"levels to compare go under 'vary: {{{factor.name}: [...]}}'",
            )
        elif (found := read_level(node, factor, problems)) is not None:
            levels[factor.name] = found
    return levels if len(problems.errors) == before else None


def table_of(node: Node, key: Leaf, wanted: str, problems: Problems) -> Table | None:
    """Return `node` as a non-empty mapping, or None after recording that `wanted` is expected under `key`."""
    if isinstance(node, Table) and node.entries:
        return node
    mark = key.mark if isinstance(node, Leaf) and not node.text else node.mark
    if isinstance(node, Table) or (isinstance(node, Leaf) and node.is_null):
        problems.error(mark, f"{key.text!r} is empty", note=f"wanted: {wanted}")
    else:
        problems.error(
            mark, f"{key.text!r}: a mapping is wanted, not {values.describe(node)}", note=f"wanted: {wanted}"
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
