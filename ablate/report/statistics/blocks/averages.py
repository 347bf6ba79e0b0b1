"""Results in several blocks become one result per seed (fixed blocks) or one per block (random ones)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.report.statistics.trial_matrix import DIVERGED, MEASURED, PRUNED, REACHED
from ablate.study.spec import MetricSpec

RESULTS = (MEASURED, DIVERGED, PRUNED)


@dataclass(frozen=True)
class Cell:
    """The result of one replicate in one block: its outcome, and the values it measured."""

    outcome: str
    values: Mapping[str, float] = field(default_factory=dict)


Cells = Mapping[tuple[str, str, int], Cell]
"""(arm, block, seed) -> its result."""
Averages = dict[tuple[str, int], Cell]
"""(arm, seed) -> the same over all blocks; with random blocks, a block's place stands for the seed."""


def over_fixed(cells: Cells, blocks: Sequence[str], metrics: Sequence[MetricSpec]) -> Averages:
    """Average every (arm, seed) over `blocks`; a replicate without a result in one of them is left out.

    The average is geometric for metrics on the log scale. A seed that diverged in one block has diverged: the others
    are not averaged without it.
    """
    found: Averages = {}
    for arm, seed in dict.fromkeys((arm, seed) for arm, _, seed in cells):
        own = [cells[arm, block, seed] for block in blocks if (arm, block, seed) in cells]
        if len(own) == len(blocks) and all(cell.outcome in RESULTS for cell in own):
            found[arm, seed] = _average(own, metrics)
    return found


def left_out(cells: Cells, blocks: Sequence[str]) -> dict[str, dict[int, tuple[str, ...]]]:
    """Return arm -> seed -> blocks without a result, for seeds that have one in some other block."""
    found: dict[str, dict[int, tuple[str, ...]]] = {}
    there = {key for key, cell in cells.items() if cell.outcome in RESULTS}
    for arm, seed in sorted({(arm, seed) for arm, _, seed in there}):
        missing = tuple(block for block in blocks if (arm, block, seed) not in there)
        if missing:
            found.setdefault(arm, {})[seed] = missing
    return found


def over_random(
    cells: Cells, blocks: Sequence[str], metrics: Sequence[MetricSpec], *, baseline: str, wanted: Collection[int] = ()
) -> Averages:
    """Average every (arm, block) over its seeds; the block's place in `blocks` stands for the seed.

    With `wanted` seeds, a block counts for an arm once all of them have a result. A block in which half or more of the
    runs diverged has diverged. Where an arm lacks seeds that the baseline has, its value is the baseline's plus the
    mean difference over the seeds that both have, so that a difference of averages is an average of paired differences.
    """
    found: Averages = {}
    by_place: dict[tuple[str, str], dict[int, Cell]] = {}
    for (arm, block, seed), cell in cells.items():
        if cell.outcome in RESULTS:
            by_place.setdefault((arm, block), {})[seed] = cell
    for (arm, block), own in by_place.items():
        if not set(wanted) <= own.keys():
            continue
        diverged = sum(cell.outcome == DIVERGED for cell in own.values())
        if 2 * diverged >= len(own):
            found[arm, blocks.index(block)] = Cell(DIVERGED)
            continue
        measured = {seed: cell for seed, cell in own.items() if cell.outcome == MEASURED}
        average = _average(list(measured.values()), metrics) if measured else Cell(PRUNED)
        base = {seed: cell for seed, cell in by_place.get((baseline, block), {}).items() if cell.outcome == MEASURED}
        if measured and base.keys() != measured.keys() and base.keys() & measured.keys():
            average = _paired(measured, base, average, metrics)
        found[arm, blocks.index(block)] = average
    return found


def _paired(own: Mapping[int, Cell], base: Mapping[int, Cell], average: Cell, metrics: Sequence[MetricSpec]) -> Cell:
    shared = sorted(own.keys() & base.keys())
    whole = _average(list(base.values()), metrics).values
    here = _average([own[seed] for seed in shared], metrics).values
    there = _average([base[seed] for seed in shared], metrics).values
    values = dict(average.values)
    for metric in metrics:
        name = metric.name
        if name in whole and name in here and name in there:
            if metric.scale == "log":
                values[name] = whole[name] * here[name] / there[name]
            else:
                values[name] = whole[name] + here[name] - there[name]
    return Cell(average.outcome, values)


def _average(cells: Sequence[Cell], metrics: Sequence[MetricSpec]) -> Cell:
    """One cell of several: the first outcome that is no measurement, else the averages of what all have."""
    for outcome in (DIVERGED, PRUNED):
        if any(cell.outcome == outcome for cell in cells):
            return Cell(outcome)
    logs = {metric.name for metric in metrics if metric.scale == "log"}
    names = dict.fromkeys(name for cell in cells for name in cell.values)
    values = {}
    for name in names:
        own = [cell.values[name] for cell in cells if name in cell.values and math.isfinite(cell.values[name])]
        if len(own) == len(cells):
            values[name] = average_of(own, log=name in logs, lowest=name.endswith(REACHED))
    return Cell(MEASURED, values)


def average_of(values: Iterable[float], *, log: bool = False, lowest: bool = False) -> float:
    """Return the mean, the same to the bit in any order; geometric with `log`, the smallest value with `lowest`."""
    own = list(values)
    if lowest:
        return min(own)
    if len(own) == 1:
        return own[0]
    if log and min(own) > 0:
        return math.exp(math.fsum(map(math.log, own)) / len(own))
    return math.fsum(own) / len(own)
