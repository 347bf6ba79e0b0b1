"""Doubts about a design or its data, each by the smallest study that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ablate.recipe import Scalar
from ablate.report import compare
from ablate.report.statistics.design_warnings import design_lints
from ablate.report.statistics.model import Lint
from ablate.study.spec import Arm, MetricSpec, Study
from tests.sentences import SENTENCES

PSNR = MetricSpec("psnr", "max", margin=0.1, primary=True)
BASE: dict[str, Scalar] = {"lr": 0.1, "schedule": "linear"}


def study(*arms: tuple[str, dict[str, Scalar]], metric: MetricSpec = PSNR) -> Study:
    return Study(
        name="s",
        question="?",
        core="c",
        arms=tuple(Arm(name, levels, {**BASE, **levels}) for name, levels in (("baseline", {}), *arms)),
        factors=("lr", "schedule"),
        metrics=(metric,),
        looks=(3,),
    )


def found(rows: Sequence[tuple[str, int, float]], **columns: Sequence[Any]) -> dict[str, str]:
    frame = pd.DataFrame(rows, columns=["arm", "seed", "psnr"]).assign(**columns)
    return {lint.code: lint.message for lint in compare(frame, metrics=[PSNR]).lints}


def test_a_sound_design_has_no_lints() -> None:
    assert design_lints(study(("lr=0.2", {"lr": 0.2}))) == ()


def test_sound_data_have_no_lints() -> None:
    rows = [("baseline", 0, 1.0), ("baseline", 1, 2.0), ("a", 0, 1.5), ("a", 1, 3.0)]
    assert found(rows, images_seen=[100] * 4) == {}


def test_arms_of_one_recipe() -> None:
    lints = design_lints(study(("a", {"lr": 0.2}), ("b", {"lr": 0.2})))
    assert lints == (Lint("same-recipe", SENTENCES["arms one recipe"], "b"),)


def test_an_arm_of_several_factors() -> None:
    (lint,) = design_lints(study(("both", {"lr": 0.2, "schedule": "cosine"})))
    assert (lint.code, lint.arm) == ("several-factors", "both")
    assert lint.message.startswith("both changes 2 factors at once (lr, schedule)")


def test_a_primary_metric_without_a_margin() -> None:
    (lint,) = design_lints(study(("a", {"lr": 0.2}), metric=MetricSpec("psnr", "max", primary=True)))
    assert lint.code == "no-margin"


def test_no_baseline() -> None:
    assert "no-baseline" in found([("a", 0, 1.0), ("a", 1, 2.0)])


def test_other_seeds() -> None:
    rows = [("baseline", 0, 1.0), ("baseline", 1, 2.0), ("a", 1, 3.0), ("a", 2, 4.0)]
    message = "a lacks seed 0 and has seed 2 that the baseline lacks: only shared seeds are compared"
    assert found(rows)["other-seeds"] == message


def test_identical_results_of_two_arms() -> None:
    """A schedule that repeats another's formula under a new name gives the very same numbers."""
    rows = [("baseline", 0, 1.0), ("baseline", 1, 2.000317)]
    rows += [(arm, seed, 3.0 + 1.000271 * seed) for arm in ("cosine", "polynomial") for seed in (0, 1)]
    message = "cosine and polynomial give identical results: they are the same experiment"
    assert found(rows)["identical-arms"] == message


def test_identical_results_on_a_metric_with_few_values_are_no_one_experiment() -> None:
    """Success or not, judged once per seed: different arms often agree. With the same recipes they are one."""
    rows = [(arm, seed, float(seed > 0)) for arm in ("baseline", "same") for seed in range(5)]
    assert "coarse" in found(rows)["identical-arms"]
    recipes = [f"recipe of seed {seed}" for _, seed, _ in rows]
    assert found(rows, recipe_digest=recipes)["identical-arms"].endswith("they are the same experiment")


def test_identical_values_in_every_seed() -> None:
    rows = [("baseline", 0, 1.0), ("baseline", 1, 2.0), ("a", 0, 3.0), ("a", 1, 3.0)]
    assert found(rows)["identical-seeds"] == SENTENCES["identical values every seed"]


def test_a_reference_value_is_no_forgotten_seed() -> None:
    """A secondary metric with one value in the whole study is a constant, not a result."""
    frame = pd.DataFrame(
        {"arm": ["baseline", "baseline", "a", "a"], "seed": [0, 1, 0, 1], "psnr": [1.0, 2.0, 3.0, 5.0]}
    )
    bound = MetricSpec("bound", "min")
    same = compare(frame.assign(bound=0.5), metrics=[PSNR, bound])
    other = compare(frame.assign(bound=[0.5, 0.5, 0.6, 0.6]), metrics=[PSNR, bound])
    assert "identical-seeds" not in {lint.code for lint in same.lints}
    assert "identical-seeds" in {lint.code for lint in other.lints}


def test_counts_and_places_of_a_grid_may_be_alike_in_every_seed() -> None:
    """Steps to a quality are tried at few places: the same one in every seed says nothing about the seed."""
    frame = pd.DataFrame(
        {"arm": ["baseline", "baseline", "a", "a"], "seed": [0, 1, 0, 1], "psnr": [1.0, 2.0, 3.0, 5.0]}
    ).assign(steps=[5.0, 5.0, 10.0, 10.0], steps_reached=1.0, steps_limit=50.0, updates=[40.0, 40.0, 80.0, 80.0])
    metrics = [PSNR, MetricSpec("steps", "min", scale="log"), MetricSpec("updates", "min", digits=0)]
    assert "identical-seeds" not in {lint.code for lint in compare(frame, metrics=metrics).lints}


def test_unequal_images_and_unequal_time() -> None:
    rows = [("baseline", 0, 1.0), ("baseline", 1, 2.0), ("a", 0, 1.5), ("a", 1, 3.0)]
    assert found(rows, images_seen=[100, 100, 200, 200])["unequal-compute"].startswith("a takes 2.00 times")
    assert "unequal-compute" in found(rows, seconds=[10.0, 11.0, 14.0, 15.0])
    assert "unequal-compute" not in found(rows, seconds=[10.0, 11.0, 11.0, 12.0])
    assert "unequal-compute" not in found(rows, seconds=[np.nan] * 4)


def test_arms_left_out() -> None:
    frame = pd.DataFrame([("baseline", 0, 1.0), ("a", 0, 1.0), ("b", 0, 2.0)], columns=["arm", "seed", "psnr"])
    lints = compare(frame, metrics=[PSNR], arms=["a"]).lints
    assert "results of b are stored but not compared" in [lint.message for lint in lints]
