"""Suggestions and pruning: functions of what was tried, and of nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ablate.json_values import JsonValue
from ablate.search import FIRST_SEED, SAMPLERS, Candidate, CandidateState, Range, Search
from ablate.storage.prune import CurvePruner, worse_by_seeds
from ablate.storage.suggest import suggest

RANGES = (
    Range("lr", 1e-4, 0.1, log=True),
    Range("steps", 10, 100, whole=True, step=10),
    Range("method", choices=("plain", "momentum")),
    Range("beta", 0.0, 1.0, when={"method": ("momentum",)}),
)


def search(sampler: str = "tpe", **changed: object) -> Search:
    two = sampler == "nsga-ii"
    objectives = (("psnr", "max"), ("seconds", "min")) if two else (("psnr", "max"),)
    fields: dict[str, object] = {"ranges": RANGES, "objectives": objectives, "start": {}, "trials": 12}
    return Search("search", sampler=sampler, **{**fields, **changed})  # type: ignore[arg-type]  # checked there


def score(levels: dict[str, JsonValue]) -> float:
    lr, steps = levels["lr"], levels["steps"]
    assert isinstance(lr, float)
    assert isinstance(steps, int)
    return -((math.log10(lr) + 2) ** 2) - ((steps - 60) / 50) ** 2


def run(one: Search, count: int, before: Sequence[Candidate] = ()) -> list[Candidate]:
    """Try candidates one after the other, after those `before`, until there are `count`; large steps diverge."""
    found = list(before)
    for number in range(len(found), count):
        levels = suggest(one, number, found)
        values = (score(levels), 1.0)[: len(one.objectives)]
        diverged = levels["lr"] > 0.08  # type: ignore[operator]  # a float
        state = CandidateState.DIVERGED if diverged else CandidateState.MEASURED
        found.append(Candidate(number, levels, state, None if diverged else values))
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_past_gives_the_same_suggestion(sampler: str) -> None:
    """Bit for bit, so that a search that was killed goes on as if it had not been."""
    if sampler == "cma-es":
        pytest.importorskip("cmaes")
    one = search(sampler)
    found = run(one, 8)
    for number in (0, 3, 7):
        assert suggest(one, number, found[:number]) == found[number].levels
    assert len({tuple(candidate.levels.items()) for candidate in found}) == 8


def extended(sampler: str, first: int, then: int) -> tuple[list[Candidate], list[Candidate]]:
    """The candidates of a search of `first` trials extended to `then`, and those of one planned that long at once."""
    found = run(search(sampler, trials=first), first)
    longer = search(sampler, trials=then)
    return run(longer, then, found), run(longer, then)


@pytest.mark.parametrize("sampler", ["random", "qmc", "cma-es"])
def test_an_extended_search_is_the_one_that_was_planned_longer(sampler: str) -> None:
    if sampler == "cma-es":
        pytest.importorskip("cmaes")
    assert len({tuple(map(str, found)) for found in extended(sampler, 6, 12)}) == 1


@pytest.mark.parametrize(
    ("sampler", "first", "then", "alike"), [("tpe", 6, 12, 2), ("gp", 6, 12, 2), ("nsga-ii", 20, 30, 4)]
)
def test_an_extended_search_that_models_keeps_its_candidates_and_is_another(
    sampler: str, first: int, then: int, alike: int
) -> None:
    """A quarter of the planned trials is drawn at random: one of 6 that are planned is modelled, of 12 it is not."""
    grown, whole = extended(sampler, first, then)
    assert grown[:first] == run(search(sampler, trials=first), first)
    assert [one.levels for one in grown[:alike]] == [one.levels for one in whole[:alike]]
    assert [one.levels for one in grown[:first]] != [one.levels for one in whole[:first]]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_suggestions_stay_in_their_ranges_and_apply(sampler: str) -> None:
    if sampler == "cma-es":
        pytest.importorskip("cmaes")
    for candidate in run(search(sampler), 6):
        levels = candidate.levels
        assert 1e-4 <= levels["lr"] <= 0.1  # type: ignore[operator]  # a float
        assert levels["steps"] in range(10, 101, 10)
        assert ("beta" in levels) == (levels["method"] == "momentum")


def test_a_refused_suggestion_is_followed_by_another() -> None:
    assert suggest(search(), 0, []) != suggest(search(), 0, [], again=1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_was_found_decides_what_is_tried_next(sampler: str) -> None:
    """Samplers that number generations too: they forget nothing between two suggestions. Two samplers never listen."""
    if sampler == "cma-es":
        pytest.importorskip("cmaes")
    one = search(sampler, trials=24)
    found = run(one, 24)
    against = [
        replace(candidate, values=None if candidate.values is None else tuple(-value for value in candidate.values))
        for candidate in found
    ]
    same = suggest(one, 24, found) == suggest(one, 24, against)
    assert same == (sampler in ("random", "qmc"))


def test_tpe_finds_more_than_chance() -> None:
    """On the same budget, over several searches that differ in their seeds."""
    best: dict[str, list[float]] = {"tpe": [], "random": []}
    for sampler, values in best.items():
        for name in ("a", "b", "c"):
            one = Search(name, RANGES, (("psnr", "max"),), {}, sampler=sampler, trials=30)
            values.append(max(score(dict(candidate.levels)) for candidate in run(one, 30)))
    assert sum(best["tpe"]) > sum(best["random"])


def test_open_candidates_do_not_stop_a_search() -> None:
    """With several slots a suggestion is made while others run."""
    one = search()
    found = run(one, 4)
    found[2] = Candidate(2, found[2].levels, CandidateState.OPEN, None)
    found[3] = Candidate(3, found[3].levels, CandidateState.PRUNED, None, curve=((10, 1.0), (20, 2.0)))
    assert suggest(one, 6, found) == suggest(one, 6, found)


@pytest.mark.parametrize("pruner", ["asha", "hyperband", "median"])
def test_a_curve_that_cannot_win_is_given_up_and_a_good_one_is_not(pruner: str) -> None:
    one = search(pruner=pruner)
    good = [
        Candidate(
            n, {}, CandidateState.MEASURED, (20.0 + n,), curve=tuple((10 * s, 10.0 + s + n) for s in range(1, 11))
        )
        for n in range(8)
    ]
    watch = CurvePruner(one, good)
    assert any(watch.observe(8, 10 * step, 1.0 + step / 100) for step in range(1, 11))
    again = CurvePruner(one, good)
    assert not any(again.observe(9, 10 * step, 40.0 + step) for step in range(1, 11))


def test_a_point_seen_twice_is_one_point() -> None:
    """A trial that goes on from its checkpoint tells its curve once more."""
    watch = CurvePruner(search(pruner="median"), [])
    assert not watch.observe(0, 10, 1.0)
    assert not watch.observe(0, 10, -50.0)
    assert not watch.observe(0, 20, math.nan)


def test_seeds_tell_a_worse_candidate() -> None:
    one = search(pruner="wilcoxon", seeds=8)
    best = Candidate(0, {}, CandidateState.MEASURED, (20.0,), {FIRST_SEED + n: 20.0 + n / 10 for n in range(8)})
    worse = Candidate(1, {}, CandidateState.OPEN, None, {FIRST_SEED + n: 10.0 + n / 7 for n in range(5)})
    alike = Candidate(2, {}, CandidateState.OPEN, None, {FIRST_SEED + n: 20.0 + (-1) ** n for n in range(5)})
    assert worse_by_seeds(one, 1, [best, worse])
    assert not worse_by_seeds(one, 2, [best, alike])
    assert not worse_by_seeds(one, 1, [worse])
