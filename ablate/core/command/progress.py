"""How far a command is: what its output or a file says, and otherwise that it prints at all."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablate.core.command.follow import Watch
from ablate.core.command.output import Output
from ablate.core.command.readers import as_number, rows_of, value_at
from ablate.core.command.spec.specification import Progress
from ablate.core.command.spec.template import Template

_TOLD_S = 0.2
"""Progress is told at most this often."""


class ProgressReader:
    """Finds progress in what a command prints or writes, and tells it."""

    def __init__(
        self,
        progress: Progress | None,
        path_of: Callable[[Template], Path],
        values: Mapping[str, Any],
        tell: Callable[[int, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._values = values
        self._tell = tell
        self._clock = clock
        self._done, self._total = 0, 0
        self._told = (0, 0, 0)
        self._next = clock()
        self._watch: Watch | None = None
        if progress is not None and progress.source.kind == "jsonl":
            path = path_of(progress.source.path)
            self._watch = Watch(path, "jsonl", lambda: self._read(path))

    def watch(self, output: Output) -> None:
        """Let `output` be searched for the pattern, if there is one."""
        if self._progress is not None and self._progress.source.kind == "stdout":
            output.progress = self._progress.source.pattern
            output.on_progress = self._matched

    def look(self, lines: int) -> None:
        """Look at the file, if there is one, and tell what is new: that the command prints is a sign of life in itself.

        `lines` counts what it printed so far.
        """
        if self._watch is not None:
            self._watch.look()
        now, news = self._clock(), (self._done, self._total, lines)
        if news != self._told and now >= self._next:
            self._told, self._next = news, now + _TOLD_S
            self._tell(self._done, self._total)

    def _matched(self, match: re.Match[str]) -> None:
        groups = match.groupdict() or dict(zip(("done", "total"), match.groups(), strict=False))
        self._say(groups.get("done", match[0]), groups.get("total"))

    def _read(self, path: Path) -> None:
        assert self._progress is not None
        try:
            rows = rows_of(path, "jsonl", whole=False)
        except (OSError, ValueError):
            return
        for row in reversed(rows):
            try:
                done = value_at(row, self._progress.done)
            except KeyError:
                continue
            self._say(done, row)
            return

    def _say(self, done: Any, total: Any) -> None:
        """Take it, as far as it is made of numbers; a total that is not found is none."""
        try:
            self._done = max(0, int(as_number(done)))
        except (ValueError, OverflowError):
            return
        self._total = self._total_of(total)

    def _total_of(self, found: Any) -> int:
        assert self._progress is not None
        stated = Template.parse(self._progress.total).fill(self._values) or ""
        if isinstance(found, Mapping):
            try:
                found = value_at(found, stated) if stated and not stated.isdigit() else None
            except KeyError:
                found = None
        try:
            return max(0, int(as_number(stated if stated.isdigit() else found)))
        except (ValueError, OverflowError):
            return 0
