"""Stored trials become tables: retries collapse, failures never hide results, columns keep their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.report.data.frames import compare_study, curves_frame, latest_results, trials_frame
from ablate.report.statistics.model import Verdict
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, MetricSpec, Study

MEASURED, DIVERGED, LOST, FAILED = (
    OutcomeKind.MEASURED,
    OutcomeKind.DIVERGED,
    OutcomeKind.LOST,
    OutcomeKind.FAILED,
)
METRICS = (MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB"), MetricSpec("ssim", "max"))


def make_study(**changes: Any) -> Study:
    arms = tuple(Arm(name, {}, {"lr": place}) for place, name in enumerate(("baseline", "a", "planned")))
    fields: dict[str, Any] = {"arms": arms, "metrics": METRICS, "looks": (3,), "factors": ("lr",), **changes}
    return Study(name="s", question="?", core="c", **fields)


def row(
    number: int,
    arm: str,
    seed: int,
    outcome: OutcomeKind | None = MEASURED,
    metrics: Mapping[str, float] | None = None,
    **more: Any,
) -> TrialRow:
    values = {"psnr": float(number)} if metrics is None else metrics
    state = "RUNNING" if outcome is None else "COMPLETE" if outcome is MEASURED else "FAIL"
    return TrialRow(number, arm, seed, state, outcome, values, 1.5, "cpu", f"digest{number}", **more)


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        ([LOST, MEASURED], 1),
        ([MEASURED, LOST], 0),
        ([LOST, FAILED], 1),
        ([MEASURED, MEASURED], 1),
        ([DIVERGED, FAILED, None], 0),
    ],
)
def test_the_latest_result_stands_for_a_replicate(outcomes: list[OutcomeKind | None], kept: int) -> None:
    rows = [row(number, "a", 0, outcome) for number, outcome in enumerate(outcomes)]
    assert [trial.number for trial in latest_results(reversed(rows))] == [kept]


def test_running_trials_are_no_results() -> None:
    assert latest_results([row(0, "a", 0, None)]) == []


def test_the_table_has_one_row_per_replicate_in_study_order() -> None:
    rows = [
        row(0, "gone", 0),
        row(1, "a", 1, metrics={"psnr": 3.0, "extra": 9.0}, attributes={"images_seen": 640}),
        row(2, "a", 0, LOST, {}),
        row(3, "baseline", 0, metrics={"psnr": 2.0, "ssim": 0.5}),
        row(4, "a", 0),
    ]
    frame = trials_frame(make_study(), rows)
    head = ["study", "arm", "seed", "outcome", "psnr", "ssim", "extra"]
    assert list(frame.columns) == [*head, "seconds", "device", "recipe_digest", "images_seen"]
    assert list(zip(frame.arm, frame.seed, strict=True)) == [("baseline", 0), ("a", 0), ("a", 1), ("gone", 0)]
    assert frame.psnr.tolist() == [2.0, 4.0, 3.0, 0.0]
    assert np.isnan(frame.ssim.iloc[1])
    assert frame.images_seen.iloc[2] == 640


def test_a_diverged_trial_has_no_values_whatever_it_recorded() -> None:
    frame = trials_frame(make_study(), [row(0, "a", 0, DIVERGED, {"psnr": 5.0})])
    assert frame.outcome.tolist() == ["diverged"]
    assert np.isnan(frame.psnr.iloc[0])


def test_an_empty_study_has_an_empty_table_with_all_columns() -> None:
    frame = trials_frame(make_study(), [])
    assert len(frame) == 0
    assert {"arm", "seed", "outcome", "psnr", "ssim"} <= set(frame.columns)
    assert compare_study(make_study(), []).problem == "nothing has been measured yet"


def test_a_metric_may_be_called_seconds_but_not_arm() -> None:
    timed = make_study(metrics=(MetricSpec("seconds", "min", "log", primary=True),))
    assert trials_frame(timed, [row(0, "a", 0, metrics={"seconds": 7.0})]).seconds.tolist() == [7.0]
    with pytest.raises(AblateError, match="called 'arm'"):
        trials_frame(make_study(metrics=(MetricSpec("arm", "min", primary=True),)), [])


def test_curves_are_long_and_only_of_results_in_the_study() -> None:
    rows = [
        row(0, "a", 0, LOST, curve=((10, 0.1),)),
        row(1, "a", 0, curve=((10, 1.0), (20, 2.0))),
        row(2, "baseline", 0, DIVERGED, curve=((10, 0.5),)),
        row(3, "gone", 0, curve=((10, 9.0),)),
    ]
    frame = curves_frame(make_study(), rows)
    assert list(frame.columns) == ["arm", "seed", "images", "value"]
    assert frame.to_numpy().tolist() == [["baseline", 0, 10, 0.5], ["a", 0, 10, 1.0], ["a", 0, 20, 2.0]]


def test_a_stored_study_is_compared_at_its_own_alpha_and_looks() -> None:
    gain = [1.0, 1.01, 1.02]
    rows = [row(seed, "baseline", seed, metrics={"psnr": 20.0 + seed}) for seed in range(3)]
    rows += [row(3 + seed, "a", seed, metrics={"psnr": 20.0 + seed + gain[seed]}) for seed in range(3)]
    comparison = compare_study(make_study(alpha=0.1), rows)
    assert comparison.arms == ("baseline", "a", "planned")
    assert (comparison.alpha, comparison.look, comparison.tested) == (0.1, 3, 1)
    assert comparison.row("a").verdict is Verdict.BETTER
    assert comparison.row("planned").note.startswith("not measured yet")


def test_arms_table_has_the_promised_columns_first() -> None:
    rows = [row(seed, "baseline", seed, metrics={"psnr": 20.0 + seed}) for seed in range(3)]
    rows += [row(3 + seed, "a", seed, metrics={"psnr": 20.0 + 2 * seed}) for seed in range(3)]
    frame = compare_study(make_study(), rows).to_frame()
    first = "arm,metric,n,diverged,mean,sd,diff,ci_low,ci_high,p,p_holm,verdict,note"
    assert ",".join(frame.columns).startswith(first)
    keys = list(zip(frame.arm, frame.metric, strict=True))
    assert keys == [(arm, metric) for arm in ("baseline", "a", "planned") for metric in ("psnr", "ssim")]
    assert frame.verdict.iloc[0] == ""
    assert frame["diff"].iloc[2] == pytest.approx(1.0)
    assert str(frame.more_seeds.dtype) == "Int64"
