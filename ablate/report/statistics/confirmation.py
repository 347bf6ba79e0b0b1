"""Confirmation: the best arm and the baseline once more, on seeds that neither has seen, tested once."""

from __future__ import annotations

from dataclasses import replace

from ablate.errors import AblateError
from ablate.paths import is_study_name
from ablate.report.statistics.model import Comparison, Verdict
from ablate.study.blocks import split_name
from ablate.study.spec import Arm, Design, Study

FIRST_SEED = 2000
"""Confirmations use the seeds from here on: arms have those below 1000, searches of their own from 1000."""
KIND = "confirm"
"""Kind of the design of a confirmation."""


def confirm_name(name: str) -> str:
    """Return the name of the study that confirms the study `name`; raises AblateError when it gets too long."""
    found = f"{name}-confirm"
    if not is_study_name(found):
        raise AblateError(f"{found!r} cannot be a study's name", hint="run the study with a shorter --name")
    return found


def winner_of(comparison: Comparison) -> str:
    """Return the arm to confirm: the one with the largest improvement among those decided better.

    Raises NothingComparableError without a usable baseline, AblateError where no arm is decided better.
    """
    comparison.check_comparable()
    better = [
        row
        for arm in comparison.arms
        if (row := comparison.row(arm)).verdict is Verdict.BETTER and row.improvement is not None
    ]
    if not better:
        raise AblateError(
            "no arm has the verdict better, so there is nothing to confirm",
            hint="more seeds may decide one: ablate report says which, and about how many",
        )
    return max(better, key=lambda row: row.improvement or 0.0).arm


def confirmation(study: Study, winner: str, seeds: int) -> Study:
    """Return the study of two arms, baseline and `winner`, on `seeds` fresh seeds with one look at the whole alpha.

    In a study with blocks, both run in every block.

    The arm was picked because it came out best, so its first difference is too large on average. The fresh seeds know
    nothing of that: one arm, one test, no correction.
    """
    plain = study if study.blocks is None else study.over_blocks()
    arm = next(arm for arm in plain.arms if arm.name == winner)
    question = (
        f"Confirmation on fresh seeds: is {winner}, the best of {len(plain.arms) - 1} arms of {study.name}, better?"
    )
    arms: tuple[Arm, ...] = (study.baseline, arm)
    if study.blocks is not None:
        arms = tuple(one for one in study.arms if split_name(one.name)[0] in (plain.baseline.name, winner))
    return replace(
        study,
        name=confirm_name(study.name),
        question=question,
        arms=arms,
        looks=(seeds,),
        first_seed=FIRST_SEED,
        designs=(Design(KIND, {winner: dict(arm.levels)}),),
        searches=(),
    )


def is_confirmation(study: Study) -> bool:
    """True for a study that `confirmation` made."""
    return any(design.kind == KIND for design in study.designs)
