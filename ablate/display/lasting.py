"""A stream that outlasts its reader: a run goes on when its terminal is closed or its pipe is broken."""

from __future__ import annotations

import contextlib
import os
from typing import Any, TextIO, cast


class LastingStream:
    """Stands for a text stream; at its first failure the stream is led to nowhere, and nothing is raised.

    What cannot be shown is lost here; run.log has every event of a run.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.gone: OSError | ValueError | None = None
        """Why nobody reads any more; None while somebody may."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as far as anybody reads."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self._leave(error)
            return len(text)

    def flush(self) -> None:
        """Flush as far as anybody reads."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._leave(error)

    def _leave(self, error: OSError | ValueError) -> None:
        self.gone = self.gone or error
        # What is still in buffers, and what is written around us, has to go somewhere: Python flushes at its end.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)
            self._stream.flush()


def lasting(stream: TextIO) -> TextIO:
    """Return `stream` so that writing to it never fails."""
    return stream if isinstance(stream, LastingStream) else cast("TextIO", LastingStream(stream))


def gone(stream: object) -> OSError | ValueError | None:
    """Return why nobody reads a lasting stream any more; None while somebody may."""
    return stream.gone if isinstance(stream, LastingStream) else None
