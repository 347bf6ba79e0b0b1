"""Metrics that the study declares, because its core is a function that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.core.functions.core import function_core
from ablate.errors import Problem, StudyFileError
from ablate.study.reading.declared_metrics import likely_direction
from ablate.study.reading.load_study import load_study
from ablate.study.spec import MetricSpec, Study


def train(*, lr: float = 0.1, seed: int) -> dict[str, float]:
    raise NotImplementedError


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Study]:
    def load_text(metrics: str, **options: Any) -> Study:
        path = tmp_path / "study.yaml"
        path.write_text(f"core: train.py:train\nbaseline: {{}}\nvary: {{lr: [0.2]}}\n{metrics}\n")
        return load_study(path, resolve_core=lambda *_: function_core(train), **options)

    return load_text


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (
            "metrics: {acc: {primary: true, direction: max, margin: 0.5%}, loss: {direction: min, scale: log}}",
            [
                MetricSpec("acc", "max", margin=0.005, relative=True, primary=True),
                MetricSpec("loss", "min", scale="log", relative=True),
            ],
        ),
        (
            "metrics: {acc: max:0.5%, loss: min}",
            [MetricSpec("acc", "max", margin=0.005, relative=True, primary=True), MetricSpec("loss", "min")],
        ),
        (
            "metrics: {t: {direction: min, unit: s, digits: 1, margin: 2}}",
            [MetricSpec("t", "min", margin=2.0, primary=True, unit="s", digits=1)],
        ),
        (
            "metrics: {loss: min:0.1, acc: {direction: max, primary: true, margin: 0.1}}",
            [MetricSpec("loss", "min", margin=0.1), MetricSpec("acc", "max", margin=0.1, primary=True)],
        ),
    ],
)
def test_metrics_are_declared_in_full_or_in_short(
    metrics: str, expected: list[MetricSpec], load: Callable[..., Study]
) -> None:
    study = load(metrics)
    assert list(study.metrics) == expected
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))
    made = function_core(train).made_for(again.core_parameters, None)
    assert [(info.name, info.direction, info.unit) for info in made.metrics] == [
        (spec.name, spec.direction, spec.unit) for spec in expected
    ]


@pytest.mark.parametrize(
    ("metrics", "pointed", "words"),
    [
        ("", "c", "add a section 'metrics'"),
        ("metrics:", "metrics", "which way is better"),
        ("metrics: [acc, val_loss]", "[acc, val_loss]", "write metrics: {acc: max, val_loss: min}"),
        ("metrics: acc", "acc", "write metrics: {acc: max}"),
        ("metrics: {acc: {primary: true}}", "acc", "add direction: max"),
        ("metrics: {thing: }", "thing", "add direction: max, or min"),
        ("metrics: {acc: up}", "up", "expected max or min"),
        ("metrics: {acc: 0.5%}", "0.5%", "expected max or min"),
        ("metrics: {acc: [max]}", "[max]", "expected max or min, got a list"),
        ("metrics: {acc: {direction: up}}", "up", "known: max, min"),
        ("metrics: {acc: {direction: max, digits: 99}}", "99", "0 to 15"),
        ("metrics: {acc: {direction: max, margn: 1}}", "margn", "did you mean 'margin'?"),
        ("metrics: {acc: max:-1}", "max:-1", "above 0"),
        ("metrics: {acc: {direction: max}, loss: {direction: min}}", "metrics", "no primary metric"),
    ],
)
def test_what_is_wrong_is_pointed_at(metrics: str, pointed: str, words: str, load: Callable[..., Study]) -> None:
    with pytest.raises(StudyFileError) as caught:
        load(metrics)
    (problem,) = caught.value.problems
    assert words in f"{problem.message} {problem.suggestion} {problem.note}"
    assert _pointed(problem).startswith(pointed)


def _pointed(problem: Problem) -> str:
    return problem.source_line[problem.column - 1 : problem.column - 1 + problem.length] or problem.source_line


def test_an_override_reaches_a_declared_metric(load: Callable[..., Study]) -> None:
    study = load("metrics: {acc: {direction: max, margin: 0.1}}", overrides=["metrics.acc.margin=0.2"])
    assert study.primary.margin == 0.2


@pytest.mark.parametrize(
    ("name", "direction"),
    [("val_acc", "max"), ("test/loss", "min"), ("MSE", "min"), ("reward", "max"), ("x", None), ("acc_error", None)],
)
def test_a_direction_is_only_ever_suggested(name: str, direction: str | None) -> None:
    assert likely_direction(name) == direction
