"""Calling a function as a core: what it is given, and what of its result counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

import ablate
from ablate.core.functions.core import function_core
from ablate.errors import AblateError, CoreError, StoppedError
from ablate.interface import DECLARED_METRICS, MetricInfo
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe


class Context:
    """What a function may see of the engine, and what it said."""

    study, device, threads, wanted = "widths", "cpu", 2, frozenset({"acc"})
    checkpoint_due = False

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []
        self.said: list[Any] = []
        self._folder = folder
        self._stop_after = stop_after

    @property
    def stop_requested(self) -> bool:
        return self._stop_after is not None and len(self.points) >= self._stop_after

    def arm(self, recipe: Recipe) -> str:
        return f"arm of {recipe.seed}"

    def seed_index(self, recipe: Recipe) -> int:
        return recipe.seed - 100

    def folder(self, recipe: Recipe) -> Path:
        return self._folder

    def curve(self, recipe: Recipe, images: int, **values: float) -> None:
        self.points.append((images, values))

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        self.said.append((stage, done, total, numbers))

    def log(self, recipe: Recipe, text: str) -> None:
        self.said.append(text)

    def checkpointed(self) -> None:
        self.said.append("saved")


class Optimizer(BaseModel):
    lr: float = 0.1


LAYERS, OPT = [8], Optimizer()


def run(function: Callable[..., Any], tmp_path: Path, context: Context | None = None, **settings: Any) -> Outcome:
    """Compute one recipe."""
    core = function_core(function, {"acc": "max"})
    recipe = Recipe("f", {**core.Settings().resolved(), **settings}, 101)
    ((given, outcome),) = core().run([recipe], context or Context(tmp_path))  # type: ignore[arg-type]
    assert given is recipe
    return outcome


def test_a_function_is_given_its_settings_as_they_are_declared(tmp_path: Path) -> None:
    found: dict[str, Any] = {}

    def train(*, layers: list[int] = LAYERS, opt: Optimizer = OPT, pair: tuple[int, int] = (1, 2), seed: int) -> Any:
        found.update(layers=layers, opt=opt, pair=pair, seed=seed)
        return {"acc": np.float32(0.5), "size": 3}

    changed: dict[str, Any] = {"layers": [1, 2], "opt.lr": 0.3}
    outcome = run(train, tmp_path, **changed)
    assert found == {"layers": [1, 2], "opt": Optimizer(lr=0.3), "pair": (1, 2), "seed": 101}
    assert (outcome.kind, outcome.metrics) == (OutcomeKind.MEASURED, {"acc": 0.5, "size": 3.0})


def test_the_trial_says_where_it_is_and_takes_reports_without_a_recipe(tmp_path: Path) -> None:
    found: list[Any] = []

    def train(*, lr: float = 0.1, trial: ablate.Trial) -> dict[str, float]:
        found.extend([trial.study, trial.arm, trial.seed, trial.seed_index, trial.device, trial.threads, trial.folder])
        found.extend([trial.wanted, dict(trial.settings), trial.stop_requested, trial.checkpoint_due])
        trial.progress(1, loss=0.5)
        trial.progress(2, 10, stage="late")
        trial.curve(5, acc=0.25)
        trial.log("hello")
        trial.checkpointed()
        return {"acc": 1.0}

    context = Context(tmp_path)
    run(train, tmp_path, context)
    assert found[:7] == ["widths", "arm of 101", 101, 1, "cpu", 2, tmp_path]
    assert found[7:] == [frozenset({"acc"}), {"lr": 0.1}, False, False]
    assert context.said == [("training", 1, 0, {"loss": 0.5}), ("late", 2, 10, {}), "hello", "saved"]
    assert context.points == [(5, {"acc": 0.25})]


def learning(*, lr: float = 0.1, seed: int) -> Iterator[dict[str, float]]:
    yield {"acc": 0.1}
    yield {"acc": 0.2}
    yield {"step": 10, "acc": 0.3}
    yield {"acc": 0.4}
    return {"acc": 0.5}  # type: ignore[return-value]  # a generator's, which Iterator does not say


def test_a_generator_yields_its_learning_curve_and_returns_its_metrics(tmp_path: Path) -> None:
    context = Context(tmp_path)
    assert run(learning, tmp_path, context).metrics == {"acc": 0.5}
    assert context.points == [(1, {"acc": 0.1}), (2, {"acc": 0.2}), (10, {"acc": 0.3}), (11, {"acc": 0.4})]
    assert [one[1] for one in context.said] == [1, 2, 10, 11]


def test_a_generator_is_stopped_between_two_points(tmp_path: Path) -> None:
    closed = []

    def careful(*, lr: float = 0.1, seed: int) -> Iterator[dict[str, float]]:
        try:
            yield from learning(lr=lr, seed=seed)
        finally:
            closed.append(True)
        return {"acc": 0.5}  # type: ignore[return-value]  # never reached

    context = Context(tmp_path, stop_after=2)
    with pytest.raises(StoppedError):
        run(careful, tmp_path, context)
    assert len(context.points) == 2
    assert closed == [True]


def test_one_number_is_the_one_metric(tmp_path: Path) -> None:
    assert run(lambda lr=0.1, *, seed: lr, tmp_path).metrics == {"acc": 0.1}


def test_an_outcome_of_its_own_counts_as_it_is(tmp_path: Path) -> None:
    def train(*, lr: float = 0.1, seed: int) -> Outcome:
        return Outcome(OutcomeKind.DIVERGED, "digest", error="why")

    assert run(train, tmp_path) == Outcome(OutcomeKind.DIVERGED, "digest", error="why")


def yields_a_number(*, lr: float = 0.1, seed: int) -> Iterator[float]:
    yield 0.5


def forgets_its_metrics(*, lr: float = 0.1, seed: int) -> Iterator[dict[str, float]]:
    yield {"acc": 0.5}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda lr=0.1, *, seed: None, "returned nothing, expected a dict of metrics"),
        (lambda lr=0.1, *, seed: "0.5", "returned a str"),
        (lambda lr=0.1, *, seed: [0.5], "returned a list"),
        (lambda lr=0.1, *, seed: {"acc": None}, "metric 'acc' is None"),
        (lambda lr=0.1, *, seed: np.ones(3), "of shape (3,)"),
        (yields_a_number, "yielded a float, expected dicts"),
        (forgets_its_metrics, "(what it yields is its learning curve)"),
    ],
)
def test_what_is_no_result_is_one_sentence(function: Callable[..., Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(CoreError) as caught:
        run(function, tmp_path)
    assert words in caught.value.message


def test_metrics_are_the_functions_own_or_the_studys() -> None:
    own = function_core(learning, {"acc": "max", "loss": MetricInfo("", "min", unit="nats")})
    assert own.metrics == (MetricInfo("acc", "max"), MetricInfo("loss", "min", unit="nats"))
    assert not own.metrics_from_study
    open_core = function_core(learning)
    assert (open_core.metrics, open_core.metrics_from_study) == ((), True)
    declared = {DECLARED_METRICS: [dict(vars(MetricInfo("loss", "min", digits=5)))]}
    made = open_core.made_for(declared, None)
    assert made.metrics == (MetricInfo("loss", "min", digits=5),)
    assert made.Settings is open_core.Settings
    assert open_core.made_for({}, None) is open_core


def test_a_direction_that_is_no_word_is_refused() -> None:
    with pytest.raises(AblateError, match="metric 'acc' is 'up'"):
        function_core(learning, {"acc": "up"})  # type: ignore[dict-item]
