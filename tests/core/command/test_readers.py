"""Numbers are found where the study file says; what is missing is told with what is there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.core.command.readers import NotFound, number_in, value_at
from ablate.core.command.spec.sources import Source

DATA = {"acc": 0.5, "test": {"acc": 0.25, "a/b": 3}, "epochs": [{"acc": 0.1}, {"acc": 0.2}], "n": None, "bad": "x"}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "m.json").write_text(json.dumps(DATA), encoding="utf-8")
    (tmp_path / "log.jsonl").write_text('{"acc": 1}\nnoise\n{"acc": 2}\n{"loss": 3}\n{"acc": ', encoding="utf-8")
    (tmp_path / "log.csv").write_text("epoch,acc, loss\n0,0.1,\n1,0.2, 3\nepoch,acc,loss\n2,,nan\n", encoding="utf-8")
    (tmp_path / "semi.csv").write_text("\ufeffepoch;acc\n0;0,1\n1;0.75\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("json:m.json#acc", 0.5),
        ("json:m.json", 0.5),
        ("json:m.json#test/acc", 0.25),
        ("json:m.json#/test/a~1b", 3.0),
        ("json:m.json#epochs/0/acc", 0.1),
        ("json:m.json#epochs/-1/acc", 0.2),
        ("jsonl:log.jsonl#acc", 2.0),
        ("csv:log.csv#acc", 0.2),
        ("csv:log.csv", 0.2),
        ("csv:semi.csv#acc", 0.75),
    ],
)
def test_the_last_number_is_found(files: Path, text: str, number: float) -> None:
    source = Source.parse(text)
    assert number_in(files / source.place, source, "acc") == number


def test_a_number_that_is_not_finite_is_a_number(files: Path) -> None:
    assert math.isnan(number_in(files / "log.csv", Source.parse("csv:log.csv#loss"), "loss"))
    (files / "inf.json").write_text('{"loss": -Infinity}', encoding="utf-8")
    assert number_in(files / "inf.json", Source.parse("json:inf.json"), "loss") == -math.inf


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("json:m.json#test/accuracy", ["m.json has no 'test/accuracy'", "acc, test/acc", "did you mean 'test/acc'?"]),
        ("json:m.json#n", ["m.json, n: None is not a number"]),
        ("json:m.json#bad", ["'x' is not a number"]),
        ("json:m.json#test", ["is not a number"]),
        ("json:m.jsn#acc", ["there is no", "m.jsn", "did you mean 'm.json'?"]),
        ("json:gone/m.json#acc", ["there is no", "the folder", "gone is not there"]),
        ("json:log.csv#acc", ["log.csv cannot be read: not JSON"]),
        ("jsonl:log.jsonl#accuracy", ["no line with 'accuracy'", "acc, loss"]),
        ("csv:log.csv#val_acc", ["no row with 'val_acc'", "epoch, acc, loss", "did you mean 'acc'?"]),
        ("csv:semi.csv#epoch;acc", ["no row with"]),
        ("tensorboard:.#acc", ["no event file"]),
    ],
)
def test_what_is_not_there_is_said_with_what_is(files: Path, text: str, words: list[str]) -> None:
    source = Source.parse(text)
    with pytest.raises(NotFound) as caught:
        number_in(files / source.place, source, "acc")
    for word in words:
        assert word in str(caught.value)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name in ("x.csv", "x.jsonl"):
        (tmp_path / name).write_text("", encoding="utf-8")
        with pytest.raises(NotFound, match="it has no"):
            number_in(tmp_path / name, Source.parse(f"{name.partition('.')[2]}:{name}"), "acc")


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers(), min_size=1), min_size=1), st.data())
def test_every_place_has_a_pointer(data: dict[str, dict[str, int]], choose: st.DataObject) -> None:
    outer = choose.draw(st.sampled_from(sorted(data)))
    inner = choose.draw(st.sampled_from(sorted(data[outer])))
    pointer = "/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in (outer, inner))
    if pointer in data:  # a key that looks like a pointer is found first
        assert value_at(data, pointer) == data[pointer]
    else:
        assert value_at(data, pointer) == data[outer][inner]
