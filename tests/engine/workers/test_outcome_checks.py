"""What a core gives is checked before it counts: each first mistake is one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from ablate.engine.workers.outcome_checks import MetricChecks, outcomes_of
from ablate.errors import CoreError
from ablate.interface import Core, CoreSettings, MetricInfo
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe

ONE, OTHER, STRANGER = (Recipe("toy", {"x": x}, seed) for x, seed in ((1, 0), (1, 1), (2, 0)))


class Toy(Core):
    name = "toy"
    Settings = CoreSettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = (MetricInfo("acc", "max"), MetricInfo("loss", "min"))

    def run(self, recipes: Any, context: Any) -> Any:
        raise NotImplementedError


class Open(Toy):
    more_metrics = True


def outcome(recipe: Recipe = ONE, /, **metrics: float) -> Outcome:
    return Outcome(OutcomeKind.MEASURED, recipe.digest, metrics=metrics or {"acc": 1.0, "loss": 1.0})


def forgot_to_yield() -> Iterator[Any]:
    yield ONE, outcome()
    return [(OTHER, outcome(OTHER))]  # type: ignore[return-value]  # the mistake itself


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: None, "returned nothing"),
        (lambda: {"acc": 1}, "returned a dict"),
        (lambda: outcome(), "returned an Outcome"),
        (lambda: (ONE, outcome()), "returned one pair"),
        (lambda: 0.5, "returned a float"),
        (forgot_to_yield, "is a generator and returned a list"),
        (lambda: [{"acc": 1}], "expected a pair of recipe and outcome"),
        (lambda: [(ONE, {"acc": 1})], "yielded a dict, expected an Outcome"),
        (lambda: [("a", outcome())], "yielded a str, expected a recipe"),
        (lambda: [(ONE, outcome()), (ONE, outcome())], "a second outcome for seed 0"),
        (lambda: [(STRANGER, outcome(STRANGER))], "a recipe it was not asked for"),
        (lambda: [(ONE, outcome(OTHER))], "recipe_digest is of seed 1 of the same batch"),
        (lambda: [(ONE, outcome(STRANGER))], "recipe_digest is of no recipe"),
        (lambda: [(ONE, outcome())], "no outcome for 1 of 2 recipes"),
        (list, "no outcome for 2 of 2 recipes"),
    ],
)
def test_a_mistake_is_one_sentence(given: Callable[[], Any], words: str) -> None:
    with pytest.raises(CoreError) as caught:
        list(outcomes_of(Toy(), [ONE, OTHER], given()))
    assert words in caught.value.message
    assert "run of Toy" in caught.value.message
    assert caught.value.hint or "second" in words or "asked" in words or "str" in words


def test_what_was_given_before_a_mistake_counts() -> None:
    pairs = outcomes_of(Toy(), [ONE, OTHER], [(ONE, outcome()), (ONE, outcome())])
    assert next(pairs) == (ONE, outcome())
    with pytest.raises(CoreError, match="second"):
        next(pairs)


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_pairs_may_come_in_any_order_and_from_any_iterable(make: Callable[[Any], Any]) -> None:
    pairs = [(OTHER, outcome(OTHER)), (ONE, outcome())]
    assert list(outcomes_of(Toy(), [ONE, OTHER], make(pairs))) == pairs


def settled(given: Outcome, core: type[Core] = Toy) -> tuple[Outcome, list[str]]:
    return MetricChecks(core(), ("acc", "loss"), "acc").settled(given)


def test_a_complete_outcome_stays_as_it_is() -> None:
    assert settled(outcome()) == (outcome(), [])


def test_without_the_primary_metric_a_trial_is_failed_and_told_what_there_is() -> None:
    found, _ = settled(outcome(ac=1.0, loss=2.0))
    assert found.kind is OutcomeKind.FAILED
    assert found.error is not None
    assert "'acc'" in found.error
    assert "it gave: ac, loss; did it mean 'ac'?" in found.error


def test_a_primary_metric_that_is_not_finite_is_divergence() -> None:
    found, said = settled(outcome(acc=float("nan"), loss=2.0))
    assert (found.kind, found.error, said) == (OutcomeKind.DIVERGED, "the primary metric 'acc' is nan", [])
    assert found.metrics == {"loss": 2.0}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [({"acc": 1.0, "loss": float("inf")}, "'loss' is inf"), ({"acc": 1.0}, "'loss' was not measured")],
)
def test_another_metric_without_a_value_is_missing_and_said(metrics: dict[str, float], words: str) -> None:
    found, said = settled(outcome(**metrics))
    assert found.kind is OutcomeKind.MEASURED
    assert found.metrics == {"acc": 1.0}
    assert words in found.notes[0]
    assert said == list(found.notes)


def test_what_the_core_itself_says_of_a_missing_metric_is_enough() -> None:
    given = Outcome(OutcomeKind.MEASURED, ONE.digest, metrics={"acc": 1.0}, notes=("loss has no finite value",))
    assert settled(given) == (given, [])


def test_an_undeclared_metric_is_kept_and_said_once() -> None:
    checks = MetricChecks(Toy(), ("acc", "loss"), "acc")
    given = outcome(acc=1.0, loss=1.0, extra=3.0)
    first, said = checks.settled(given)
    assert first.metrics["extra"] == 3.0
    assert len(said) == 1
    assert "'extra'" in said[0]
    assert checks.settled(given) == (given, [])
    assert settled(given, Open) == (given, [])


@pytest.mark.parametrize("kind", [OutcomeKind.DIVERGED, OutcomeKind.FAILED, OutcomeKind.PRUNED])
def test_only_measured_outcomes_need_the_primary_metric(kind: OutcomeKind) -> None:
    found, said = settled(Outcome(kind, ONE.digest, metrics={"loss": float("nan")}, error="why"))
    assert (found.kind, found.error, found.metrics, found.non_finite, said) == (kind, "why", {}, {}, [])
