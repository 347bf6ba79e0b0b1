"""Seeds only where they are needed: from look to look, with the arms whose verdict is still open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.api.stored_studies import outcome_kinds
from ablate.human_units import plural, visible
from ablate.outcome import OutcomeKind
from ablate.storage.rows import TrialRow
from ablate.study.blocks import split_name
from ablate.study.spec import Replicate, Study

_NAMED = 4
"""Arms that are spelt out."""


@dataclass(frozen=True)
class NextLook:
    """What is run up to one look."""

    look: int
    """Seeds per arm."""
    arms: tuple[str, ...]
    """Arms that go on, the baseline left out; empty when nothing is open any more."""
    replicates: tuple[Replicate, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready data."""
        return {"look": self.look, "arms": list(self.arms), "trials": len(self.replicates)}

    def __str__(self) -> str:
        named = ", ".join(visible(arm) for arm in self.arms[:_NAMED])
        rest = f" and {len(self.arms) - _NAMED} more" if len(self.arms) > _NAMED else ""
        return f"look at {plural(self.look, 'seed')}: baseline and {plural(len(self.arms), 'open arm')}: {named}{rest}"


def next_round(study: Study, rows: Sequence[TrialRow], globs: Sequence[str] = ()) -> NextLook:
    """Return the first look that lacks a result, with the arms that were undecided at the look before it.

    Worked out from what is stored alone, so a run that was killed goes on where it was. An arm that got more seeds in
    another way is judged with these, as in the report. When all are decided or have used up the looks, or when there is
    nothing to compare with, the round that is returned has been run.
    """
    from ablate.study.plan import replicates

    results = outcome_kinds(rows)
    chosen = _others(study, globs)
    open_arms = chosen
    last = NextLook(study.looks[0], (), ())
    for look in study.looks:
        if open_arms:
            last = NextLook(look, open_arms, replicates(study, seeds=look, arms=open_arms))
            if not all(one.key in results and results[one.key].is_result for one in last.replicates):
                return last
        undecided = _undecided(study, rows, look)
        open_arms = tuple(arm for arm in chosen if (arm if study.blocks is None else split_name(arm)[0]) in undecided)
    return last


def _others(study: Study, globs: Sequence[str]) -> tuple[str, ...]:
    """The arms that are meant, without the baseline."""
    from ablate.study.plan import replicates

    return tuple(one.arm for one in replicates(study, seeds=1, arms=globs) if one.arm not in study.baselines)


def _undecided(study: Study, rows: Sequence[TrialRow], look: int) -> set[str]:
    """The arms without a decision at `look`; none when nothing can be compared, as more seeds would not change that."""
    from ablate.report.data.frames import compare_study
    from ablate.report.statistics.model import Verdict

    comparison = compare_study(study, rows, look=look)
    if comparison.problem is not None:
        return set()
    found = {arm: comparison.row(arm) for arm in comparison.arms}
    blocks = comparison.blocks
    # Where blocks contradict each other, more seeds would not give them one word.
    settled = set() if blocks is None else {arm for arm, own in blocks.arms.items() if own.opposite}
    open_arms = {arm for arm, row in found.items() if row.verdict in (None, Verdict.UNDECIDED) and not row.stopped}
    return open_arms - settled


def seeds_of_all(study: Study, results: Mapping[tuple[str, int], OutcomeKind], globs: Sequence[str]) -> int:
    """Return the number of seeds, counted from the study's first, for which every chosen arm has a result."""
    arms = _others(study, globs) or (study.baseline.name,)
    seeds = 0
    while all(_is_done(results, (arm, study.first_seed + seeds)) for arm in arms):
        seeds += 1
    return seeds


def _is_done(results: Mapping[tuple[str, int], OutcomeKind], key: tuple[str, int]) -> bool:
    return key in results and results[key].is_result
