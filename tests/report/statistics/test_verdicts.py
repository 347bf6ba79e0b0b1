"""Every row of the verdict table, and the order in which rows match."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.report.statistics.model import Verdict
from ablate.report.statistics.verdicts import Evidence, Word, is_diverged, judge

PLAIN = Evidence(
    n=5,
    runs=5,
    diverged=0,
    baseline_diverged=0,
    improvement=0.3,
    still=False,
    p=0.2,
    p_equivalence=0.4,
    alpha=0.05,
    needed=9,
    margin_text="0.1 dB",
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"diverged": 4, "n": 1}, Word(Verdict.DIVERGED, "4 of 5 seeds diverged")),
        ({"runs": 4, "diverged": 2, "n": 2}, Word(Verdict.DIVERGED, "2 of 4 seeds diverged")),
        (
            {"still": True, "identical": True, "improvement": 0.0, "p": None},
            Word(Verdict.EQUIVALENT, "identical results"),
        ),
        (
            {"still": True, "identical": True, "improvement": 0.0, "p": None, "coarse": True},
            Word(Verdict.UNDECIDED, "identical in 5 seeds on a coarse metric"),
        ),
        (
            {"still": True, "p": None, "coarse": True},
            Word(Verdict.UNDECIDED, "same difference in 5 seeds on a coarse metric"),
        ),
        ({"stopped": True}, Word(Verdict.UNDECIDED, "stopped, more seeds would hardly help")),
        ({"stopped": True, "p": 0.05}, Word(Verdict.BETTER)),
        (
            {"still": True, "p": None},
            Word(Verdict.UNDECIDED, "same difference in every seed: is the seed used?"),
        ),
        ({"n": 1, "runs": 1, "p": None}, Word(Verdict.UNDECIDED, "needs 1 more seed", 1)),
        ({"n": 0, "runs": 0, "p": None}, Word(Verdict.UNDECIDED, "needs 2 more seeds", 2)),
        ({"p_equivalence": 0.04}, Word(Verdict.EQUIVALENT, "within ±0.1 dB")),
        ({"p_equivalence": 0.04, "p": 0.01}, Word(Verdict.EQUIVALENT, "within ±0.1 dB; tiny but real")),
        ({"p": 0.05}, Word(Verdict.BETTER)),
        ({"p": 0.05, "improvement": -0.3}, Word(Verdict.WORSE)),
        ({"p_equivalence": None}, Word(Verdict.UNDECIDED, "about 4 more seeds", 4)),
        ({"needed": 6}, Word(Verdict.UNDECIDED, "about 1 more seed", 1)),
        ({"needed": None}, Word(Verdict.UNDECIDED, "within seed noise")),
        (
            {"reached": False, "runs": 1, "n": 1, "wanted": 3},
            Word(Verdict.UNDECIDED, "2 more seeds to the declared 3", 2),
        ),
        ({"n": 4, "fewest": 6}, Word(Verdict.UNDECIDED, "needs 2 more seeds", 2)),
    ],
)
def test_every_row_of_the_table(changes: dict[str, object], expected: Word) -> None:
    assert judge(replace(PLAIN, **changes)) == expected  # type: ignore[arg-type]  # fields of mixed types


def test_divergence_forbids_equivalence_but_not_better() -> None:
    sure = replace(PLAIN, p_equivalence=0.001, p=0.001, diverged=1)
    assert judge(sure).verdict is Verdict.BETTER
    assert judge(replace(sure, p=0.9)).verdict is Verdict.UNDECIDED
    assert judge(replace(sure, p=0.9, diverged=0, baseline_diverged=1)).verdict is Verdict.UNDECIDED


def test_divergence_comes_before_everything() -> None:
    certain = replace(PLAIN, p=0.0, p_equivalence=0.0, still=True, improvement=0.0)
    assert judge(replace(certain, diverged=3)).verdict is Verdict.DIVERGED


def test_levels_belong_to_the_look() -> None:
    assert judge(replace(PLAIN, p=0.012, alpha=0.01)).verdict is Verdict.UNDECIDED
    assert judge(replace(PLAIN, p=0.012, alpha=0.015)).verdict is Verdict.BETTER


@pytest.mark.parametrize(("diverged", "runs", "expected"), [(0, 0, False), (1, 3, False), (1, 2, True), (3, 5, True)])
def test_half_of_the_runs_is_diverged(diverged: int, runs: int, expected: bool) -> None:
    assert is_diverged(diverged, runs) is expected
