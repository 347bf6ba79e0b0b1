"""Replicates and plan: what is to be computed, what is shared, and what may not change under a stored study."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from ablate.errors import AblateError, StudyChangedError
from ablate.interface import Core, Stage
from ablate.outcome import OutcomeKind
from ablate.recipe import Recipe
from ablate.study.changes import check_against_stored
from ablate.study.plan import FactorLevels, StageSharing, make_plan, replicates
from ablate.study.spec import Study

Load = Callable[..., Study]

TEXT = "baseline: {lr: 0.001}\nvary: {lr: [0.01, 0.02], dip_lr: [0.1]}\nseeds: {looks: [3, 5]}\n"


@pytest.fixture
def study(load: Load) -> Study:
    return load(TEXT)


def test_replicates_go_seed_by_seed(study: Study) -> None:
    """All arms of seed 0 come before seed 1, so that a stopped run leaves complete comparisons."""
    keys = [replicate.key for replicate in replicates(study)]
    arms = ["baseline", "lr=0.01", "lr=0.02", "dip_lr=0.1"]
    assert keys == [(arm, seed) for seed in (0, 1, 2) for arm in arms]


def test_every_arm_has_the_same_seeds(study: Study) -> None:
    seeds: dict[str, list[int]] = {}
    for replicate in replicates(study, seeds=4):
        assert replicate.recipe.seed == replicate.seed
        seeds.setdefault(replicate.arm, []).append(replicate.seed)
    assert set(map(tuple, seeds.values())) == {(0, 1, 2, 3)}


def test_recipes_are_those_of_the_arms(study: Study) -> None:
    for replicate in replicates(study):
        arm = next(arm for arm in study.arms if arm.name == replicate.arm)
        assert dict(replicate.recipe.settings) == dict(arm.settings)


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["lr=*"], ["baseline", "lr=0.01", "lr=0.02"]),
        (["*=0.1"], ["baseline", "dip_lr=0.1"]),
        (["dip_lr=0.1", "lr=0.02"], ["baseline", "lr=0.02", "dip_lr=0.1"]),
        (["baseline"], ["baseline"]),
        (["*"], ["baseline", "lr=0.01", "lr=0.02", "dip_lr=0.1"]),
    ],
)
def test_globs_choose_arms_beside_the_baseline(globs: list[str], expected: list[str], study: Study) -> None:
    assert [replicate.arm for replicate in replicates(study, seeds=1, arms=globs)] == expected


def test_a_name_with_brackets_is_a_name_first(load: Load) -> None:
    study = load("baseline: {}\narms: {'a [b]': {lr: 0.1}, a b: {lr: 0.2}}")
    assert [replicate.arm for replicate in replicates(study, seeds=1, arms=["a [b]"])] == ["baseline", "a [b]"]


def test_a_glob_that_matches_nothing_names_the_nearest_arm(study: Study) -> None:
    with pytest.raises(AblateError, match=r"no arm is called 'lr=0\.03'") as caught:
        replicates(study, arms=["lr=0.03"])
    assert caught.value.hint in ("did you mean 'lr=0.01'?", "did you mean 'lr=0.02'?")
    with pytest.raises(AblateError) as caught:
        replicates(study, arms=["q*"])
    assert caught.value.hint == "known: baseline, lr=0.01, lr=0.02, dip_lr=0.1"


def test_no_seeds_is_refused(study: Study) -> None:
    with pytest.raises(AblateError, match="0 seeds per arm"):
        replicates(study, seeds=0)


def test_a_plan_counts_what_is_shared(study: Study, toy: type[Core]) -> None:
    """Arms that differ only in `lr` share the prior, which reads `dip_lr` alone."""
    plan = make_plan(study, toy, replicates(study), {})
    assert (plan.replicates, plan.done, plan.to_run, plan.failed, plan.seeds) == (12, 0, 12, 0, 3)
    assert plan.stages == (
        StageSharing("prior", planned=12, executed=6, planned_cost=120.0, executed_cost=60.0),
        StageSharing("denoiser", planned=12, executed=12, planned_cost=12.0, executed_cost=12.0),
    )
    assert (plan.planned_cost, plan.cost) == (132.0, 72.0)
    assert plan.factors == (FactorLevels("lr", (0.001, 0.01, 0.02), 2), FactorLevels("dip_lr", (0.01, 0.1), 1))
    assert plan.duplicates == 0


def test_what_is_done_is_not_planned_again(study: Study, toy: type[Core]) -> None:
    """Measured and diverged replicates are answered; infrastructure failures run again."""
    results = {
        ("baseline", 0): OutcomeKind.MEASURED,
        ("lr=0.01", 0): OutcomeKind.DIVERGED,
        ("lr=0.02", 0): OutcomeKind.FAILED,
        ("dip_lr=0.1", 0): OutcomeKind.LOST,
        ("gone", 7): OutcomeKind.MEASURED,
    }
    plan = make_plan(study, toy, replicates(study), results)
    assert (plan.done, plan.to_run, plan.failed) == (2, 10, 2)
    assert [one.key for one in plan.todo][:2] == [("lr=0.02", 0), ("dip_lr=0.1", 0)]
    assert not plan.baseline_done


def test_a_measured_trial_has_paid_for_its_stages(study: Study, toy: type[Core]) -> None:
    """A diverged one may have left nothing to share."""
    some = replicates(study, seeds=1, arms=["lr=0.01"])
    for kind, executed in ((OutcomeKind.MEASURED, 0), (OutcomeKind.DIVERGED, 1)):
        plan = make_plan(study, toy, some, {("baseline", 0): kind})
        assert plan.baseline_done
        assert [(stage.name, stage.planned, stage.executed) for stage in plan.stages] == [
            ("prior", 1, executed),
            ("denoiser", 1, 1),
        ]


def test_a_finished_study_costs_nothing(study: Study, toy: type[Core]) -> None:
    all_of_it = replicates(study)
    plan = make_plan(study, toy, all_of_it, {one.key: OutcomeKind.MEASURED for one in all_of_it})
    assert (plan.to_run, plan.cost, plan.stages, plan.baseline_done) == (0, 0, (), True)


def test_a_plan_of_some_arms_counts_only_those(study: Study, toy: type[Core]) -> None:
    plan = make_plan(study, toy, replicates(study, arms=["dip_lr*"]), {})
    assert plan.arms == ("baseline", "dip_lr=0.1")
    assert plan.factors == (FactorLevels("lr", (0.001,), 0), FactorLevels("dip_lr", (0.01, 0.1), 1))


def test_a_plan_is_json(study: Study, toy: type[Core]) -> None:
    plan = make_plan(study, toy, replicates(study, seeds=1), {("baseline", 0): OutcomeKind.MEASURED})
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["schema_version"] == 1
    assert data["to_run"] == len(data["todo"]) == 3
    assert data["factors"][0] == {"name": "lr", "levels": [0.001, 0.01, 0.02], "arms": 2}
    assert set(data["todo"][0]) == {"arm", "seed", "recipe"}


@pytest.mark.parametrize(("budget", "warned"), [("seconds: 71", True), ("seconds: 72", False), ("hours: 1", False)])
def test_a_budget_below_the_cost_is_a_warning(budget: str, warned: bool, load: Load, toy: type[Core]) -> None:
    study = load(TEXT + f"budget: {{{budget}}}")
    warnings = make_plan(study, toy, replicates(study), {}).warnings
    assert [warning.message.startswith("about 72 s of work") for warning in warnings] == [True] * warned


def test_new_arms_seeds_margins_and_words_are_welcome(load: Load) -> None:
    stored = Study.from_dict(load(TEXT).to_dict())
    new = load(
        "question: more of it?\nbaseline: {lr: 0.001}\nvary: {lr: [0.01, 0.02, 0.5], dip_lr: [0.1]}\nseeds: 10\n"
        "metrics: {psnr: {primary: true, margin: 0.7}, train_seconds: {margin: 5%}}"
    )
    check_against_stored(stored, new)


def test_an_arm_that_left_the_file_is_no_change(load: Load) -> None:
    check_against_stored(load(TEXT), load("baseline: {lr: 0.001}\nvary: {lr: [0.01]}"))


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (TEXT.replace("0.001", "0.003"), "baseline: lr was 0.001, now 0.003"),
        (TEXT.replace("{lr: 0.001}", "{lr: 0.001, epochs: 2}"), "baseline: epochs was 10, now 2"),
        ("core: toy\n" + TEXT, "core was ddpm-dip, now toy"),
        (TEXT + "metrics: [ssim, psnr]", "the primary metric was psnr, now ssim"),
        (TEXT + "metrics: {psnr: {direction: min}}", "psnr: direction was max, now min"),
        ("baseline: {lr: 0.001}\narms: {lr=0.01: {lr: 0.05}}", "lr=0.01: lr was 0.01, now 0.05"),
    ],
)
def test_what_would_mix_two_experiments_is_refused(text: str, change: str, load: Load) -> None:
    with pytest.raises(StudyChangedError) as caught:
        check_against_stored(load(TEXT), load(text))
    assert caught.value.message.startswith(f"study 'study' does not match the stored one: {change}")
    assert caught.value.hint is not None
    assert "--name" in caught.value.hint
    assert "--results" in caught.value.hint


def test_settings_may_be_put_right_while_nothing_has_a_result(load: Load) -> None:
    """A first run in which everything failed is no experiment that could be mixed with another."""
    check_against_stored(load(TEXT), load(TEXT.replace("0.001", "0.003")), has_results=False)
    with pytest.raises(StudyChangedError, match="direction was max"):
        check_against_stored(load(TEXT), load(TEXT + "metrics: {psnr: {direction: min}}"), has_results=False)


def test_many_changes_are_counted_not_listed(load: Load) -> None:
    """One line stays one line."""
    with pytest.raises(StudyChangedError, match="; and 1 more"):
        check_against_stored(load(TEXT), load(TEXT.replace("{lr: 0.001}", "{lr: 0.001, epochs: 2}")))


def test_a_setting_of_another_version_of_the_core_is_a_change(load: Load) -> None:
    data = load(TEXT).to_dict()
    for arm in data["arms"]:
        del arm["settings"]["warmup"]
    with pytest.raises(StudyChangedError, match="baseline: warmup was unknown, now true"):
        check_against_stored(Study.from_dict(data), load(TEXT))


def test_a_large_plan_takes_about_a_second(load: Load, toy: type[Core]) -> None:
    """1000 arms with 10 seeds, measured at 0.35 s; the bound only catches a change of order."""
    arms = "".join(f"  number {index}: {{lr: {(index + 1) / 2000}, epochs: {index + 1}}}\n" for index in range(1000))
    study = load(f"baseline: {{lr: 0.9}}\narms:\n{arms}seeds: 10")
    start = time.process_time()
    plan = make_plan(study, toy, replicates(study), {})
    assert plan.to_run == 10_010
    assert time.process_time() - start < 4


def test_the_longest_training_of_a_stage_is_what_is_computed(study: Study) -> None:
    """Shorter ones are its beginning; what a measured trial has computed of it is taken off."""

    class Steps(Core):
        """One stage whose duration is the recipe's seed + 1, the same for all."""

        name = "steps"

        @classmethod
        def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
            return (Stage("training", "same", cost=2.0 * (recipe.seed + 1), steps=10 * (recipe.seed + 1)),)

        def run(self, recipes: object, report: object) -> tuple[()]:
            return ()

    some = replicates(study, seeds=3, arms=["baseline"])
    (fresh,) = make_plan(study, Steps, some, {}).stages
    assert fresh == StageSharing("training", 3, 1, 12.0, 6.0, 60, 30)
    (later,) = make_plan(study, Steps, some, {("baseline", 1): OutcomeKind.MEASURED}).stages
    assert (later.planned_steps, later.executed_steps, later.executed_cost) == (40, 10, 2.0)


@pytest.mark.parametrize("name", ["NA", "None", "nan", "null"])
def test_an_arm_that_pandas_would_lose_is_warned_of(name: str, load: Load, toy: type[Core]) -> None:
    study = load(f"baseline: {{lr: 0.001}}\narms: {{{name!r}: {{lr: 0.01}}, fine: {{lr: 0.02}}}}\nseeds: 3\n")
    found = make_plan(study, toy, replicates(study), {}).warnings
    assert [f"arm's name {name!r}" in warning.message for warning in found].count(True) == 1
