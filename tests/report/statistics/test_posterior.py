"""The Bayesian reading beside the verdicts: the correlated t-test, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.errors import AblateError
from ablate.report.statistics.compare import compare
from ablate.report.statistics.model import Row
from ablate.report.statistics.posterior import posterior, widened
from ablate.report.text.posterior_words import posterior_cell

FIRST = np.array([0.91, 0.885, 0.93, 0.902, 0.917, 0.899, 0.921, 0.908, 0.93, 0.89])
SECOND = np.array([0.901, 0.89, 0.915, 0.9, 0.9, 0.895, 0.905, 0.91, 0.911, 0.893])
BAYCOMP = {
    # (region of practical equivalence, correlation): chances that the first is worse, equivalent, better. From
    # two_on_single of baycomp 1.0.3 (runs = 10 x correlation), and without correlation from its Posterior.
    (0.0, 0.0): (0.01716878238525177, None, 0.9828312176147482),
    (0.005, 0.0): (0.0011169101744479618, 0.23186410374957367, 0.7670189860759784),
    (0.0, 0.1): (0.060265032983715106, None, 0.9397349670162849),
    (0.005, 0.1): (0.008718189436889394, 0.29776475295041427, 0.6935170576126963),
    (0.01, 0.2): (0.005579562390595729, 0.6859142210311179, 0.30850621657828636),
}


def frame(**arms: Any) -> pd.DataFrame:
    return pd.DataFrame([(arm, seed, value) for arm, values in arms.items() for seed, value in enumerate(values)],
                        columns=["arm", "seed", "quality"])  # fmt: skip


def chances(row: Row) -> tuple[float | None, float | None, float | None]:
    return row.posterior_worse, row.posterior_equivalent, row.posterior_better


@pytest.mark.parametrize(("rope", "share"), BAYCOMP)
def test_chances_are_baycomps(rope: float, share: float) -> None:
    metric = f"quality:max:{rope}" if rope else "quality:max"
    found = compare(frame(baseline=SECOND, arm=FIRST), metrics=[metric], bayes=True, test_share=share)
    expected = BAYCOMP[rope, share]
    assert [value is None for value in chances(found.row("arm"))] == [value is None for value in expected]
    assert chances(found.row("arm")) == pytest.approx(expected, abs=1e-9)


def test_a_metric_to_be_small_turns_better_and_worse() -> None:
    table = frame(baseline=SECOND, arm=FIRST)
    up, down = (compare(table, metrics=[f"quality:{way}:0.005"], bayes=True).row("arm") for way in ("max", "min"))
    assert chances(up) == pytest.approx(chances(down)[::-1])


def test_on_the_log_scale_the_margin_is_a_ratio() -> None:
    row = compare(frame(baseline=SECOND, arm=FIRST), metrics=["quality:max:1%:log"], bayes=True).row("arm")
    logs = np.log(FIRST) - np.log(SECOND)
    known = stats.t(9, logs.mean(), logs.std(ddof=1) / np.sqrt(10))
    assert row.posterior_better == pytest.approx(known.sf(np.log(1.01)))
    assert row.posterior_worse == pytest.approx(known.cdf(-np.log(1.01)))


@given(st.floats(-5, 5), st.floats(0.01, 5), st.integers(1, 40), st.none() | st.floats(0.001, 3))
def test_chances_add_up_to_one(mean: float, se: float, df: int, margin: float | None) -> None:
    found = posterior(mean, se, df, margin)
    assert found.better + (found.equivalent or 0.0) + found.worse == pytest.approx(1)
    assert min(found.better, found.worse, found.equivalent or 0.0) >= 0


def test_without_a_margin_the_smaller_chance_is_half_the_p() -> None:
    row = compare(frame(baseline=SECOND, arm=FIRST), metrics=["quality:max"], bayes=True).row("arm")
    assert row.p is not None
    assert row.posterior_worse == pytest.approx(row.p / 2)


def test_verdicts_and_numbers_stay_as_they_are() -> None:
    table = frame(baseline=SECOND, arm=FIRST, other=SECOND - 0.002 + 0.01 * (FIRST - SECOND), same=SECOND)
    plain = compare(table, metrics=["quality:max:0.005"])
    read = compare(table, metrics=["quality:max:0.005"], bayes=True, test_share=0.1)
    cleared: dict[str, Any] = {"posterior_better": None, "posterior_equivalent": None, "posterior_worse": None}
    assert {key: replace(row, **cleared) for key, row in read.rows.items()} == plain.rows
    assert {row.posterior_better for row in plain.rows.values()} == {None}
    assert [lint.code for lint in read.lints if lint not in plain.lints] == ["folds"]


def test_nothing_is_said_without_noise_without_seeds_and_before_the_declared_look() -> None:
    table = frame(baseline=SECOND, same=SECOND, one=FIRST[:1], few=FIRST[:3], many=FIRST)
    found = compare(table, metrics=["quality:max:0.005"], looks=[5], bayes=True)
    assert [arm for arm in found.arms if found.row(arm).posterior_better is not None] == ["many"]


def test_pooled_noise_and_unshared_seeds_are_read_as_their_tests_see_them() -> None:
    table = frame(baseline=SECOND, arm=FIRST, other=SECOND[::-1])
    choices: list[dict[str, Any]] = [{"noise": "pooled"}, {"test": "welch"}]
    for options in choices:
        row = compare(table, metrics=["quality:max"], bayes=True, **options).row("arm")
        assert row.p is not None
        assert row.posterior_worse == pytest.approx(row.p / 2)


def test_the_standard_error_grows_with_what_folds_share() -> None:
    assert widened(1.0, 10, 0.0) == 1.0
    assert widened(1.0, 10, 0.1) == pytest.approx(np.sqrt(1 + 10 / 9))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test_share": 0.1}, "belongs to the Bayesian reading"),
        ({"bayes": True, "test_share": 1.0}, "from 0 to below 1"),
        ({"bayes": True, "test_share": -0.1}, "from 0 to below 1"),
        ({"bayes": True, "test_share": 0.1, "test": "welch"}, "shared folds"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(AblateError, match=said):
        compare(frame(baseline=SECOND, arm=FIRST), metrics=["quality:max"], **options)


def test_a_cell_never_shows_certainty() -> None:
    row = compare(frame(baseline=SECOND, arm=FIRST + 1), metrics=["quality:max:0.005"], bayes=True).row("arm")
    assert posterior_cell(row) == ">99/<1/<1"
    assert posterior_cell(replace(row, posterior_better=None, posterior_equivalent=None, posterior_worse=None)) == "-"
