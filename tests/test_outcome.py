"""An outcome survives as JSON, and holds finite numbers only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_metrics_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="'psnr' is not finite"):
        Outcome(kind=OutcomeKind.MEASURED, recipe_digest="x", metrics={"psnr": value})


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
