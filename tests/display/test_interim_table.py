"""Numbers so far are paired with the baseline and carry no verdict."""

from __future__ import annotations

import pytest

from ablate.display.interim_results import Result, difference_text, interim_arms
from ablate.display.interim_table import table
from ablate.outcome import OutcomeKind
from ablate.study.spec import Arm, MetricSpec, Study

PSNR = MetricSpec("psnr", "max", unit="dB", digits=2, primary=True)
SECONDS = MetricSpec("train_seconds", "min", scale="log", unit="s", primary=True)


def study(metric: MetricSpec = PSNR) -> Study:
    arms = tuple(Arm(name, {}, {}) for name in ("baseline", "lr=0.01", "noise_schedule=exponential"))
    return Study("s", "", "toy", arms, ("lr",), (metric,), (3,))


def test_differences_use_only_seeds_that_both_have() -> None:
    """A seed that only one arm has would move the difference by the seed's own luck."""
    results = {
        ("baseline", 0): Result(OutcomeKind.MEASURED, 10.0),
        ("baseline", 1): Result(OutcomeKind.MEASURED, 30.0),
        ("lr=0.01", 1): Result(OutcomeKind.MEASURED, 31.0),
        ("lr=0.01", 2): Result(None),
    }
    found = {arm.arm: arm for arm in interim_arms(study(), {"baseline": 3, "lr=0.01": 3}, results)}
    assert found["lr=0.01"].diff == pytest.approx(1.0)
    assert (found["lr=0.01"].done, found["lr=0.01"].planned) == (1, 3)
    assert "noise_schedule=exponential" not in found


def test_times_are_compared_by_ratio() -> None:
    results = {
        ("baseline", 0): Result(OutcomeKind.MEASURED, 10.0),
        ("baseline", 1): Result(OutcomeKind.MEASURED, 40.0),
        ("lr=0.01", 0): Result(OutcomeKind.MEASURED, 20.0),
        ("lr=0.01", 1): Result(OutcomeKind.MEASURED, 80.0),
    }
    found = interim_arms(study(SECONDS), {}, results)[1]
    assert found.diff == pytest.approx(1.0)
    assert difference_text(found.diff, SECONDS) == "+100.0 %"


def test_table_at_eighty_columns() -> None:
    results = {
        ("baseline", 0): Result(OutcomeKind.MEASURED, 29.5),
        ("baseline", 1): Result(None),
        ("lr=0.01", 0): Result(OutcomeKind.DIVERGED),
        ("noise_schedule=exponential", 0): Result(OutcomeKind.MEASURED, 28.67),
        ("noise_schedule=exponential", 1): Result(OutcomeKind.FAILED),
    }
    planned = {"baseline": 3, "lr=0.01": 3, "noise_schedule=exponential": 3}
    lines = [line.plain for line in table(interim_arms(study(), planned, results), PSNR, 80)]
    assert lines == [
        "  arm                         seeds  psnr (dB)   diff",
        "  baseline                      1/3      29.50         1 running",
        "  lr=0.01                       1/3                    diverged 1 of 1",
        "  noise_schedule=exponential    1/3      28.67  -0.83  1 failed",
    ]
