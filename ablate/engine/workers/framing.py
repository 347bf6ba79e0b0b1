"""Reading and writing messages over a pipe or a socket: one line of JSON each."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from ablate.engine.workers.messages import FromWorker, MalformedMessage, ToWorker, Unreadable, encode

CHUNK = 65536
"""Bytes read at a time."""
MOST_BYTES = 64 * 1024 * 1024
"""A longer message is a mistake, or somebody who wants our memory."""

M = TypeVar("M")


class MessageStream(Generic[M]):
    """Assembles the bytes that are read into lines, and decodes the lines."""

    def __init__(self, decode: Callable[[bytes], M], most_bytes: int = MOST_BYTES) -> None:
        """`decode` reads a line without its newline; it raises MalformedMessage when the line is invalid."""
        self._decode = decode
        self._most_bytes = most_bytes
        self._rest = b""
        self._over = False

    def feed(self, data: bytes) -> list[M | Unreadable]:
        """Return the messages that `data` completes. A line cut off by a dying writer never becomes one.

        A line that is invalid or too long gives `Unreadable`; after that, nothing more is returned.
        """
        found: list[M | Unreadable] = []
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in filter(None, whole):
            if self._over:
                break
            found.append(self._message(line))
        if len(self._rest) > self._most_bytes and not self._over:
            found.append(self._end(f"a message of more than {self._most_bytes} bytes"))
        if self._over:
            self._rest = b""
        return found

    def _message(self, line: bytes) -> M | Unreadable:
        try:
            return self._decode(line)
        except MalformedMessage as error:
            return self._end(str(error))

    def _end(self, reason: str) -> Unreadable:
        self._over = True
        return Unreadable(reason)


def read_chunk(descriptor: int) -> bytes:
    """Return what is there (blocking until there is something), empty at the end."""
    return os.read(descriptor, CHUNK)


def write_message(descriptor: int, message: ToWorker | FromWorker) -> None:
    """Write one message whole; raises OSError when nobody reads any more."""
    data = memoryview(encode(message))
    while data:
        data = data[os.write(descriptor, data) :]
