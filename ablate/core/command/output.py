"""What a command prints: kept in the trial's log, and searched line by line for what the study file looks for."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

LAST_LINES = 24
"""Lines kept for the error of a trial that fails."""
_LONGEST_LINE = 65536
"""A longer line is taken in pieces."""
_SHOWN = 500
_BREAK = re.compile(rb"\r\n|\n|\r(?=[^\n])")
"""The end of a line, or of one state of a line that is drawn over; of a carriage return at the end nobody knows yet."""


@dataclass
class Output:
    """Takes the bytes of a command's output as they come.

    A line that a progress bar draws over and over (with carriage returns) is kept as it stood last; patterns see every
    state of it.
    """

    log: BinaryIO
    wanted: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    """Name -> a pattern whose last match is wanted."""
    signs: Mapping[str, Sequence[re.Pattern[str]]] = field(default_factory=dict)
    """Kind of end -> patterns in a line by which it is known."""
    progress: re.Pattern[str] | None = None
    on_progress: Callable[[re.Match[str]], None] | None = None
    """Called at every match of `progress`."""
    matches: dict[str, re.Match[str]] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    """Kind of end -> the first line with one of its signs."""
    lines: int = 0
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    """The last lines that are not empty."""
    _rest: bytes = b""
    _drawn: str = ""
    """What stands in the line that is being written."""

    def feed(self, data: bytes) -> None:
        """Take some output. Raises OSError when the log cannot be written."""
        unread, at = self._rest + data, 0
        for match in _BREAK.finditer(unread):
            self._take(unread[at : match.end()])
            at = match.end()
        self._rest = unread[at:]
        if len(self._rest) >= _LONGEST_LINE:
            self._take(self._rest)
            self._rest = b""
        self.log.flush()

    def end(self) -> None:
        """There is no more: what stands in the last line counts as a line."""
        if self._rest or self._drawn:
            self._take(self._rest.rstrip(b"\r") + b"\n")
        self._rest = b""
        self.log.flush()

    def _take(self, piece: bytes) -> None:
        text = piece.rstrip(b"\r\n").decode("utf-8", errors="replace")
        if text:
            self._drawn = text
            self._search(text)
        if piece.endswith(b"\r"):
            return
        self.lines += 1
        if self._drawn.strip():
            self.last.append(self._drawn[:_SHOWN])
        self.log.write(self._drawn.encode("utf-8", errors="replace") + b"\n")
        self._drawn = ""

    def _search(self, text: str) -> None:
        for name, pattern in self.wanted.items():
            if (match := pattern.search(text)) is not None:
                self.matches[name] = match
        if self.progress is not None and self.on_progress is not None:
            found = self.progress.search(text)
            if found is not None:
                self.on_progress(found)
        for kind, patterns in self.signs.items():
            if kind not in self.seen and any(pattern.search(text) for pattern in patterns):
                self.seen[kind] = text.strip()[:_SHOWN]
