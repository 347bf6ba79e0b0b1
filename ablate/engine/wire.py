"""JSON lines over a pipe, in both directions between the engine and a worker."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

_CHUNK = 65536


class Lines:
    """Puts the bytes read from a pipe together into messages, one JSON object per line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages that `data` completes. A line cut off by a dying writer never becomes one."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in whole if line]


def read_chunk(descriptor: int) -> bytes:
    """Return what the pipe has (blocking until there is something), empty at its end."""
    return os.read(descriptor, _CHUNK)


def write_message(descriptor: int, message: Mapping[str, Any]) -> None:
    """Write one message whole; raises BrokenPipeError when nobody reads any more."""
    data = memoryview(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    while data:
        data = data[os.write(descriptor, data) :]
