"""Which run of a tracker belongs to which replicate: ``results/STUDY/tracked.jsonl``.

A line is added when a run begins, ends, or gets a verdict; the last line on a run counts. It is how the same command
goes on in the runs it began, and how a verdict reaches runs of earlier calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class KnownRun:
    """A run that a tracker has. `seed` is None for what belongs to a whole arm."""

    arm: str
    seed: int | None
    run: str
    """What the tracker calls it."""
    ended: bool = False
    verdict: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """What the tracker wants to know of it later."""


class RunsFile:
    """The runs of one tracker at one place. The file is read once; a line that is damaged is passed over."""

    def __init__(self, path: Path, kind: str, place: str) -> None:
        self._path = path
        self._owner = {"tracker": kind, "place": place}
        self._known = {(one.arm, one.seed): one for one in self._read()}

    def get(self, arm: str, seed: int | None) -> KnownRun | None:
        """Return the run of a replicate, or of an arm."""
        return self._known.get((arm, seed))

    def of(self, arm: str) -> list[KnownRun]:
        """Return all runs of an arm, in the order in which they began."""
        return [one for one in self._known.values() if one.arm == arm]

    def put(self, run: KnownRun) -> None:
        """Keep what is known of a run. Raises OSError."""
        self._known[(run.arm, run.seed)] = run
        line = json.dumps({**self._owner, **asdict(run)}, allow_nan=False)
        with self._path.open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def change(self, run: KnownRun, **changes: Any) -> None:
        """Keep what has changed of a run. Raises OSError."""
        self.put(replace(run, **changes))

    def _read(self) -> Iterator[KnownRun]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                data = json.loads(line)
                if {name: data.pop(name) for name in self._owner} == self._owner:
                    yield _checked(KnownRun(**data))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # the last line of a process that was killed, or not ours


def _checked(run: KnownRun) -> KnownRun:
    """Return `run`; raises TypeError where a file that somebody else wrote holds another type."""
    plain = isinstance(run.arm, str) and isinstance(run.run, str) and isinstance(run.verdict, str)
    if not (plain and isinstance(run.seed, int | None) and isinstance(run.summary, dict)):
        raise TypeError("not a run")
    return run
