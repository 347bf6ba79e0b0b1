"""Lists, mappings and nested models in study files: what is one level, what is several, and what is wrong where."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field

from ablate.errors import Problem, StudyFileError
from ablate.interface import Core, CoreSettings, MetricInfo, TrialContext
from ablate.json_values import plain_settings
from ablate.outcome import Outcome
from ablate.recipe import Recipe
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study


class Schedule(BaseModel):
    gamma: float = Field(default=0.9, gt=0, le=1)
    kind: Literal["step", "cosine"] = "step"


class Optim(BaseModel):
    lr: float = Field(default=0.1, gt=0, le=1)
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Schedule = Schedule()


class Small(BaseModel):
    kind: Literal["small"] = "small"
    width: int = Field(default=4, ge=1)


class RichSettings(CoreSettings):
    layers: list[int] = [32, 32]  # noqa: RUF012 - pydantic copies defaults
    optim: Optim = Optim(lr=0.05)
    options: dict[str, Any] = {"a": 1}  # noqa: RUF012
    net: Small | Schedule = Small()
    width: int | list[int] = 8
    size: Literal[8, 16] = 8
    bounded: list[int] = Field([1], max_length=2)
    free: Any = None
    flag: bool | int = False


class Rich(Core):
    name = "rich"
    Settings = RichSettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = (MetricInfo("loss", "min", margin=0.1),)

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> list[tuple[Recipe, Outcome]]:
        raise NotImplementedError


Load = Callable[..., Study]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str, **options: Any) -> Study:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path, resolve_core=lambda *_: Rich, **options)

    return load_text


@pytest.fixture
def refuse(load: Load) -> Callable[..., list[tuple[str, Problem]]]:
    """Return what each problem points at, and the problem."""

    def refused(text: str, **options: Any) -> list[tuple[str, Problem]]:
        with pytest.raises(StudyFileError) as caught:
            load(text, **options)
        return [(one.source_line[one.column - 1 : one.column - 1 + one.length], one) for one in caught.value.problems]

    return refused


def names(study: Study) -> list[str]:
    return [arm.name for arm in study.arms[1:]]


@pytest.mark.parametrize(
    ("vary", "arms"),
    [
        ("layers: [[64, 64], [128]]", ["layers=[64, 64]", "layers=[128]"]),
        ("layers: [[]]", ["layers=[]"]),
        ("optim.lr: [0.2, 0.3]", ["optim.lr=0.2", "optim.lr=0.3"]),
        ("optim: {lr: [0.2], schedule: {gamma: [0.5]}}", ["optim.lr=0.2", "optim.schedule.gamma=0.5"]),
        ("optim.betas: [[0.5, 0.6]]", ["optim.betas=[0.5, 0.6]"]),
        ("options: [{a: 2}, {}]", ["options={a: 2}", "options={}"]),
        ("options: {a: 2}", ["options={a: 2}"]),
        ("net: [{kind: step, gamma: 0.5}]", ["net={gamma: 0.5, kind: step}"]),
        ("width: [16, [8, 8]]", ["width=16", "width=[8, 8]"]),
        ("size: [16]", ["size=16"]),
        ("flag: [true, 1]", ["flag=true", "flag=1"]),
        (
            "free: [1, 1.5, true, 'off', [a, '1'], {x: [~]}, '']",
            ["free=1", "free=1.5", "free=true", "free=off", 'free=[a, "1"]', "free={x: [null]}", "free="],
        ),
    ],
)
def test_what_stands_under_a_factor_is_a_list_of_its_levels(vary: str, arms: list[str], load: Load) -> None:
    study = load(f"baseline: {{}}\nvary:\n  {vary}\n")
    assert names(study) == arms
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))
    assert again.arms == tuple(type(arm)(**{**vars(arm), "line": 0, "column": 0}) for arm in study.arms)
    assert [again.recipe(arm, 0).digest for arm in again.arms] == [study.recipe(arm, 0).digest for arm in study.arms]


def test_the_type_of_a_setting_decides_what_a_word_in_a_list_means(load: Load) -> None:
    study = load("baseline: {optim.betas: [1, 0.5], free: [1, 010x, yes please, 'no', 1e3]}\nvary: {layers: [[1e1]]}\n")
    settings = plain_settings(study.arms[1].settings)
    assert settings["optim.betas"] == [1.0, 0.5]
    assert isinstance(settings["optim.betas"][0], float)
    assert settings["layers"] == [10]
    assert settings["free"] == [1, "010x", "yes please", "no", 1000.0]


def test_a_list_taken_for_one_level_is_refused_with_the_right_spelling(refuse: Any) -> None:
    ((pointed, problem),) = refuse("baseline: {}\nvary: {layers: [64, 64]}\n")
    assert pointed == "[64, 64]"
    assert "layers: [[64, 64]]" in problem.suggestion


@pytest.mark.parametrize(
    ("text", "pointed", "words"),
    [
        ("layers: [[64, x]]", "x", "whole number"),
        ("layers: [[64, [1]]]", "[1]", "list"),
        ("layers: [{a: 1}]", "{a: 1}", "list[int]"),
        ("layers: 64", "64", "did you mean [64]?"),
        ("bounded: [[1, 2, 3]]", "[1, 2, 3]", "at most 2"),
        ("net: [{kind: small, width: 0}]", "0", "greater than or equal to 1"),
        ("net: [{kind: medium}]", "medium", "small"),
        ("optim.betas: [[0.1]]", "[0.1]", "a list of 2"),
        ("optim: [{lr: 0.1}]", "[{lr: 0.1}]", "optim.lr"),
        ("optim: 3", "3", "optim.lr"),
        ("optim: {lr: [3]}", "3", "out of range"),
        ("optim.lrr: [3]", "optim.lrr", "did you mean 'optim.lr'?"),
        ("gamma: [3]", "gamma", "did you mean 'optim.schedule.gamma'?"),
        ("options.a: [3]", "options.a", "options: {...}"),
        ("options: [3]", "3", "dict[str, Any]"),
        ("size: [9]", "9", "known: 8, 16"),
        ("free: [on]", "on", "write true or 'on'"),
        ("free: [12:30]", "12:30", "write '12:30'"),
        ("free: [{a: [nan]}]", "nan", "finite"),
        ("width: [{a: 1}]", "{a: 1}", "int | list[int]"),
    ],
)
def test_what_is_wrong_inside_a_level_is_pointed_at(text: str, pointed: str, words: str, refuse: Any) -> None:
    found = refuse(f"baseline: {{}}\nvary:\n  {text}\n")
    assert any(place == pointed and words in f"{one.message} {one.suggestion} {one.note}" for place, one in found), (
        found
    )


@pytest.mark.parametrize(
    "text",
    [
        "baseline: {optim.lr: 0.1, optim: {lr: 0.2}}\nvary: {size: [16]}",
        "baseline: {}\nvary: {optim.lr: [0.2], optim: {lr: [0.3]}}",
    ],
)
def test_a_factor_is_given_once_however_it_is_spelt(text: str, refuse: Any) -> None:
    ((pointed, problem),) = refuse(text)
    assert pointed == "lr"
    assert "optim.lr is given twice" in problem.message


def test_levels_that_python_takes_for_one_are_not_combined(refuse: Any) -> None:
    ((_, problem),) = refuse("baseline: {}\ngrid: {flag: [true, 1], size: [16]}\n")
    assert "true and 1 count as one level" in problem.message


@pytest.mark.parametrize(
    ("baseline", "override", "expected"),
    [
        ("{}", "layers=[32,16]", {"layers": (32, 16)}),
        ("{}", "optim.lr=0.3", {"optim.lr": 0.3}),
        ("{optim.lr: 0.2}", "optim.lr=0.3", {"optim.lr": 0.3}),
        ("{optim: {lr: 0.2}}", "optim.lr=0.3", {"optim.lr": 0.3}),
        ("{optim: {lr: 0.2}}", "optim.schedule.gamma=0.5", {"optim.lr": 0.2, "optim.schedule.gamma": 0.5}),
        ("{}", "optim={lr: 0.3}", {"optim.lr": 0.3}),
        ("{options: {a: 1, b: 2}}", "options.a=3", {"options": {"a": 3, "b": 2}}),
        ("{}", "options={c: [1]}", {"options": {"c": (1,)}}),
        ("{}", "baseline.optim.lr=0.3", {"optim.lr": 0.3}),
    ],
)
def test_an_override_reaches_into_lists_mappings_and_models(
    baseline: str, override: str, expected: dict[str, Any], load: Load
) -> None:
    study = load(f"baseline: {baseline}\nvary: {{size: [16]}}\n", overrides=[override])
    assert study.baseline.levels == expected


def test_an_override_replaces_the_levels_of_a_dotted_factor(load: Load) -> None:
    study = load("baseline: {}\nvary: {optim.lr: [0.2]}\n", overrides=["vary.optim.lr=[0.3, 0.4]", "vary.layers=[[1]]"])
    assert names(study) == ["optim.lr=0.3", "optim.lr=0.4", "layers=[1]"]


def test_an_override_never_drops_keys_that_the_core_has(refuse: Any) -> None:
    """``options.a`` alone would silently lose the other keys of the core's default."""
    ((_, problem),) = refuse("baseline: {}\nvary: {size: [16]}\n", overrides=["options.a=3"])
    assert "options: {...}" in problem.suggestion


def test_other_designs_take_lists_mappings_and_models(load: Load) -> None:
    study = load(
        "baseline: {layers: [32, 32]}\n"
        "arms: {big: {layers: [64], optim: {lr: 0.2}}}\n"
        "grid: {layers: [[32, 32], [16]], optim.lr: [0.05, 0.3]}\n"
        "leave-one-out: {deep: {layers: [8]}, opts: {options: {}}}\n"
        "path: {layers: [128], more: {size: 16}, optim: {lr: 0.4}, options: {b: 1}}\n"
        "factorial: {width: [[9]], size: 16}\n"
    )
    assert names(study) == [
        "big",
        "layers=[32, 32], optim.lr=0.3",
        "layers=[16], optim.lr=0.05",
        "layers=[16], optim.lr=0.3",
        "without deep",
        "without opts",
        "without all",
        "layers=[128]",
        "layers=[128] + more",
        "layers=[128] + more + optim",
        "layers=[128] + more + optim + options={b: 1}",
        "width=8, size=16",
        "width=[9], size=8",
        "width=[9], size=16",
    ]
    assert plain_settings(study.arms[1].settings)["optim.lr"] == 0.2


def test_a_search_chooses_among_lists(load: Load) -> None:
    study = load("baseline: {}\nsearch: {factors: {layers: [[8], [16, 16]], optim: {lr: {from: 0.01, to: 0.1}}}}\n")
    (search,) = study.searches
    assert [one.factor for one in search.ranges] == ["layers", "optim.lr"]
    assert search.ranges[0].choices == ((8,), (16, 16))
    assert Study.from_dict(json.loads(json.dumps(study.to_dict()))).searches == study.searches


def test_the_factors_of_a_study_are_in_the_order_of_the_settings(load: Load) -> None:
    study = load("baseline: {size: 16}\nvary: {free: [1], optim.schedule.gamma: [0.1], layers: [[1]]}\n")
    assert study.factors == ("size", "layers", "optim.schedule.gamma", "free")


def test_an_arm_that_resolves_to_the_baseline_is_refused(refuse: Any) -> None:
    """A mapping that states a default of its model is the baseline in other words."""
    ((_, problem),) = refuse("baseline: {}\nvary: {net: [{kind: small, width: 4}, {kind: small}]}\n")[:1]
    assert "baseline" in problem.message
