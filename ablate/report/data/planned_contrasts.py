"""Which contrasts the designs of a study can answer, beyond arms against the baseline."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from ablate.json_values import JsonValue
from ablate.report.data.frames import CheckedResults
from ablate.report.statistics.families import Family, FamilyPlan, family_of
from ablate.report.statistics.trend import ordered_factors
from ablate.study.factors import level_text
from ablate.study.spec import Design

Cells = Mapping[str, Mapping[str, JsonValue]]
MOST_CONTRASTS = 63
"""Contrasts of one design that are tested; with more, only main effects and pairs are."""


def families_of(results: CheckedResults) -> tuple[Family, ...]:
    """Return every family of contrasts that the study's designs allow, on the primary metric.

    Factorials and grids: main effects and interactions, the other factors averaged over. Components left out one by
    one and all together: do their losses add up? A path: each step against the one before. Factors with ordered
    levels: neighbouring levels.
    """
    study = results.study
    found = [
        (design.kind, tuple(plans), design.cells)
        for design in study.designs
        if (plans := tuple(_plans(design, study.baseline.name)))
    ]
    found += [
        ("vary", tuple(_neighbours(factor, places)), {arm: {factor: level} for level, arm in places})
        for factor, places in ordered_factors(study).items()
    ]
    return tuple(
        family_of(
            results.matrix,
            study.primary,
            plans,
            kind=kind,
            baseline=study.baseline.name,
            cells=cells,
            alpha=study.alpha,
            looks=study.looks,
            method=study.method,
        )
        for kind, plans, cells in found
    )


def _plans(design: Design, baseline: str) -> Iterator[FamilyPlan]:
    if design.kind in ("factorial", "grid"):
        yield from factorial_plans(design.cells, baseline)
    elif design.kind == "leave-one-out":
        yield from _together(design.cells)
    elif design.kind == "path":
        yield from _steps(design)


def factorial_plans(cells: Cells, baseline: str) -> Iterator[FamilyPlan]:
    """Main effects and interactions of a complete grid; nothing where a combination is missing.

    For a set S of factors and one level of each (other than the reference, which is the baseline's level, or the first
    one where the baseline is no cell), the contrast is the difference of differences of S, averaged over every
    combination of the other factors: sum over T in S of (-1)^(|S| - |T|) times the cell with T at these levels.
    """
    factors = tuple(dict.fromkeys(name for cell in cells.values() for name in cell))
    levels = {name: list(dict.fromkeys(cell[name] for cell in cells.values() if name in cell)) for name in factors}
    for name in factors:
        first = cells[baseline][name] if baseline in cells else levels[name][0]
        levels[name] = [first, *(level for level in levels[name] if level != first)]
    place = {tuple(cell.get(name) for name in factors): arm for arm, cell in cells.items()}
    if len(factors) < 2 or any(combination not in place for combination in itertools.product(*levels.values())):
        return
    full = 1
    for own in levels.values():
        full *= len(own)
    most = len(factors) if full - 1 <= MOST_CONTRASTS else 2
    for size in range(1, most + 1):
        for chosen in itertools.combinations(factors, size):
            for at in itertools.product(*(levels[name][1:] for name in chosen)):
                yield _contrast(chosen, at, factors, levels, place)


def _contrast(
    chosen: tuple[str, ...],
    at: tuple[JsonValue, ...],
    factors: tuple[str, ...],
    levels: Mapping[str, Sequence[JsonValue]],
    place: Mapping[tuple[JsonValue, ...], str],
) -> FamilyPlan:
    own = dict(zip(chosen, at, strict=True))
    choices = [(levels[name][0], own[name]) if name in own else levels[name] for name in factors]
    others = 1
    for name in factors:
        others *= 1 if name in own else len(levels[name])
    weights = {}
    for combination in itertools.product(*choices):
        high = sum(value == own[name] for name, value in zip(factors, combination, strict=True) if name in own)
        weights[place[combination]] = (-1.0) ** (len(chosen) - high) / others
    name = " x ".join(f"{factor}={level_text(level)}" for factor, level in own.items())
    return FamilyPlan("main" if len(chosen) == 1 else "interaction", name, weights, chosen)


def _together(cells: Cells) -> Iterator[FamilyPlan]:
    """Is the loss without all components the sum of the losses without each?"""
    parts = tuple(dict.fromkeys(name for cell in cells.values() for name in cell))
    by_off = {frozenset(name for name in parts if not cell.get(name)): arm for arm, cell in cells.items()}
    wanted = [frozenset({name}) for name in parts]
    if len(parts) < 2 or any(off not in by_off for off in (frozenset[str](), frozenset(parts), *wanted)):
        return
    weights = {by_off[frozenset(parts)]: 1.0} | {by_off[off]: -1.0 for off in wanted}
    weights[by_off[frozenset()]] = len(parts) - 1.0
    yield FamilyPlan("together", f"all of {', '.join(parts)}", weights, parts)


def _steps(design: Design) -> Iterator[FamilyPlan]:
    """Each arm of a path against the one before it."""
    for (before, old), (after, new) in itertools.pairwise(design.cells.items()):
        made = tuple(name for name in new if new.get(name) and not old.get(name))
        yield FamilyPlan("step", f"{before} -> {after}", {after: 1.0, before: -1.0}, made)


def _neighbours(factor: str, places: Sequence[tuple[float, str]]) -> Iterator[FamilyPlan]:
    for (low, below), (high, above) in itertools.pairwise(places):
        yield FamilyPlan("neighbours", f"{factor}: {low:g} -> {high:g}", {above: 1.0, below: -1.0}, (factor,))
