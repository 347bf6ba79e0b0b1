"""Study files that are right: what becomes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.errors import AblateError, StudyFileError
from ablate.interface import Core
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Arm, Study
from ablate.study.verdict_method import Method
from tests.sentences import SENTENCES

Load = Callable[..., Study]

FULL = """\
question: Does the noise schedule matter?
core: toy
baseline: {method: dip+ddpm, noise_schedule: linear, lr: 1e-3}
vary:
  noise_schedule: [exponential, cosine]
  dip_lr: 0.02
arms:
  both lr 0.01: {lr: 1e-2, dip_lr: 0.05}
seeds: {looks: [3, 5, 10]}
metrics:
  psnr: {primary: true, margin: 0.1}
  fid: {margin: 2%}
alpha: 0.01
report: {noise: pooled, correct: none}
budget: {hours: 2}
"""


def levels(study: Study) -> dict[str, dict[str, object]]:
    return {arm.name: dict(arm.levels) for arm in study.arms}


def test_a_whole_study_file(load: Load) -> None:
    study = load(FULL, "schedules.yaml")
    assert (study.name, study.core, study.question) == ("schedules", "toy", "Does the noise schedule matter?")
    assert levels(study) == {
        "baseline": {"method": "dip+ddpm", "noise_schedule": "linear", "lr": 0.001},
        "noise_schedule=exponential": {"noise_schedule": "exponential"},
        "noise_schedule=cosine": {"noise_schedule": "cosine"},
        "dip_lr=0.02": {"dip_lr": 0.02},
        "both lr 0.01": {"lr": 0.01, "dip_lr": 0.05},
    }
    assert study.factors == ("method", "noise_schedule", "lr", "dip_lr")
    assert (study.looks, study.seeds, study.alpha) == ((3, 5, 10), 3, 0.01)
    assert [(metric.name, metric.primary, metric.margin, metric.relative) for metric in study.metrics] == [
        ("psnr", True, 0.1, False),
        ("fid", False, 0.02, True),
    ]
    assert study.method == Method("paired", "pooled", "none", "none")
    assert study.budget == {"hours": 2.0}
    assert study.design == "vary+arms"
    assert study.text == FULL
    assert study.warnings == ()


def test_arms_know_their_place_and_their_factor(load: Load) -> None:
    arms = {arm.name: arm for arm in load(FULL).arms}
    assert (arms["baseline"].line, arms["baseline"].column, arms["baseline"].factor) == (3, 1, None)
    cosine = arms["noise_schedule=cosine"]
    assert (cosine.line, cosine.column, cosine.factor) == (5, 33, "noise_schedule")
    assert (arms["both lr 0.01"].line, arms["both lr 0.01"].column, arms["both lr 0.01"].factor) == (8, 3, None)


def test_settings_are_complete(load: Load) -> None:
    """Every setting of the core is in every arm, defaults included."""
    study = load(FULL)
    assert {len(arm.settings) for arm in study.arms} == {12}
    assert study.baseline.settings["batch_size"] == 64


def test_the_way_a_number_is_written_does_not_matter(load: Load) -> None:
    """``1e-3`` and ``0.001`` give one recipe."""
    one, other = (load(f"baseline: {{lr: {text}}}\nvary: {{epochs: [20]}}") for text in ("1e-3", "0.001"))
    assert one.recipe(one.baseline, 0).digest == other.recipe(other.baseline, 0).digest


def test_a_study_survives_its_json(load: Load) -> None:
    """All but positions and warnings is kept."""
    study = load(FULL)
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))

    def placeless(arms: tuple[Arm, ...]) -> Iterator[tuple[object, ...]]:
        return ((arm.name, dict(arm.levels), dict(arm.settings), arm.factor) for arm in arms)

    assert again.to_dict() == study.to_dict()
    assert list(placeless(again.arms)) == list(placeless(study.arms))
    assert again.metrics == study.metrics
    assert [again.recipe(arm, 3).digest for arm in again.arms] == [study.recipe(arm, 3).digest for arm in study.arms]


def test_what_is_not_stated_has_a_default(load: Load) -> None:
    """Only a baseline and a design are needed; the metrics are those with a suggested margin, the first decides."""
    study = load("baseline: {}\nvary: {lr: [0.01]}")
    assert (study.question, study.core, study.looks, study.alpha, study.budget) == ("", "ddpm-dip", (5,), 0.05, {})
    assert [(metric.name, metric.margin, metric.primary) for metric in study.metrics] == [
        ("psnr", 0.1, True),
        ("ssim", 0.005, False),
        ("fid", 0.02, False),
    ]
    assert study.factors == ("lr",)


def test_data_at_the_top_is_a_level_of_the_baseline(load: Load) -> None:
    study = load("data: cifar10\nbaseline: {lr: 0.01}\nvary: {epochs: [20]}")
    assert study.baseline.levels == {"data": "cifar10", "lr": 0.01}
    assert {arm.settings["data"] for arm in study.arms} == {"cifar10"}


def test_a_name_may_be_a_word_that_yaml_takes_for_a_truth_value(load: Load) -> None:
    study = load("baseline: {}\nvary: {method: [off]}")
    assert study.arms[1].name == "method=off"


def test_an_arm_states_only_what_it_changes(load: Load) -> None:
    """A level that repeats the baseline's is no change."""
    study = load("baseline: {lr: 0.01}\narms: {same lr: {lr: 1e-2, epochs: 20}}")
    assert study.arms[1].levels == {"epochs": 20}


def test_a_byte_order_mark_does_no_harm(load: Load) -> None:
    study = load(b"\xef\xbb\xbfbaseline: {}\nvary: {lr: [0.01]}")
    assert (study.baseline.line, study.baseline.column) == (1, 1)


def test_aliases_are_followed(load: Load) -> None:
    study = load("baseline: {}\narms:\n  a: &slow {lr: 0.0001}\nvary: {lr: [0.01]}\ngrid: {epochs: &e [5, 20]}\n")
    assert [arm.name for arm in study.arms] == ["baseline", "a", "lr=0.01", "epochs=5", "epochs=20"]


def test_warnings_stand_at_their_arm(load: Load) -> None:
    """What the core finds doubtful is said once per text, with the arms it concerns."""
    study = load("baseline: {}\nvary: {lr: [0.2], batch_size: [4]}\narms: {tiny: {batch_size: 2}}")
    assert [(warning.message, warning.line, warning.column, warning.note) for warning in study.warnings] == [
        ("lr 0.2 may diverge", 2, 13, "arm: lr=0.2"),
        ("small batches are slow", 2, 32, "arms: batch_size=4, tiny"),
    ]
    assert {warning.severity for warning in study.warnings} == {"warning"}


def test_a_doubtful_baseline_is_said_once(load: Load) -> None:
    study = load("baseline: {batch_size: 4}\nvary: {lr: [0.01, 0.02]}")
    assert [(warning.line, warning.column, warning.note) for warning in study.warnings] == [(1, 1, None)]


def test_one_seed_is_allowed_with_a_warning(load: Load) -> None:
    study = load("baseline: {}\nvary: {lr: [0.01]}\nseeds: 1")
    assert study.looks == (1,)
    assert [warning.message for warning in study.warnings] == ["with one seed no verdict is possible"]


def test_the_name_can_be_given(load: Load) -> None:
    assert load("baseline: {}\nvary: {lr: [0.01]}", name="again").name == "again"


def test_the_core_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    """The resolver gets the name as written and the folder of the file."""
    asked: list[tuple[str, Path]] = []

    def refuse_all(name: str, folder: Path) -> type[Core]:
        asked.append((name, folder))
        raise AblateError("not here")

    path = tmp_path / "mine.yaml"
    path.write_text("core: my_module:MyCore\nbaseline: {}\nvary: {lr: [0.01]}")
    with pytest.raises(StudyFileError):
        load_study(path, resolve_core=refuse_all)
    assert asked == [("my_module:MyCore", tmp_path)]


def test_thousand_arms_load_in_about_a_second(load: Load) -> None:
    """Measured at 0.25 s; the bound only catches a change of order."""
    arms = "".join(f"  number {index}: {{lr: {(index + 1) / 2000}, epochs: {index + 1}}}\n" for index in range(1000))
    start = time.process_time()
    study = load(f"baseline: {{lr: 0.9}}\narms:\n{arms}")
    assert len(study.arms) == 1001
    assert time.process_time() - start < 3


def test_the_method_travels_with_the_study_and_may_be_overridden(load: Load) -> None:
    study = load(FULL, overrides=("report.correct=bh",))
    assert study.method == Method("paired", "pooled", "bh", "bh")
    assert Study.from_dict(json.loads(json.dumps(study.to_dict()))).method == study.method
    older = {key: value for key, value in study.to_dict().items() if key != "method"}
    assert Study.from_dict(older).method == Method(equivalence="none", boundaries="split", futility=0.0)


def test_looks_say_how_they_share_alpha_and_when_an_arm_is_stopped(load: Load) -> None:
    text = FULL.replace("[3, 5, 10]}", "[3, 5, 10], boundaries: split, futility: 0.02}")
    assert (load(FULL).method.boundaries, load(FULL).method.futility) == ("spending", 0.1)
    assert (load(text).method.boundaries, load(text).method.futility) == ("split", 0.02)
    assert load(FULL).left_open == {"boundaries", "futility"} | {"equivalence"}
    assert load(text).left_open == {"equivalence"}


def test_a_study_that_was_run_before_keeps_its_rules_unless_its_file_states_others(load: Load) -> None:
    """A default that came later is no change of the plan; a word that the file states is."""
    before = Method("paired", "pooled", "none", equivalence="none", boundaries="split", futility=0.0)
    assert load(FULL).keeping(before).method == before
    stated = load(FULL.replace("[3, 5, 10]}", "[3, 5, 10], boundaries: spending}"))
    assert stated.keeping(before).method == replace(before, boundaries="spending")


def test_sign_flips_with_too_few_seeds_are_warned_about(load: Load) -> None:
    few = "baseline: {}\nvary: {epochs: [20]}\nseeds: {looks: [3, 10]}\nreport:\n  test: permutation\n"
    (warning,) = load(few).warnings
    assert (warning.line, warning.column, warning.source_line) == (5, 9, "  test: permutation")
    assert warning.message == SENTENCES["sign flips too few"]
    assert load(few.replace("[3, 10]", "[6, 10]")).warnings == ()
