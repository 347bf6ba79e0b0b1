"""Every message arrives as it was sent, and what is none is refused with a reason, whatever it is."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.engine.workers import messages
from ablate.engine.workers.framing import MessageStream
from ablate.engine.workers.messages import (
    Broken,
    Challenge,
    FromWorker,
    Hello,
    MalformedMessage,
    Progress,
    RunBatch,
    ToWorker,
    Unreadable,
    WorkerNote,
    decode_from_worker,
    decode_greeting,
    decode_to_worker,
    encode,
)
from ablate.interface import Compilation, Fusion
from ablate.recipe import Recipe
from tests.engine.conftest import DEADLINE_S

TEXT = st.text(max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SHOWN = st.floats(allow_nan=False)
WHOLE = st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(1, 99)
FOLDERS = st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)).map(
    lambda parts: Path("/", *parts)
)
SCALARS = st.none() | st.booleans() | st.integers() | NUMBERS | TEXT
SETTINGS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
RECIPES = st.builds(Recipe, TEXT, st.dictionaries(TEXT, SETTINGS, max_size=4), st.integers())
SETUPS = st.builds(
    messages.WorkerSetup,
    core=TEXT,
    parameters=st.dictionaries(TEXT, SETTINGS, max_size=3),
    search=st.none() | FOLDERS,
    path=st.lists(FOLDERS, max_size=3).map(tuple),
    results=FOLDERS,
    cache=FOLDERS,
    metrics=st.frozensets(TEXT, max_size=3),
    primary=TEXT,
    checkpoint_s=NUMBERS,
    fusion=st.builds(Fusion, COUNT, st.booleans()),
    fused=st.frozensets(TEXT, max_size=3),
    compilation=st.builds(
        Compilation, st.sampled_from(["off", "auto", "on"]), TEXT, st.dictionaries(TEXT, COUNT, max_size=3)
    ),
)
TO_WORKER: dict[type[Any], st.SearchStrategy[Any]] = {
    messages.Hello: st.builds(Hello, TEXT, SETUPS, TEXT, st.none() | TEXT, COUNT),
    messages.RunBatch: st.builds(
        RunBatch,
        TEXT,
        st.lists(st.builds(messages.Assignment, RECIPES, FOLDERS, TEXT, WHOLE), max_size=3).map(tuple),
        COUNT,
    ),
    messages.Company: st.builds(messages.Company, COUNT),
    messages.Prune: st.builds(messages.Prune, TEXT),
    messages.Stop: st.just(messages.Stop()),
    messages.Leave: st.just(messages.Leave()),
}
FROM_WORKER: dict[type[Any], st.SearchStrategy[Any]] = {
    messages.Ready: st.just(messages.Ready()),
    messages.Progress: st.builds(
        Progress, TEXT, TEXT, WHOLE, WHOLE, st.dictionaries(TEXT, NUMBERS | st.just(math.inf))
    ),
    messages.CurvePoint: st.builds(messages.CurvePoint, TEXT, WHOLE, st.dictionaries(TEXT, NUMBERS)),
    messages.OutcomeWritten: st.builds(messages.OutcomeWritten, TEXT),
    messages.BatchDone: st.builds(messages.BatchDone, st.booleans(), st.none() | NUMBERS),
    messages.WorkerNote: st.builds(WorkerNote, TEXT),
    messages.Broken: st.builds(Broken, TEXT, st.none() | TEXT),
    messages.DiskFull: st.builds(messages.DiskFull, TEXT),
    messages.Evicted: st.builds(messages.Evicted, TEXT),
}


@dataclass(frozen=True)
class Way:
    """One of the two directions."""

    kinds: dict[type[Any], st.SearchStrategy[Any]]
    decode: Callable[[bytes], Any]


TO, FROM = Way(TO_WORKER, decode_to_worker), Way(FROM_WORKER, decode_from_worker)
KINDS = [pytest.param(way, kind, id=kind.__name__) for way in (TO, FROM) for kind in way.kinds]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=9,
)
LINES = st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode())


def test_every_message_has_its_strategy_here() -> None:
    assert set(TO_WORKER) == set(get_args(ToWorker))
    assert set(FROM_WORKER) == set(get_args(FromWorker))


@pytest.mark.parametrize(("way", "kind"), KINDS)
@given(data=st.data())
def test_a_message_arrives_as_it_was_sent(way: Way, kind: type[Any], data: st.DataObject) -> None:
    message = data.draw(way.kinds[kind])
    line = encode(message)
    assert line.count(b"\n") == 1
    arrived = way.decode(line[:-1])
    assert arrived == message
    assert encode(arrived) == line


@given(recipe=RECIPES)
def test_a_recipe_arrives_with_the_same_digest(recipe: Recipe) -> None:
    """An int stays an int and a float a float: their digests differ."""
    line = encode(RunBatch("s", (messages.Assignment(recipe, Path("/t"), "a", 0),)))
    arrived = decode_to_worker(line)
    assert isinstance(arrived, RunBatch)
    [assignment] = arrived.batch
    assert assignment.recipe.digest == recipe.digest


def test_numbers_to_show_may_be_no_numbers() -> None:
    arrived = decode_from_worker(encode(Progress("d", "train", 1, 2, {"loss": math.nan})))
    assert isinstance(arrived, Progress)
    assert math.isnan(arrived.numbers["loss"])


def decode_challenge(line: bytes) -> Challenge:
    return decode_greeting(Challenge, line)


@pytest.mark.parametrize("decode", [decode_to_worker, decode_from_worker, decode_challenge])
@given(line=LINES)
def test_any_line_is_a_message_or_refused(decode: Callable[[bytes], Any], line: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        decode(line)


@pytest.mark.parametrize(("way", "kind"), KINDS)
@given(data=st.data())
def test_a_message_with_a_field_too_few_too_many_or_wrong_is_refused(
    way: Way, kind: type[Any], data: st.DataObject
) -> None:
    whole = json.loads(encode(data.draw(way.kinds[kind])))
    name = data.draw(st.sampled_from([one.name for one in fields(kind)]))
    needed = [one.name for one in fields(kind) if one.name not in ("together",)]
    for spoilt in (
        {**whole, "further": 1},
        {**whole, name: [["no such value"]]},
        *({key: value for key, value in whole.items() if key != name} for _ in range(name in needed)),
    ):
        with pytest.raises(MalformedMessage):
            way.decode(json.dumps(spoilt).encode())


@pytest.mark.parametrize(("way", "kind"), KINDS)
@given(data=st.data())
def test_a_message_of_the_other_direction_is_refused(way: Way, kind: type[Any], data: st.DataObject) -> None:
    other = FROM if way is TO else TO
    with pytest.raises(MalformedMessage, match="unknown message type"):
        other.decode(encode(data.draw(way.kinds[kind])))


@given(settings=ANY_JSON)
def test_a_recipe_with_any_settings_arrives_or_is_refused(settings: object) -> None:
    assignment = {"recipe": {"core": "c", "seed": 0, "settings": settings}, "folder": "/t", "arm": "a", "seed_index": 0}
    line = json.dumps({"type": "run", "study": "s", "batch": [assignment], "together": 1}).encode()
    with contextlib.suppress(MalformedMessage):
        decode_to_worker(line)


@pytest.mark.parametrize("path", [["setup"], ["setup", "fusion"], ["setup", "compilation"]])
def test_a_field_too_many_is_refused_inside_a_message_too(path: list[str]) -> None:
    setup = messages.WorkerSetup(
        "c", {}, None, (), Path("/r"), Path("/c"), frozenset(), "loss", 1.0, Fusion(), frozenset(), Compilation()
    )
    whole = json.loads(encode(Hello("v", setup, "cpu", None, 1)))
    inner = whole
    for name in path:
        inner = inner[name]
    decode_to_worker(json.dumps(whole).encode())
    inner["further"] = 1
    with pytest.raises(MalformedMessage, match="further"):
        decode_to_worker(json.dumps(whole).encode())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"type":"dance"}', "unknown message type 'dance'"),
        (b"{}", "no message type"),
        (b'{"type":"outcome"}', r"outcome\.digest: "),
        (b'{"type":"curve","digest":"d","images":1,"values":{"psnr":NaN}}', r"curve\.values\.psnr: .*finite"),
        (b'{"type":"curve","digest":"d","images":9223372036854775808,"values":{}}', r"curve\.images: "),
        (b'{"type":"done","spent":1,"peak_mb":null}', r"done\.spent: "),
        (b"[" * 9999, "JSON"),
    ],
)
def test_the_reason_names_what_is_wrong(line: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason) as caught:
        decode_from_worker(line)
    assert len(str(caught.value)) < 400


def test_text_that_has_no_form_in_utf8_is_still_said_and_a_path_is_not_changed() -> None:
    assert decode_from_worker(encode(WorkerNote("step \udcff"))) == WorkerNote("step ?")
    with pytest.raises(UnicodeEncodeError):
        encode(RunBatch("s", (messages.Assignment(Recipe("c", {}, 0), Path("/\udcff"), "a", 0),)))


def test_another_field_is_another_version() -> None:
    one = make_dataclass("One", [("a", "int")])
    others = [make_dataclass("One", [("a", "float")]), make_dataclass("One", [("a", "int"), ("b", "int")])]
    assert messages.fingerprint([one]) == messages.fingerprint([one])
    assert len({messages.fingerprint([kind]) for kind in (one, *others)}) == 3


# ---------------------------------------------------------------------- streams


@given(
    sent=st.lists(st.one_of(*FROM_WORKER.values()), max_size=9),
    cuts=st.lists(st.integers(0, 400)),
    rest=st.binary().filter(lambda rest: b"\n" not in rest),
)
def test_messages_arrive_whole_however_the_stream_is_cut(sent: list[FromWorker], cuts: list[int], rest: bytes) -> None:
    """What a dying writer left of a last line is none."""
    data = b"".join(map(encode, sent)) + rest
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    stream = MessageStream(decode_from_worker)
    found = [one for start, end in zip([0, *ends], ends, strict=False) for one in stream.feed(data[start:end])]
    assert found == sent


@given(before=st.lists(st.one_of(*FROM_WORKER.values()), max_size=3), line=LINES, after=st.binary())
def test_nothing_after_a_line_that_is_no_message_is_looked_at(
    before: list[FromWorker], line: bytes, after: bytes
) -> None:
    stream = MessageStream(decode_from_worker)
    found = stream.feed(b"".join(map(encode, before)) + b"?" + line + b"\n" + after)
    assert found[:-1] == before
    assert isinstance(found[-1], Unreadable)
    assert stream.feed(encode(WorkerNote("all is well"))) == []


def test_a_message_without_end_is_refused() -> None:
    stream = MessageStream(decode_from_worker, most_bytes=20)
    assert stream.feed(b'{"type":"ready"}\n{"type') == [messages.Ready()]
    [refused] = stream.feed(b": 123456789012345678")
    assert isinstance(refused, Unreadable)
    assert "more than 20 bytes" in refused.reason


# ---------------------------------------------------------------------- a worker's side of it


@pytest.fixture
def told() -> Iterator[Callable[[bytes], FromWorker]]:
    """Return a function that tells a new worker something, and returns what it answers."""
    started: list[subprocess.Popen[bytes]] = []

    def tell(line: bytes) -> FromWorker:
        theirs_in, orders = os.pipe()
        news, theirs_out = os.pipe()
        words = [
            sys.executable,
            "-m",
            "ablate.engine.workers.worker",
            str(theirs_in),
            str(theirs_out),
            str(os.getpid()),
        ]
        started.append(subprocess.Popen(words, pass_fds=(theirs_in, theirs_out), start_new_session=True))
        os.close(theirs_in)
        os.close(theirs_out)
        os.write(orders, line + b"\n")
        answer = b""
        while select.select([news], [], [], DEADLINE_S)[0] and (data := os.read(news, 4096)):
            answer += data
        os.close(orders)
        os.close(news)
        return decode_from_worker(answer.rstrip(b"\n"))

    yield tell
    for process in started:
        process.wait(DEADLINE_S)


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1", b'{"type":"hello","version":"9.9","further":true}', b'{"type":"dance"}']
)
def test_a_worker_says_that_it_does_not_understand_the_engine_and_ends(
    told: Callable[[bytes], FromWorker], line: bytes
) -> None:
    answer = told(line)
    assert isinstance(answer, Broken)
    assert "does not understand the engine" in answer.error
