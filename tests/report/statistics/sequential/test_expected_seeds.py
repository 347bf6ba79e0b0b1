"""Whole studies at once: the same course as `compare` takes look by look, and what a plan is told."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.report import compare
from ablate.report.statistics.model import Comparison, Verdict
from ablate.report.statistics.sequential.expected_seeds import predict, run_studies
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Method

LOOKS = (3, 4, 6, 9)


def run_by_compare(differences: Any, method: Method, margin: float | None) -> tuple[Comparison, dict[str, int]]:
    """Run one study [arms, seeds] as the engine does: open arms get the seeds of the next look."""
    metric = MetricSpec("q", "max", margin=margin, primary=True)
    names = [f"arm {at}" for at in range(len(differences))]
    open_arms, seeds = list(names), dict.fromkeys(names, 0)
    for look in LOOKS:
        seeds |= dict.fromkeys(open_arms, look)
        rows = [("baseline", seed, 0.0) for seed in range(look)]
        rows += [(name, seed, differences[at, seed]) for at, name in enumerate(names) for seed in range(seeds[name])]
        comparison = compare(
            pd.DataFrame(rows, columns=["arm", "seed", "q"]),
            metrics=[metric],
            arms=names,
            looks=LOOKS,
            correct=method.correct,
            equivalence=method.equivalence,
            boundaries=method.boundaries,
            futility=method.futility,
        )
        open_arms = [
            name
            for name in names
            if comparison.row(name).verdict is Verdict.UNDECIDED and not comparison.row(name).stopped
        ]
    return comparison, seeds


@pytest.mark.parametrize(
    ("method", "margin"),
    [
        (Method(), None),
        (Method(), 1.2),
        (Method(boundaries="split", futility=0.2), 1.2),
        (Method(correct="bh", equivalence="none", futility=0.3), 1.2),
        (Method(correct="none", futility=0.05), None),
    ],
)
def test_all_at_once_and_study_by_study_are_one_course(method: Method, margin: float | None) -> None:
    rng = np.random.default_rng(6)
    effects = np.array([0.0, 1.5, 4.0, -2.0, 0.3])[:, None]
    differences = rng.standard_normal((12, 5, LOOKS[-1])) + effects
    courses = run_studies(differences, LOOKS, 0.05, method, float("nan") if margin is None else margin)
    for one in range(12):
        comparison, seeds = run_by_compare(differences[one], method, margin)
        rows = [comparison.row(name) for name in seeds]
        assert list(seeds.values()) == courses.seeds[one].tolist()
        assert [row.verdict in (Verdict.BETTER, Verdict.WORSE) for row in rows] == courses.decided[one].tolist()
        assert [row.verdict is Verdict.EQUIVALENT for row in rows] == courses.equivalent[one].tolist()
        np.testing.assert_allclose(np.array([row.ci_low for row in rows], dtype=float), courses.low[one])
        wide = np.array([row.repeated_high for row in rows], dtype=float)
        np.testing.assert_allclose(wide, courses.repeated_high[one])


def test_a_prediction_is_far_below_the_last_look_and_the_same_every_time() -> None:
    found, again = (predict(8, (3, 4, 5, 6, 8, 10, 12), 0.05, Method()) for _ in range(2))
    assert found == again
    assert found is not None
    assert 3 < found.nothing.per_arm < found.one.per_arm < 6
    assert found.nothing.low <= found.nothing.trials <= found.nothing.high < found.most == 9 * 12
    assert found.nothing.decided < 0.02
    assert 0.6 < found.one.decided < 0.9


def test_without_stopping_nearly_everything_runs_to_the_end() -> None:
    found = predict(8, (3, 5, 10), 0.05, Method(boundaries="split", futility=0.0))
    assert found is not None
    assert found.nothing.per_arm > 9.9


@pytest.mark.parametrize(("arms", "looks"), [(0, (3, 5)), (3, (5,)), (3, (1, 5)), (3, ())])
def test_what_cannot_be_predicted(arms: int, looks: tuple[int, ...]) -> None:
    assert predict(arms, looks, 0.05, Method()) is None


def test_no_design_keeps_fewer_promises_with_more_noise_kinds() -> None:
    """Skewed and heavy-tailed noise alike in all arms: any false word in at most 5 % of 3 000 studies."""
    rng = np.random.default_rng(9)
    draws = (lambda shape: rng.standard_exponential(shape), lambda shape: rng.standard_t(3, shape))
    for draw, looks in itertools.product(draws, ((3, 5, 10), (3, 4, 6, 9, 12))):
        noise = draw((3000, 9, looks[-1]))
        courses = run_studies(noise[:, 1:] - noise[:, :1], looks, 0.05, Method())
        assert courses.decided.any(axis=1).mean() <= 0.05
