"""Which stages are computed, and which a slot is computing: a shared stage should be computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ablate.engine.rules.events_actions import Key, Planned


class Stages:
    """What is known about the stages of a run.

    A replicate is believed to compute, in order, every stage that nobody has computed yet. Its progress says which
    stage it is in; when it names a stage that the core did not declare, nothing is known and nothing is held back.
    """

    def __init__(self) -> None:
        self._computed: set[str] = set()
        self._pending: dict[Key, tuple[str, ...]] = {}
        self._count: Counter[str] = Counter()
        self._news: set[str] = set()

    def begin(self, planned: Planned) -> None:
        """`planned` was placed."""
        self._expect(planned.key, (stage.digest for stage in planned.stages))

    def entered(self, planned: Planned, name: str) -> None:
        """`planned` is in its stage called `name`: the stages before are computed."""
        position = next((index for index, stage in enumerate(planned.stages) if stage.name == name), None)
        if position is None:
            self._expect(planned.key, ())
            return
        self._finished(stage.digest for stage in planned.stages[:position])
        self._expect(planned.key, self._pending.get(planned.key, ()))

    def end(self, planned: Planned, *, result: bool) -> None:
        """`planned` left its slot; with a result, all its stages are computed."""
        self._expect(planned.key, ())
        if result:
            self._finished(stage.digest for stage in planned.stages)

    def news(self) -> set[str]:
        """Return the digests about which `overlaps` or `blocked` may say something else than at the last call."""
        found, self._news = self._news, set()
        return found

    def overlaps(self, planned: Planned) -> bool:
        """True when `planned` needs a stage that another replicate is computing, or will."""
        return any(self._count[stage.digest] > 0 for stage in planned.stages if stage.digest not in self._computed)

    def blocked(self, planned: Planned) -> bool:
        """True when the very next thing `planned` would compute is what another replicate is computing, or will."""
        following = next((stage.digest for stage in planned.stages if stage.digest not in self._computed), None)
        return following is not None and self._count[following] > 0

    def _finished(self, digests: Iterable[str]) -> None:
        fresh = set(digests) - self._computed
        self._computed |= fresh
        self._news |= fresh

    def _expect(self, key: Key, digests: Iterable[str]) -> None:
        """Note that `key` will compute those of `digests` that are not computed."""
        before = self._pending.pop(key, ())
        after = tuple(digest for digest in digests if digest not in self._computed)
        if after:
            self._pending[key] = after
        for digest in {*before} - {*after}:
            self._count[digest] -= 1
            if not self._count[digest]:
                self._news.add(digest)
        for digest in {*after} - {*before}:
            self._count[digest] += 1
            if self._count[digest] == 1:
                self._news.add(digest)
