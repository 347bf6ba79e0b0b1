"""Event files are read as TensorBoard writes them, and as far as they are whole."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.core.command.event_files import Scalar, event_files, scalars
from ablate.core.command.readers import NotFound, event_rows, number_in
from ablate.core.command.spec.sources import Source


def varint(value: int) -> bytes:
    value %= 1 << 64
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def part(number: int, body: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def event(tag: str, step: int, value: float, *, tensor: bool = False, wall: float = 1.0) -> bytes:
    """One event with one scalar, as a record without checksums that anybody would check."""
    number = varint(2 << 3 | 5) + struct.pack("<f", value)
    if tensor:
        number = part(8, varint(1 << 3) + varint(1) + part(2, b"") + part(5, struct.pack("<f", value)))
    body = varint(1 << 3 | 1) + struct.pack("<d", wall) + varint(2 << 3) + varint(step)
    body += part(5, part(1, part(1, tag.encode()) + number))
    return struct.pack("<Q", len(body)) + bytes(4) + body + bytes(4)


def write(folder: Path, events: Sequence[bytes], name: str = "events.out.tfevents.1") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(events))
    return folder / name


@given(
    st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=32, allow_nan=False),
    st.booleans(),
)
def test_a_scalar_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, tag: str, step: int, value: float, tensor: bool
) -> None:
    path = write(tmp_path_factory.mktemp("events"), [event(tag, step, value, tensor=tensor)])
    assert list(scalars(path)) == [Scalar(tag, step, 1.0, value)]


def test_a_file_that_is_still_written_gives_what_is_whole(tmp_path: Path) -> None:
    whole, more = event("acc", 1, 0.5), event("acc", 2, 0.75)
    for cut in range(len(more)):
        path = write(tmp_path, [whole, more[:cut]])
        assert [one.step for one in scalars(path)] == [1]
    assert [one.step for one in scalars(write(tmp_path, [whole, more]))] == [1, 2]


@pytest.mark.parametrize("content", [b"x" * 40, struct.pack("<Q", 8) + bytes(4) + b"\xff" * 8 + bytes(4)])
def test_what_is_no_event_file_is_said(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, [content])
    with pytest.raises(ValueError, match="is not a TensorBoard event file"):
        list(scalars(path))


def test_the_last_step_of_a_tag_counts_over_all_files_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "run" / "a", [event("acc", 1, 0.25), event("acc", 9, 0.5)])
    write(tmp_path / "run" / "b", [event("acc", 3, 1.0), event("loss", 12, 2.0)], "events.out.tfevents.0")
    source = Source.parse("tensorboard:run#acc")
    assert number_in(tmp_path / "run", source, "acc") == 0.5
    assert len(event_files(tmp_path / "run")) == 2
    assert {"step": 12, "loss": 2.0} in event_rows(tmp_path / "run", ["loss"])
    with pytest.raises(NotFound, match=r"have no 'lass'.*did you mean 'loss'"):
        number_in(tmp_path / "run", Source.parse("tensorboard:run#lass"), "x")


def test_tensorboards_own_files_are_read(tmp_path: Path) -> None:
    reason = "TensorBoard is not installed: pip install 'ablate[test]'"
    writer_module = pytest.importorskip("tensorboard.summary.writer.event_file_writer", reason=reason)
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2", reason=reason)
    summary_pb2 = pytest.importorskip("tensorboard.compat.proto.summary_pb2", reason=reason)
    tensor_pb2 = pytest.importorskip("tensorboard.compat.proto.tensor_pb2", reason=reason)

    def summary(tag: str, **number: Any) -> Any:
        return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, **number)])

    writer = writer_module.EventFileWriter(str(tmp_path))
    for step in range(300):
        value = 1 / (step + 1)
        old, new = summary("val/acc", simple_value=value), summary("loss", tensor=_tensor(tensor_pb2, value))
        writer.add_event(event_pb2.Event(wall_time=step + 0.5, step=step, summary=old))
        writer.add_event(event_pb2.Event(wall_time=step + 0.5, step=step, summary=new))
    writer.close()
    [file] = event_files(tmp_path)
    found = list(scalars(file))
    assert [one.step for one in found if one.tag == "val/acc"] == list(range(300))
    assert [one.value for one in found if one.tag == "loss"] == pytest.approx([1 / (n + 1) for n in range(300)])
    assert {one.wall_time for one in found if one.step == 7} == {7.5}


def _tensor(tensor_pb2: Any, value: float) -> Any:
    return tensor_pb2.TensorProto(dtype=1, float_val=[value])
