"""JSON lines in both directions between the engine and a worker, over a pipe or a socket."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

_CHUNK = 65536
MOST_BYTES = 64 * 1024 * 1024
"""A longer message is a mistake, or somebody who wants our memory."""


class Lines:
    """Puts the bytes that are read together into messages, one JSON object per line."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._rest = b""
        self._most_bytes = most_bytes

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages that `data` completes. A line cut off by a dying writer never becomes one.

        Raises ValueError for a line that is too long or not JSON.
        """
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._most_bytes:
            raise ValueError(f"a message of more than {self._most_bytes} bytes")
        return [json.loads(line) for line in whole if line]


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_chunk(descriptor: int) -> bytes:
    """Return what is there (blocking until there is something), empty at the end."""
    return os.read(descriptor, _CHUNK)


def write_message(descriptor: int, message: Mapping[str, Any]) -> None:
    """Write one message whole; raises OSError when nobody reads any more."""
    data = memoryview(encode(message))
    while data:
        data = data[os.write(descriptor, data) :]
