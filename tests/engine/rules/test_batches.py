"""Which replicates share a batch: never one that would have to wait, an even share of the slots that are free."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ablate.engine.rules.durations import Expectation
from ablate.engine.rules.events_actions import Planned
from ablate.engine.rules.limits import Policy
from ablate.engine.rules.queue import Fit, Waiting
from ablate.engine.rules.shared_stages import Stages
from ablate.interface import Stage
from tests.engine.simulation import Simulation


def trial(arm: int, seed: int, batch_key: str, stages: Sequence[str] = ()) -> Planned:
    found = tuple(Stage(name.partition("-")[0], name) for name in stages)
    return Planned((f"a{arm}", seed), f"r{arm}-{seed}", batch_key, found)


@st.composite
def plans(draw: st.DrawFn) -> list[Planned]:
    """Trials of a few shapes that share a few first stages, and some second ones."""
    return [
        trial(
            arm,
            seed,
            f"k{draw(st.integers(0, 1))}",
            [f"prior-{draw(st.integers(0, 2))}", f"rest-{draw(st.integers(0, 9))}"],
        )
        for seed in range(draw(st.integers(1, 3)))
        for arm in range(draw(st.integers(1, 5)))
    ]


@given(planned=plans(), data=st.data())
def test_nobody_in_a_batch_waits_for_a_stage_that_is_computed_elsewhere(
    planned: list[Planned], data: st.DataObject
) -> None:
    """One shape, no more than asked for, in order, nobody blocked, nobody left out who could join."""
    stages = Stages()
    waiting = Waiting(stages, Expectation())
    running = []
    for one in planned:
        if data.draw(st.booleans()):
            running.append(one)
            stages.begin(one)
        else:
            waiting.add(one)
    for one in running:
        news = data.draw(st.sampled_from(["none", "rest", "unknown", "failed", "done"]))
        if news in ("rest", "unknown"):
            stages.entered(one, news)
        elif news != "none":
            stages.end(one, result=news == "done")
    first = waiting.first(lambda _: Fit.NOW)
    ready = [one for one in waiting if not stages.blocked(one)]
    assert (first is None) == (not ready)
    if first is None:
        return
    limit, among = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    batch = waiting.mates(first, lambda _: limit, among)
    could = [one for one in ready if one.batch_key == first.batch_key]
    assert batch[0] == first
    assert all(one in could for one in batch)
    assert list(batch[1:]) == [one for one in could if one in batch[1:]]
    assert len(set(batch)) == len(batch)
    # Those beyond what the free slots can hold are not counted.
    assert len(batch) == min(limit, math.ceil(min(len(could), limit * among) / among))


def test_a_small_limit_of_one_who_joins_is_everybodys() -> None:
    """A recipe that ran out of memory in a batch of four takes part in batches of two at most."""
    stages = Stages()
    waiting = Waiting(stages, Expectation())
    planned = [trial(arm, 0, "k") for arm in range(6)]
    for one in planned:
        waiting.add(one)
    limits = {planned[1].key: 3, planned[2].key: 1}
    batch = waiting.mates(planned[0], lambda one: limits.get(one.key, 6))
    assert batch == (planned[0], planned[1], planned[3])


def test_a_shared_stage_is_computed_once_and_stalls_nobody() -> None:
    """Six trials of one shape begin with one stage, six others do not: the second slot gets those that need not wait.

    Before the stage is there, nobody else who needs it is placed; then they are.
    """
    sharing = [trial(arm, 0, "k", ["prior-0", f"rest-{arm}"]) for arm in range(6)]
    others = [trial(arm, 0, "k", [f"rest-{arm}"]) for arm in range(6, 12)]
    stages = Stages()
    waiting = Waiting(stages, Expectation())
    stages.begin(sharing[0])
    for one in (*sharing[1:], *others):
        waiting.add(one)
    first = waiting.first(lambda _: Fit.NOW)
    assert first is not None
    assert set(waiting.mates(first, lambda _: 16)) == set(others)
    stages.entered(sharing[0], "rest")
    first = waiting.first(lambda _: Fit.NOW)
    assert first is not None
    assert set(waiting.mates(first, lambda _: 16)) == {*sharing[1:], *others}


def test_free_slots_share_what_could_be_one_batch() -> None:
    """Eight trials of one shape on four slots run in four batches of two; without spreading in one of eight."""
    planned = [trial(arm, 0, "k") for arm in range(8)]
    spread = Simulation(planned, ["cpu"] * 4, policy=Policy(batch=8, spread=True)).run()
    together = Simulation(planned, ["cpu"] * 4, policy=Policy(batch=8)).run()
    assert (spread.ended_at, together.ended_at) == (2.0, 8.0)
    assert len(spread.recorded) == len(together.recorded) == 8
