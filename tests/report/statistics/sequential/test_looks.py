"""Declared looks: which seeds and which level count, and that looking several times stays honest."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ablate.errors import AblateError
from ablate.report import compare
from ablate.report.statistics.model import Verdict
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Boundaries

METRIC = MetricSpec("psnr", "max")
LOOKS = (3, 5, 10)


def table(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [(arm, seed, value) for arm, row in values.items() for seed, value in enumerate(row)]
    return pd.DataFrame(rows, columns=["arm", "seed", "psnr"])


def noise(n: int, seed: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(size=n)]


def test_each_arm_is_judged_at_the_look_it_has_reached() -> None:
    frame = table({"baseline": noise(10, 0), "three": noise(3, 1), "five": noise(5, 2), "ten": noise(10, 3)})
    comparison = compare(frame, metrics=[METRIC], looks=LOOKS, boundaries="split")
    assert [comparison.row(arm).alpha for arm in ("three", "five", "ten")] == pytest.approx([0.01, 0.015, 0.025])
    assert [comparison.row(arm).pairs for arm in ("three", "five", "ten")] == [3, 5, 10]
    assert (comparison.look, comparison.study_alpha) == (10, 0.05)
    assert comparison.alpha == pytest.approx(0.025)
    assert comparison.looks == LOOKS


def test_seeds_between_two_looks_wait() -> None:
    """Four seeds are judged as three: judging them as four would be a look that nobody declared."""
    frame = table({"baseline": noise(4, 0), "arm": noise(4, 1)})
    row = compare(frame, metrics=[METRIC], looks=LOOKS).row("arm")
    expected = compare(frame[frame.seed < 3], metrics=[METRIC], looks=LOOKS).row("arm")
    assert (row.n, row.p, row.diff) == (3, expected.p, expected.diff)
    assert row.note.endswith("1 more measured, reserved for the next look")


def test_before_the_first_look_there_is_no_test() -> None:
    row = compare(table({"baseline": noise(2, 0), "arm": noise(2, 1)}), metrics=[METRIC], looks=LOOKS).row("arm")
    assert (row.verdict, row.p, row.more_seeds) == (Verdict.UNDECIDED, None, 1)
    assert row.note == "1 more seed to the declared 3"


def test_a_look_counts_only_once_the_baseline_has_filled_it_too() -> None:
    """Five seeds of the arm and four of the baseline are judged as three: four pairs would be a look of their own."""
    frame = table({"baseline": noise(4, 0), "arm": noise(5, 1)})
    row = compare(frame, metrics=[METRIC], looks=LOOKS, boundaries="split").row("arm")
    assert row.pairs == 3
    assert row.alpha == pytest.approx(0.01)
    waiting = compare(table({"baseline": noise(2, 0), "arm": noise(3, 1)}), metrics=[METRIC], looks=LOOKS).row("arm")
    assert (waiting.verdict, waiting.p) == (Verdict.UNDECIDED, None)
    assert waiting.note.startswith("1 more seed to the declared 3")


def test_an_earlier_look_can_be_asked_for() -> None:
    frame = table({"baseline": noise(10, 0), "arm": noise(10, 1)})
    early = compare(frame, metrics=[METRIC], looks=LOOKS, look=5, boundaries="split")
    assert (early.row("arm").pairs, early.look) == (5, 5)
    assert early.alpha == pytest.approx(0.015)
    with pytest.raises(AblateError, match="4 seeds is not a declared look"):
        compare(frame, metrics=[METRIC], looks=LOOKS, look=4)


def test_one_look_uses_everything_and_tells_when_the_plan_was_left() -> None:
    frame = table({"baseline": noise(7, 0), "few": noise(4, 1), "more": noise(7, 2)})
    comparison = compare(frame, metrics=[METRIC], looks=(5,))
    assert (comparison.row("more").pairs, comparison.row("few").pairs, comparison.alpha) == (7, 4, 0.05)
    codes = {(lint.code, lint.arm) for lint in comparison.lints}
    assert {("partial", "few"), ("extra-seeds", "more")} <= codes


@pytest.mark.parametrize("short", ["arm", "baseline"])
def test_there_is_no_verdict_before_the_one_declared_look(short: str) -> None:
    """Two of five seeds with a huge difference stay undecided: judging them would be a look nobody declared."""
    values = {"baseline": noise(5, 0), "arm": [value + 100 for value in noise(5, 1)]}
    values[short] = values[short][:2]
    row = compare(table(values), metrics=[METRIC], looks=(5,)).row("arm")
    assert (row.verdict, row.p) == (Verdict.UNDECIDED, None)
    assert row.note.endswith("to the declared 5")
    assert row.diff == pytest.approx(100, abs=10)


def test_without_declared_looks_the_look_is_what_there_is() -> None:
    comparison = compare(table({"baseline": noise(4, 0), "arm": noise(4, 1)}), metrics=[METRIC])
    assert (comparison.look, comparison.looks, comparison.alpha) == (4, (), 0.05)


@pytest.mark.parametrize("boundaries", ["spending", "split"])
def test_three_looks_together_err_in_five_percent_of_studies_at_most(boundaries: Boundaries) -> None:
    """120 studies of two equal arms, looked at three times through `compare`: any false word at any look."""
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(120):
        frame = table({"baseline": rng.normal(size=10).tolist(), "arm": rng.normal(size=10).tolist()})
        words = [
            compare(frame, metrics=[METRIC], looks=LOOKS, look=look, boundaries=boundaries).row("arm").verdict
            for look in LOOKS
        ]
        wrong += Verdict.BETTER in words or Verdict.WORSE in words
    assert wrong / 120 <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 120)
