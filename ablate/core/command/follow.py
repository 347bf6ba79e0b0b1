"""Files that a command writes while it runs, read again as they grow: learning curves and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.core.command.event_files import event_files
from ablate.core.command.readers import as_number, cell, event_rows, is_missing, rows_of
from ablate.core.command.spec.specification import Curve

_SHORTEST_S = 1.0
_SHARE = 0.02
"""Reading may take this share of the time."""

Stamp = tuple[tuple[str, int, int], ...]
"""What tells one state of a file, or of a folder of event files, from another."""
Points = dict[int, dict[str, float]]


def stamp_of(path: Path, kind: str) -> Stamp:
    """Return the state of a file, or of the event files in a folder; empty when there is none."""
    found = []
    for file in event_files(path) if kind == "tensorboard" else (path,):
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(found)


@dataclass
class CurveFollower:
    """Reads the points of one learning curve that have not been handed out yet.

    Rows of one x are put together: trackers write training and validation in rows of their own. While the command runs
    the last x is held back, because more of it may come.
    """

    curve: Curve
    path: Path
    doubt: str = ""
    """Why points were left out; empty when none was."""
    _done: frozenset[int] = frozenset()

    def read(self, *, whole: bool) -> Points:
        """Return new points by x; `whole` says that the command has ended. What cannot be read is a doubt."""
        try:
            found = self._points(whole=whole)
        except (OSError, ValueError) as error:
            if whole:
                self.doubt = f"no learning curve from {self.path}: {error}"
            return {}
        if found and not whole:
            del found[max(found)]
        new = {x: found[x] for x in sorted(found) if x not in self._done}
        self._done |= new.keys()
        if whole and not self._done and not self.doubt:
            columns = ", ".join(self.curve.columns.values())
            self.doubt = f"no learning curve from {self.path}: it has no rows with {self.curve.x} and {columns}"
        return new

    def _points(self, *, whole: bool) -> Points:
        kind = self.curve.source.kind
        if kind == "tensorboard":
            rows = event_rows(self.path, self.curve.columns.values())
        else:
            rows = rows_of(self.path, kind, whole=whole)
        found: Points = {}
        for row in rows:
            x = self._x(row, kind)
            values = self._values(row, kind)
            if x is not None and values:
                found.setdefault(x, {}).update(values)
        return found

    def _x(self, row: Mapping[str, Any], kind: str) -> int | None:
        value = cell(row, kind, self.curve.x)
        if is_missing(value) or value is None:
            return None
        try:
            number = as_number(value)
        except ValueError:
            self.doubt = f"{self.path}: {self.curve.x} is not a number in some rows; they are not in the learning curve"
            return None
        if not number.is_integer() or number < 0:
            self.doubt = (
                f"{self.path}: {self.curve.x} is {value} in some rows; a learning curve is drawn over whole numbers, "
                "for example steps"
            )
            return None
        return int(number)

    def _values(self, row: Mapping[str, Any], kind: str) -> dict[str, float]:
        found = {}
        for metric, column in self.curve.columns.items():
            value = cell(row, kind, column)
            if is_missing(value) or value is None:
                continue
            try:
                found[metric] = as_number(value)
            except ValueError:
                self.doubt = f"{self.path}: {column} is not a number in some rows; they are not in the learning curve"
        return found


class Watch:
    """Calls something when a file has changed, not more often than its own cost allows."""

    def __init__(
        self, path: Path, kind: str, act: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._kind, self._act, self._clock = path, kind, act, clock
        self._known = stamp_of(path, kind)
        self._next = clock() + _SHORTEST_S

    def look(self) -> None:
        """Look whether it is time, and whether there is something new."""
        began = self._clock()
        if began < self._next:
            return
        now = stamp_of(self._path, self._kind)
        if now != self._known:
            self._known = now
            self._act()
        ended = self._clock()
        self._next = ended + max(_SHORTEST_S, (ended - began) / _SHARE)
