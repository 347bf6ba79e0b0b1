"""Which batch goes to an idle slot: a pure rule over what waits and what is being computed right now."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from statistics import median

from ablate.engine.moves import Key, Planned
from ablate.outcome import Outcome


class Stages:
    """Which stages are computed, and which a slot is computing: a shared stage should be computed once.

    A replicate is believed to compute, in order, every stage that nobody has computed yet. Its progress says which
    stage it is in; when it names a stage that the core did not declare, nothing is known and nothing is held back.
    """

    def __init__(self) -> None:
        self._computed: set[str] = set()
        self._pending: dict[Key, list[str]] = {}

    def begin(self, planned: Planned) -> None:
        """`planned` was placed."""
        self._pending[planned.key] = [stage.digest for stage in planned.stages if stage.digest not in self._computed]

    def entered(self, planned: Planned, name: str) -> None:
        """`planned` is in its stage called `name`: the stages before are computed."""
        position = next((index for index, stage in enumerate(planned.stages) if stage.name == name), None)
        if position is None:
            self._pending.pop(planned.key, None)
            return
        self._computed.update(stage.digest for stage in planned.stages[:position])
        self._pending[planned.key] = [
            digest for digest in self._pending.get(planned.key, ()) if digest not in self._computed
        ]

    def end(self, planned: Planned, *, result: bool) -> None:
        """`planned` left its slot; with a result, all its stages are computed."""
        self._pending.pop(planned.key, None)
        if result:
            self._computed.update(stage.digest for stage in planned.stages)

    def overlaps(self, planned: Planned) -> bool:
        """True when `planned` needs a stage that another replicate is computing, or will."""
        needed = {stage.digest for stage in planned.stages} - self._computed
        return any(not needed.isdisjoint(pending) for pending in self._pending.values())

    def blocked(self, planned: Planned) -> bool:
        """True when the very next thing `planned` would compute is what another replicate is computing, or will."""
        following = next((stage.digest for stage in planned.stages if stage.digest not in self._computed), None)
        return following is not None and any(following in pending for pending in self._pending.values())


class Expectation:
    """How long a replicate should take, in seconds: what its arm took, else its declared cost on the same scale."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._ratios: list[float] = []

    def learn(self, planned: Planned, outcome: Outcome) -> None:
        """Take note of a finished trial."""
        if outcome.kind.is_result and outcome.seconds > 0:
            self._seconds.setdefault(planned.key[0], []).append(outcome.seconds)
            self._ratios.append(outcome.seconds / planned.cost)

    def of(self, planned: Planned) -> float:
        """Return the expected seconds of `planned` (in reference seconds while nothing has been measured)."""
        seconds = self._seconds.get(planned.key[0])
        if seconds:
            return median(seconds)
        return planned.cost * (median(self._ratios) if self._ratios else 1.0)


class Waiting:
    """Replicates that wait, by wave (in general their seed), each wave in order of the plan."""

    def __init__(self) -> None:
        self._by_seed: dict[int, dict[Key, Planned]] = {}
        self._seeds: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Planned]:
        for seed in self._seeds:
            yield from self._by_seed[seed].values()

    def add(self, planned: Planned) -> None:
        """Let `planned` wait."""
        seed = planned.wave
        if seed not in self._by_seed:
            self._by_seed[seed] = {}
            bisect.insort(self._seeds, seed)
        self._by_seed[seed][planned.key] = planned
        self._count += 1

    def remove(self, planned: Planned) -> None:
        """`planned` waits no longer."""
        seed = planned.wave
        del self._by_seed[seed][planned.key]
        if not self._by_seed[seed]:
            del self._by_seed[seed]
            self._seeds.remove(seed)
        self._count -= 1

    def seeds(self) -> Iterator[tuple[Planned, ...]]:
        """Yield what waits, one seed after the other."""
        for seed in self._seeds:
            yield tuple(self._by_seed[seed].values())


def choose_batch(
    waiting: Waiting, stages: Stages, expected: Expectation, *, lone: set[Key], limits: dict[Key, int], limit: int
) -> tuple[Planned, ...]:
    """Return what an idle slot should run next, or nothing when everything that waits had better wait longer.

    Seed by seed, the longest expected first, and before it those that share nothing with what is being computed.
    Passed over are replicates in `lone`, and those whose next stage another slot computes: waiting for that stage ends
    no later than computing it a second time. Others with an equal batch key join, up to `limit` and each one's own
    entry in `limits`.
    """
    for group in waiting.seeds():
        free = [planned for planned in group if planned.key not in lone and not stages.blocked(planned)]
        if free:
            first = max(free, key=lambda planned: (not stages.overlaps(planned), expected.of(planned)))
            return _fill(first, waiting, lone=lone, limits=limits, limit=limit) if limit > 1 else (first,)
    return ()


def choose_lone(waiting: Waiting, lone: set[Key]) -> tuple[Planned, ...]:
    """Return the first replicate that must run with nothing beside it, or nothing."""
    return next(((planned,) for planned in waiting if planned.key in lone), ())


def _fill(
    first: Planned, waiting: Waiting, *, lone: set[Key], limits: dict[Key, int], limit: int
) -> tuple[Planned, ...]:
    """Add replicates with the batch key of `first` until a limit is reached."""
    batch: list[Planned] = [first]
    room = min(limit, limits.get(first.key, limit))
    for planned in waiting:
        if len(batch) >= room:
            break
        if planned.batch_key == first.batch_key and planned.key != first.key and planned.key not in lone:
            allowed = limits.get(planned.key, limit)
            if allowed > len(batch):
                batch.append(planned)
                room = min(room, allowed)
    return tuple(batch)


def same_recipes(planned: Sequence[Planned]) -> dict[Key, tuple[Key, ...]]:
    """Return leader -> copies: of the replicates with one digest the first is run, the others get its outcome."""
    leaders: dict[str, Key] = {}
    copies: dict[Key, tuple[Key, ...]] = {}
    for one in planned:
        leader = leaders.setdefault(one.digest, one.key)
        copies[leader] = (*copies[leader], one.key) if leader != one.key else ()
    return copies
