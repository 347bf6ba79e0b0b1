"""Scalars of TensorBoard event files, read without TensorBoard.

An event file is a chain of records, each a length, its checksum, that many bytes and their checksum; the bytes are an
``Event`` in protocol-buffer encoding. Of that only what scalars need is read: an event's step, time and summary, and in
it tag and number, both as TensorBoard 1 writes them (``simple_value``) and as 2 does (a tensor of one float).
A file may still be written to: what is not whole at its end is not read yet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("<Q4x")
_FOOTER_BYTES = 4
_LONGEST_RECORD = 1 << 30
_FLOAT, _DOUBLE = 1, 2
"""Types of a tensor's elements."""


@dataclass(frozen=True)
class Scalar:
    """One number of a tag at a step."""

    tag: str
    step: int
    wall_time: float
    value: float


def event_files(place: Path) -> list[Path]:
    """Return the event files in a folder and the folders below it, by name; or the file itself."""
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*tfevents*") if path.is_file())


def scalars(path: Path) -> Iterator[Scalar]:
    """Yield the scalars of one event file in the order in which they were written.

    Raises OSError when it cannot be read and ValueError when it is not an event file.
    """
    for record in _records(path):
        try:
            yield from _event(record)
        except (struct.error, IndexError) as error:
            raise ValueError(f"{path} is not a TensorBoard event file") from error


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while len(header := handle.read(_HEADER.size)) == _HEADER.size:
            (length,) = _HEADER.unpack(header)
            if length > _LONGEST_RECORD:
                raise ValueError(f"{path} is not a TensorBoard event file")
            record = handle.read(length + _FOOTER_BYTES)
            if len(record) < length + _FOOTER_BYTES:
                return  # still being written, or cut off by a crash
            yield record[:length]


def _event(record: bytes) -> Iterator[Scalar]:
    """The scalars of one event: wall_time = 1, step = 2, summary = 5."""
    wall_time, step, summaries = 0.0, 0, []
    for number, value in _fields(record):
        if number == 1 and isinstance(value, bytes):
            (wall_time,) = struct.unpack("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >= 1 << 63 else value
        elif number == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1 and isinstance(value, bytes) and (found := _value(value)) is not None:
                yield Scalar(found[0], step, wall_time, found[1])


def _value(message: bytes) -> tuple[str, float] | None:
    """Tag = 1 and number of a summary's value, in simple_value = 2 or tensor = 8; None when it is no scalar."""
    tag, number_found = "", None
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode("utf-8", errors="replace")
        elif number == 2:
            (number_found,) = struct.unpack("<f", value)
        elif number == 8:
            number_found = _tensor(value)
    return None if number_found is None else (tag, number_found)


def _tensor(message: bytes) -> float | None:
    """The number in a tensor of one: dtype = 1, tensor_content = 4, float_val = 5, double_val = 6."""
    dtype, content = 0, b""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            dtype = value
        elif number in (4, 5, 6) and isinstance(value, bytes):
            content = value
    if dtype == _FLOAT and len(content) == 4:
        return float(struct.unpack("<f", content)[0])
    if dtype == _DOUBLE and len(content) == 8:
        return float(struct.unpack("<d", content)[0])
    return None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: number, and an integer (wire type 0) or bytes (fixed widths, or length-delimited)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            width, at = _varint(message, at)
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire}")
        if at + width > len(message):
            raise IndexError("a field beyond its message")
        yield number, message[at : at + width]
        at += width


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number of more than 64 bits")
