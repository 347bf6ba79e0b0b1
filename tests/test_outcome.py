"""An outcome survives as JSON, and holds finite numbers only."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import CoreError
from ablate.outcome import Outcome, OutcomeKind

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=12)


@given(
    kind=st.sampled_from(OutcomeKind),
    metrics=st.dictionaries(names, finite, max_size=5),
    seconds=st.floats(0, 1e9),
    images=st.integers(0, 10**12),
    error=st.none() | st.text(max_size=50),
    reused=st.dictionaries(names, st.floats(0, 1e9), max_size=3),
    notes=st.lists(st.text(max_size=20), max_size=3),
)
def test_json_round_trip_is_identity(
    kind: OutcomeKind,
    metrics: dict[str, float],
    seconds: float,
    images: int,
    error: str | None,
    reused: dict[str, float],
    notes: list[str],
) -> None:
    outcome = Outcome(
        kind=kind,
        recipe_digest="0" * 64,
        metrics=metrics,
        seconds=seconds,
        images_seen=images,
        error=error,
        reused=reused,
        notes=tuple(notes),
    )
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf"), np.array(np.nan)])
def test_metrics_that_are_not_finite_are_set_apart(value: float) -> None:
    outcome = Outcome(kind=OutcomeKind.MEASURED, recipe_digest="x", metrics={"psnr": value, "ssim": 1})
    assert outcome.metrics == {"ssim": 1.0}
    assert list(outcome.non_finite) == ["psnr"]
    assert "psnr" not in json.dumps(outcome.to_dict(), allow_nan=False)


def test_a_file_with_a_metric_that_is_not_finite_is_damaged() -> None:
    data = Outcome(kind=OutcomeKind.MEASURED, recipe_digest="x").to_dict()
    with pytest.raises(ValueError, match="'psnr' is not finite"):
        Outcome.from_dict({**data, "metrics": {"psnr": float("nan")}})


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        np.float32(2),
        np.int64(2),
        np.array(2),
        torch.tensor(2),
        torch.tensor(2.0, requires_grad=True),
        torch.tensor(2.0, dtype=torch.bfloat16),
        Fraction(4, 2),
        Decimal(2),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
def test_one_number_of_any_kind_is_a_metric(value: Any) -> None:
    outcome = Outcome(
        OutcomeKind.MEASURED, "x", metrics={"score": value}, seconds=value, images_seen=value, reused={"prior": value}
    )
    assert type(outcome.metrics["score"]) is float
    assert (outcome.metrics["score"], outcome.seconds, outcome.images_seen) == (2.0, 2.0, 2)
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


def test_a_truth_value_counts_as_one_or_zero() -> None:
    outcome = Outcome(OutcomeKind.MEASURED, "x", metrics={"solved": True, "failed": np.bool_(False)})  # type: ignore[dict-item]
    assert outcome.metrics == {"solved": 1.0, "failed": 0.0}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ("0.5", "the str '0.5'"),
        (np.ones(3), "numpy.ndarray of shape (3,)"),
        (torch.ones(1), "torch.Tensor of shape (1,)"),
        ([0.5], "the list [0.5]"),
        (1 + 2j, "complex"),
        (np.str_("a"), "numpy.str_"),
        (object, "type"),
    ],
    ids=str,
)
def test_what_is_no_number_is_named(value: Any, words: str) -> None:
    with pytest.raises(CoreError, match="metric 'score' is") as caught:
        Outcome(OutcomeKind.MEASURED, "x", metrics={"score": value})
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "fine"}, "kind"),
        ({"metrics": [("a", 1)]}, "metrics"),
        ({"seconds": None}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"images_seen": -1}, "images_seen"),
        ({"images_seen": 1.5}, "images_seen"),
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(CoreError, match=words):
        Outcome(**{"kind": "measured", "recipe_digest": "x", **wrong})


def test_only_measured_diverged_and_pruned_answer_a_replicate() -> None:
    assert {kind for kind in OutcomeKind if kind.is_result} == {
        OutcomeKind.MEASURED,
        OutcomeKind.DIVERGED,
        OutcomeKind.PRUNED,
    }


def test_an_outcome_of_another_schema_is_refused() -> None:
    data = Outcome(kind=OutcomeKind.MEASURED, recipe_digest="x").to_dict()
    with pytest.raises(ValueError, match="outcome schema 99"):
        Outcome.from_dict({**data, "schema_version": 99})


@pytest.mark.parametrize("missing", ["kind", "metrics", "recipe_digest"])
def test_an_incomplete_outcome_is_refused(missing: str) -> None:
    data = Outcome(kind=OutcomeKind.MEASURED, recipe_digest="x").to_dict()
    del data[missing]
    with pytest.raises(KeyError):
        Outcome.from_dict(data)
