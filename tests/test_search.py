"""What a search is and what came of it: candidates from stored replicates, the best, the front."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.outcome import OutcomeKind
from ablate.search import (
    FIRST_SEED,
    Candidate,
    CandidateState,
    Range,
    Search,
    Tried,
    best,
    candidates,
    front,
    is_complete,
    latest_of,
)

LR = Range("lr", 1e-4, 0.1, log=True)
WAYS = Range("prior_lr", 0.001, 0.1, when={"method": ("dip", "dip+ddpm")})


def search(**changed: object) -> Search:
    fields: dict[str, object] = {"name": "search", "ranges": (LR,), "objectives": (("psnr", "max"),), "start": {}}
    return Search(**{**fields, **changed})  # type: ignore[arg-type]  # names are checked there


def tried(number: int, outcome: OutcomeKind | None, value: float | None = None, seed: int = FIRST_SEED) -> Tried:
    metrics = {} if value is None else {"psnr": value}
    return Tried("search", number, seed, {"lr": 0.01 * (number + 1)}, outcome, metrics)


def test_a_search_survives_being_stored() -> None:
    """Also with sorted keys, and with every field away from its default."""
    kept = search(
        ranges=(LR, WAYS, Range("ema", choices=(True, False)), Range("steps", 10, 100, whole=True, step=10)),
        objectives=(("psnr", "max"), ("train_seconds", "min")),
        start={"method": "dip", "lr": 0.1},
        sampler="nsga-ii",
        trials=7,
        seeds=2,
        confirm=False,
    )
    assert Search.from_dict(json.loads(json.dumps(kept.to_dict(), sort_keys=True))) == kept


def test_a_factor_is_searched_only_where_it_matters() -> None:
    assert WAYS.is_active({"method": "dip"})
    assert not WAYS.is_active({"method": "ddpm"})
    assert not WAYS.is_active({})


def test_what_a_search_becomes() -> None:
    assert search().arm == "best of search"
    assert search(confirm=False).arm is None
    assert search(objectives=(("psnr", "max"), ("fid", "min"))).arm is None
    assert search(name="lr=0.1", tunes=True, confirm=False).arm == "lr=0.1"


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([OutcomeKind.MEASURED, OutcomeKind.MEASURED], CandidateState.MEASURED),
        ([OutcomeKind.MEASURED], CandidateState.OPEN),
        ([OutcomeKind.MEASURED, None], CandidateState.OPEN),
        ([OutcomeKind.MEASURED, OutcomeKind.FAILED], CandidateState.OPEN),
        ([OutcomeKind.MEASURED, OutcomeKind.LOST], CandidateState.OPEN),
        ([OutcomeKind.MEASURED, OutcomeKind.DIVERGED], CandidateState.DIVERGED),
        ([OutcomeKind.MEASURED, OutcomeKind.PRUNED], CandidateState.PRUNED),
        ([OutcomeKind.OUT_OF_MEMORY, None], CandidateState.TOO_LARGE),
    ],
)
def test_where_a_candidate_of_two_seeds_is(outcomes: list[OutcomeKind | None], state: CandidateState) -> None:
    found = candidates(
        search(seeds=2),
        [
            tried(0, kind, 1.0 if kind is OutcomeKind.MEASURED else None, FIRST_SEED + n)
            for n, kind in enumerate(outcomes)
        ],
    )
    assert [one.state for one in found] == [state]


def test_a_candidate_is_worth_the_mean_over_its_seeds() -> None:
    (one,) = candidates(
        search(seeds=2), [tried(0, OutcomeKind.MEASURED, value, FIRST_SEED + int(value)) for value in (1, 4)]
    )
    assert one.values == (2.5,)
    assert one.by_seed == {FIRST_SEED + 1: 1, FIRST_SEED + 4: 4}


def test_a_measured_trial_without_the_metric_counts_as_diverged() -> None:
    (one,) = candidates(search(), [tried(0, OutcomeKind.MEASURED)])
    assert (one.state, one.values) == (CandidateState.DIVERGED, None)


def test_only_what_was_measured_can_be_best() -> None:
    found = candidates(
        search(),
        [
            tried(0, OutcomeKind.DIVERGED),
            tried(1, OutcomeKind.MEASURED, 3.0),
            tried(2, OutcomeKind.MEASURED, 3.0),
            tried(3, OutcomeKind.PRUNED),
        ],
    )
    winner = best(search(), found)
    assert winner is not None
    assert winner.number == 1
    lowest = best(search(objectives=(("psnr", "min"),)), [*found, Candidate(9, {}, CandidateState.MEASURED, (2.0,))])
    assert lowest is not None
    assert lowest.number == 9
    assert best(search(), found[:1]) is None


def test_a_search_is_complete_when_every_candidate_has_an_answer() -> None:
    found = candidates(search(trials=2), [tried(0, OutcomeKind.PRUNED), tried(1, OutcomeKind.FAILED)])
    assert not is_complete(search(trials=2), found)
    assert is_complete(search(trials=1), found)


def test_a_later_failure_hides_no_result() -> None:
    rows = [tried(0, OutcomeKind.LOST), tried(0, OutcomeKind.MEASURED, 1.0), tried(0, OutcomeKind.FAILED)]
    assert latest_of(rows) == (rows[1],)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_nothing_on_the_front_is_dominated_and_all_else_is(points: list[tuple[int, int]]) -> None:
    two = search(objectives=(("psnr", "max"), ("seconds", "min")))
    found = [Candidate(n, {}, CandidateState.MEASURED, (float(a), float(b))) for n, (a, b) in enumerate(points)]
    kept = {one.number for one in front(two, found)}

    def beaten(n: int) -> bool:
        a, b = points[n]
        return any(x >= a and y <= b and (x, y) != (a, b) for x, y in points)

    assert kept == {n for n in range(len(points)) if not beaten(n)}
