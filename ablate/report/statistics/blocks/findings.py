"""What several blocks say together: every block's verdict beside that over all, and where they disagree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ablate.report.statistics.blocks.aggregates import Estimate, improvement_chance, iqm
from ablate.report.statistics.blocks.crossed import crossed
from ablate.report.statistics.blocks.ranks import Ranks, ranks_of
from ablate.report.statistics.contrast import transform
from ablate.report.statistics.model import Comparison, Lint, Row, Verdict
from ablate.report.statistics.significance import Floats
from ablate.report.statistics.trial_matrix import Trials
from ablate.study.blocks import BlockKind
from ablate.study.spec import MetricSpec


@dataclass(frozen=True)
class ArmInBlocks:
    """One arm over all blocks, on the primary metric. Blocks are named in their order."""

    arm: str
    better: tuple[str, ...] = ()
    """Blocks in which the arm has the verdict better."""
    worse: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    """Blocks in which the mean difference is an improvement, whatever the verdict."""
    down: tuple[str, ...] = ()
    opposite: bool = False
    """True where verdicts contradict each other: there is no one word for all blocks."""
    p_same: float | None = None
    """F test that the difference is the same in every block; not corrected, exploratory."""
    iqm: Estimate | None = None
    """Interquartile mean of all runs, in the metric's unit."""
    chance: Estimate | None = None
    """Chance that a run of this arm beats one of the baseline; None for the baseline."""


@dataclass(frozen=True)
class BlockFindings:
    """The blocks of a comparison; the comparison that holds this is the one over all of them."""

    kind: BlockKind
    word: str
    """What one block is called: ``data``, ``task``."""
    comparisons: Mapping[str, Comparison]
    """Block -> every arm against the baseline there. All blocks together share the study's alpha equally."""
    arms: Mapping[str, ArmInBlocks]
    """Arm -> its verdicts and estimates over blocks, the baseline's first."""
    ranks: Ranks | None = None
    """How arms rank over the blocks; None for few blocks or two arms."""

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks, in order."""
        return tuple(self.comparisons)


def over_blocks(
    overall: Comparison, comparisons: Mapping[str, Comparison], *, kind: BlockKind, word: str
) -> Comparison:
    """Return `overall` with what its blocks say: notes beside verdicts, and no word where blocks contradict it.

    An arm that is better in one block and worse in another (or over all) is undecided over all blocks, and the note
    says what it is where.
    """
    # In an order of their own, so that no number depends on how blocks are listed.
    fixed = {name: comparisons[name] for name in sorted(comparisons)}
    arms = {arm: _arm(arm, overall, comparisons, fixed) for arm in overall.arms}
    found = BlockFindings(kind, word, dict(comparisons), arms, _ranks(overall, fixed))
    rows = dict(overall.rows)
    for arm, own in arms.items():
        for metric in overall.metrics:
            row = rows[(arm, metric.name)]
            if kind == "random":
                row = replace(row, note=_in_blocks(row.note))
            rows[(arm, metric.name)] = _told(row, own, overall, word) if metric.primary else row
    return replace(overall, rows=rows, blocks=found, problem=_problem(overall, comparisons))


def _problem(overall: Comparison, comparisons: Mapping[str, Comparison]) -> str | None:
    """Why nothing can be compared over all blocks; those that lack the baseline are named where others have it."""
    lacking = [name for name, one in comparisons.items() if not one.row(one.baseline).runs]
    if overall.problem is None or not lacking or len(lacking) == len(comparisons):
        return overall.problem
    return f"the baseline {overall.baseline!r} has no results in {listed(lacking)}"


def shared_noise(matrices: Sequence[Trials], metrics: Sequence[MetricSpec]) -> dict[str, tuple[Floats, Floats]]:
    """Return metric -> what seeds add, in every block alike, to each arm's mean over blocks: variance and df [arms].

    `matrices` are those of the blocks, arms in the same order.
    """
    found = {}
    shared = sorted(set.intersection(*(set(one.seeds) for one in matrices)))
    for metric in metrics:
        layers = []
        for one in matrices:
            places = [one.seeds.index(seed) for seed in shared]
            values = np.where(one.measured, one.values[metric.name], np.nan)[:, places]
            scaled = transform(metric)(values)
            layers.append(scaled - scaled[0])
        cube = np.array(layers)  # [blocks, arms, seeds]
        parts = [crossed(cube[:, arm, :]).shared for arm in range(cube.shape[1])]
        found[metric.name] = (np.array([part[0] for part in parts]), np.array([part[1] for part in parts]))
    return found


def incomplete(missing: Mapping[str, Mapping[int, tuple[str, ...]]]) -> Iterator[Lint]:
    """Say which seeds the verdict over all blocks leaves out; `missing` is arm -> seed -> blocks without a result."""
    for arm, seeds in missing.items():
        lacking = sorted({block for blocks in seeds.values() for block in blocks})
        named = ", ".join(map(str, sorted(seeds)[:6])) + (", ..." if len(seeds) > 6 else "")
        which = f"seeds {named}, so the verdict over all blocks is without them"
        if len(seeds) == 1:
            which = f"seed {named}, so the verdict over all blocks is without it"
        yield Lint("block-missing", f"{arm}: no result in {listed(lacking)} for {which}", arm)


def _arm(
    arm: str, overall: Comparison, comparisons: Mapping[str, Comparison], fixed: Mapping[str, Comparison]
) -> ArmInBlocks:
    metric = overall.primary
    rows = {name: one.rows[(arm, metric.name)] for name, one in comparisons.items() if (arm, metric.name) in one.rows}
    own = [_values(one, arm) for one in fixed.values()]
    estimate = iqm(own)
    if arm == overall.baseline:
        return ArmInBlocks(arm, iqm=estimate)
    base = [_values(one, one.baseline) for one in fixed.values()]

    def having(*verdicts: Verdict) -> tuple[str, ...]:
        return tuple(name for name, row in rows.items() if row.verdict in verdicts)

    better, worse = having(Verdict.BETTER), having(Verdict.WORSE)
    said = overall.row(arm).verdict
    return ArmInBlocks(
        arm,
        better=better,
        worse=worse,
        diverged=having(Verdict.DIVERGED),
        up=tuple(name for name, row in rows.items() if (row.improvement or 0.0) > 0),
        down=tuple(name for name, row in rows.items() if (row.improvement or 0.0) < 0),
        opposite=bool(worse and (better or said is Verdict.BETTER)) or bool(better and said is Verdict.WORSE),
        p_same=_p_same([one.rows[(arm, metric.name)] for one in fixed.values()], list(fixed.values()), metric),
        iqm=estimate,
        chance=improvement_chance(own, base, lower=metric.direction == "min"),
    )


def _values(comparison: Comparison, arm: str) -> Floats:
    """[seeds]: the values of the primary metric, in a fixed order."""
    row = comparison.rows.get((arm, comparison.primary.name))
    return np.sort(np.array(list(row.values.values()) if row is not None else [], dtype=np.float64))


def _p_same(rows: Sequence[Row], comparisons: Sequence[Comparison], metric: MetricSpec) -> float | None:
    if any(row.verdict is Verdict.DIVERGED for row in rows):
        return None
    scale = transform(metric)
    bases = [one.rows[(one.baseline, metric.name)] for one in comparisons]
    shared = set.intersection(*(row.values.keys() & base.values.keys() for row, base in zip(rows, bases, strict=True)))
    seeds = sorted(shared)
    if len(seeds) < 2 or len(rows) < 2:
        return None
    table = [
        scale(np.array([row.values[seed] for seed in seeds])) - scale(np.array([base.values[seed] for seed in seeds]))
        for row, base in zip(rows, bases, strict=True)
    ]
    return crossed(np.array(table)).p_same


def _ranks(overall: Comparison, comparisons: Mapping[str, Comparison]) -> Ranks | None:
    metric = overall.primary.name
    values = {
        arm: [
            np.nan if (row := one.rows.get((arm, metric))) is None or row.mean is None else row.mean
            for one in comparisons.values()
        ]
        for arm in overall.arms
    }
    lower = overall.primary.direction == "min"
    return ranks_of(values, lower=lower, alpha=overall.study_alpha, baseline=overall.baseline)


def _told(row: Row, own: ArmInBlocks, overall: Comparison, word: str) -> Row:
    """The row with what blocks say beside its verdict; without a word where they contradict each other."""
    if row.verdict is None:
        return row
    if own.opposite:
        return replace(
            row,
            verdict=Verdict.UNDECIDED,
            note=_joined(f"depends on {word}: {_where(own)}{_mean_said(row, own)}", _rest(row)),
            more_seeds=None,
            stopped=False,
            chance=None,
            could_show=None,
            posterior_better=None,
            posterior_equivalent=None,
            posterior_worse=None,
        )
    if row.verdict is Verdict.DIVERGED:
        return replace(row, note=_joined(row.note, f"in {listed(own.diverged)}" if own.diverged else ""))
    against = {Verdict.BETTER: own.down, Verdict.WORSE: own.up}.get(row.verdict, ())
    parts = [f"the other way in {listed(against)}, not decided there"] if against else []
    if row.verdict in (Verdict.UNDECIDED, Verdict.EQUIVALENT) and (own.better or own.worse):
        parts.append(_where(own))
    return replace(row, note=_joined(row.note, *parts))


def _where(own: ArmInBlocks) -> str:
    sides = (("better", own.better), ("worse", own.worse))
    return ", ".join(f"{word} in {listed(blocks)}" for word, blocks in sides if blocks)


def _mean_said(row: Row, own: ArmInBlocks) -> str:
    """The word that the mean alone would have, where that is one of the two sides."""
    if row.verdict is Verdict.BETTER and not own.better:
        return ", though better on average"
    return ", though worse on average" if row.verdict is Verdict.WORSE and not own.worse else ""


def _rest(row: Row) -> str:
    """What the note of an undecided row says beside how many seeds would decide it."""
    parts = row.note.split("; ")
    return "; ".join(parts[1:] if row.verdict in (Verdict.UNDECIDED, Verdict.EQUIVALENT) else parts)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


_NAMED = 6


def listed(names: Sequence[str]) -> str:
    """Return ``a, b and c``; of very many names the first few."""
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _in_blocks(note: str) -> str:
    """A note about seeds as one about blocks, which take their place where blocks are random."""
    return re.sub(r"\bseed(s?)\b", r"block\1", note.replace("within seed noise", "within the noise between blocks"))
