"""Equal compute: the same comparison where both had seen as many images, or trained as many seconds."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from ablate.report.statistics.equal_budget import MOST_ARMS, at_equal_budget, equal_budgets
from ablate.report.statistics.model import Verdict
from ablate.report.statistics.spent import BUDGETS, spending
from ablate.report.text.budget_cells import budget_head
from ablate.report.text.convergence_sentences import equal_sentences
from ablate.study.spec import Arm, MetricSpec, Study

PSNR = MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB")
NOISE = (0.02, -0.03, 0.01, 0.04, -0.02)


def curves(**arms: tuple[float, float]) -> pd.DataFrame:
    """Arm -> (images in all, gain over the baseline's curve, which rises by 1 dB with every 1,000 images)."""
    rows = [
        (arm, seed, images, images / 1000 + gain + seed / 10 + NOISE[seed] * (arm != "baseline"), images / 100)
        for arm, (total, gain) in arms.items()
        for seed in range(5)
        for images in range(1000, int(total) + 1, 1000)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "images", "value", "seconds"])


def test_what_twice_the_training_gained_is_gone_at_equal_images() -> None:
    [found] = at_equal_budget(curves(baseline=(4000, 0), longer=(8000, 0)), PSNR, "baseline")
    assert (found.arm, found.amount) == ("longer", 4000)
    assert found.ratio == pytest.approx(2)
    assert found.row.diff == pytest.approx(sum(NOISE) / 5)
    assert found.row.verdict is Verdict.EQUIVALENT
    assert found.row.exploratory


def test_a_cheaper_arm_is_judged_where_it_ended() -> None:
    [found] = at_equal_budget(curves(baseline=(8000, 0), short=(2000, 0.5)), PSNR, "baseline")
    assert found.amount == 2000
    assert found.ratio == pytest.approx(0.25)
    assert found.row.verdict is Verdict.BETTER


def test_values_between_points_are_interpolated() -> None:
    table = curves(baseline=(4000, 0), longer=(8000, 0))
    table = table[~((table.arm == "longer") & (table.images == 4000))]
    [found] = at_equal_budget(table, PSNR, "baseline")
    assert found.row.diff == pytest.approx(sum(NOISE) / 5)


def test_equal_budgets_need_no_second_comparison() -> None:
    assert at_equal_budget(curves(baseline=(4000, 0), arm=(4000, 1)), PSNR, "baseline") == ()


def test_seconds_are_a_budget_of_their_own() -> None:
    table = curves(baseline=(4000, 0), dear=(4000, 0.3))
    table["seconds"] = table["seconds"].where(table.arm == "baseline", 2 * table["seconds"])
    [found] = at_equal_budget(table, PSNR, "baseline", "seconds")
    assert (found.budget, found.amount) == ("seconds", 40)
    assert found.ratio == pytest.approx(2)
    assert found.row.verdict is Verdict.WORSE
    [said] = equal_sentences([found], PSNR)
    assert said == (
        "At equal seconds of training: dear worse, -1.696 dB [-1.732, -1.660] (it spent 2.00x) (PSNR, from learning "
        "curves, exploratory)."
    )


def test_a_curve_that_starts_after_the_smaller_budget_is_left_out() -> None:
    table = curves(baseline=(1000, 0), late=(8000, 0))
    table = table[(table.arm == "baseline") | (table.images > 2000)]
    assert at_equal_budget(table, PSNR, "baseline") == ()


def test_points_without_a_time_are_left_out() -> None:
    table = curves(baseline=(4000, 0), arm=(8000, 0)).assign(seconds=math.nan)
    assert at_equal_budget(table, PSNR, "baseline", "seconds") == ()


def study_of(**settings: dict[str, int]) -> Study:
    arms = tuple(Arm(arm, {}, {"batch_size": 10, "epochs": 2, **own}) for arm, own in settings.items())
    return Study("s", "", "toy", arms, (), (PSNR,), (5,))


def points_of(table: pd.DataFrame) -> list[tuple[str, int, int, str, float]]:
    return [
        (arm, seed, images, name, value)
        for arm, seed, images, height, seconds in table.itertuples(index=False)
        for name, value in (("psnr", height), ("train_seconds", seconds))
    ]


def test_updates_and_epochs_are_budgets_of_their_own() -> None:
    """Twice the batch: as many images, half the updates. Twice the epochs over half the data: the same images."""
    table = curves(baseline=(4000, 0), batch=(4000, 0.5), small=(4000, 0))
    study = study_of(baseline={}, batch={"batch_size": 20}, small={"epochs": 4})
    found = {(one.arm, one.budget): one for one in equal_budgets(study, points_of(table))}
    assert set(found) == {("batch", "updates"), ("small", "epochs")}
    batch, small = found["batch", "updates"], found["small", "epochs"]
    assert (batch.amount, small.amount) == (200, 2)
    assert batch.ratio == pytest.approx(0.5)
    assert small.ratio == pytest.approx(2)
    assert batch.row.diff == pytest.approx(2 + 0.5 + sum(NOISE) / 5)
    assert small.row.diff == pytest.approx(-2 + sum(NOISE) / 5)


def test_budgets_that_say_the_same_are_one_column() -> None:
    table = curves(baseline=(4000, 0), longer=(8000, 0.5))
    equal = equal_budgets(study_of(baseline={}, longer={"epochs": 4}), points_of(table))
    assert [one.budget for one in equal] == ["updates", "images", "seconds", "epochs"]
    together = "equal updates, training images, seconds of training and epochs"
    assert budget_head(equal) == ("arm", "as trained", together)


def test_a_diverged_trial_says_nothing_at_any_budget() -> None:
    points = points_of(curves(baseline=(4000, 0), short=(2000, 0.5)))
    study = study_of(baseline={}, short={})
    assert {one.row.n for one in equal_budgets(study, points)} == {5}
    assert {one.row.n for one in equal_budgets(study, points, {("short", 0), ("short", 1)})} == {3}


def test_a_study_of_hundreds_of_arms_is_not_compared_again() -> None:
    points = [(arm, seed, images, "psnr", 1.0) for arm, images in (("baseline", 10), ("a", 20)) for seed in (0, 1)]
    few = Study("s", "", "toy", tuple(Arm(name, {}, {}) for name in ("baseline", "a")), (), (PSNR,), (2,))
    many = replace(few, arms=(*few.arms, *(Arm(f"arm {place}", {}, {}) for place in range(MOST_ARMS))))
    points += [("a", seed, 10, "psnr", 1.5) for seed in (0, 1)]
    assert [one.arm for one in equal_budgets(few, points)] == ["a"]
    assert equal_budgets(many, points) == ()


@pytest.mark.parametrize(("x", "budget"), [("epoch", "epochs"), ("global_step", "updates"), ("samples", "images")])
def test_curves_of_a_command_are_over_what_its_column_is_called(x: str, budget: str) -> None:
    """Its epochs are no images, and are not divided by a factor that happens to be called batch_size."""
    settings = {"batch_size": 4, "epochs": 7}
    study = Study(
        "toy", "", "command", (Arm("baseline", {}, settings),), (), (PSNR,), (5,),
        core_parameters={"curves": [{"x": x, "source": "csv:log", "columns": {}}]},
    )  # fmt: skip
    assert study.curve_over == x
    table = spending(study, [("baseline", 0, 3, "psnr", 1.0)])
    known = {name: value for name, value in table.iloc[0].items() if name in BUDGETS and not math.isnan(value)}
    assert known == {budget: 3.0}


def test_points_may_come_in_any_order() -> None:
    table = curves(baseline=(4000, 0), longer=(8000, 0.2))
    mixed = table.sample(frac=1, random_state=5)
    [found], [again] = (at_equal_budget(one, PSNR, "baseline") for one in (table, mixed))
    assert found == again


def test_a_seed_that_the_log_scale_cannot_take_is_left_out() -> None:
    metric = replace(PSNR, scale="log", margin=0.05)
    table = curves(baseline=(4000, 1), longer=(8000, 1))
    table.loc[(table.arm == "longer") & (table.seed == 2), "value"] = -1.0
    [found] = at_equal_budget(table, metric, "baseline")
    assert sorted(found.row.values) == [0, 1, 3, 4]
