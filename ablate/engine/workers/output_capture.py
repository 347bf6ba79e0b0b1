"""What a core prints goes to its trial's log: by file descriptor, so that libraries in C and child processes do too."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_STREAMS = (1, 2)
_BATCH_FILE = ".output.txt"


class OutputCapture:
    """Sends the standard streams of this process into the logs of the batch that it computes.

    One trial: straight into its log.txt. Several trials that are computed together cannot be told apart: what they
    print is in a file of the first one's folder while they run, and `give` adds to a trial's log what there is by then.
    """

    def __init__(self) -> None:
        """Remember where the streams lead now: the log of the slot."""
        calm_progress_bars()
        self._before = {stream: os.dup(stream) for stream in _STREAMS}
        self._batch: Path | None = None
        self._given: dict[Path, int] = {}

    @contextlib.contextmanager
    def into(self, logs: Sequence[Path]) -> Iterator[None]:
        """While this lasts, what this process and its children print goes to `logs`."""
        several = len(logs) > 1
        self._batch = logs[0].parent / _BATCH_FILE if several else None
        self._given = {}
        target = os.open(self._batch or logs[0], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC * several, 0o644)
        try:
            self._lead_to(dict.fromkeys(_STREAMS, target))
        finally:
            os.close(target)
        try:
            yield
        finally:
            self._lead_to(self._before)
            if self._batch is not None:
                for log in logs:
                    self.give(log)
                self._batch.unlink(missing_ok=True)
                self._batch = None

    def give(self, log: Path) -> None:
        """Add what a batch of several trials has printed since the last time to the log of one of them."""
        flush()
        if self._batch is None:
            return
        with self._batch.open("rb") as source, log.open("ab") as target:
            source.seek(self._given.get(log, 0))
            shutil.copyfileobj(source, target)
            self._given[log] = source.tell()

    def _lead_to(self, targets: dict[int, int]) -> None:
        flush()
        for stream, target in targets.items():
            os.dup2(target, stream)


def calm_progress_bars() -> None:
    """Let progress bars write seldom: in a file each look at one is a line. tqdm asks for this when it is imported."""
    os.environ.setdefault("TQDM_MININTERVAL", "5")


def flush() -> None:
    """Write out what Python and C hold back for the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no C library to be had by this name
        ctypes.CDLL(None).fflush(None)
