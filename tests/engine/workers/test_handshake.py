"""Who is let in: those who know the token of a ticket, once, and nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.engine.clusters.listener import Listener
from ablate.engine.workers.handshake import (
    Caller,
    OtherVersion,
    Refused,
    Ticket,
    Unreachable,
    examine,
    probe_path,
    report_to_engine,
)
from ablate.engine.workers.messages import VERSION, Admission, Challenge, Introduction, Stop, encode
from ablate.errors import AblateError
from tests.engine.conftest import DEADLINE_S


class Desk:
    """Takes arrivals, and keeps what is known of them."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.caller: Caller | None = None
        self.shared: bool | None = None

    def take(self, connection: socket.socket, caller: Caller, shared: bool) -> None:
        self.caller, self.shared = caller, shared
        self.arrived.set()
        connection.sendall(b"hello\n")


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """Return a dock that listens on this machine only."""
    found = Listener("127.0.0.1", 0, tmp_path)
    yield found
    found.close()


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    connection.settimeout(DEADLINE_S)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(4096):
            found += data
    return found


def test_a_worker_with_its_ticket_is_let_in_once(listener: Listener, tmp_path: Path) -> None:
    desk = Desk()
    name, path = listener.expect(desk.take)
    copy = path.read_bytes()
    with report_to_engine(path) as connection:
        assert connection.recv(6) == b"hello\n"
        assert desk.arrived.wait(DEADLINE_S)
    assert desk.caller is not None
    assert desk.caller.name == name
    assert desk.shared is True
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(copy)
    with pytest.raises(Refused):
        report_to_engine(path)


def test_a_ticket_is_for_its_owner_only(listener: Listener) -> None:
    _, path = listener.expect(Desk().take)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_token_never_travels(tmp_path: Path) -> None:
    ticket = Ticket.new("127.0.0.1", 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        known: list[str] = []
        thread = threading.Thread(target=lambda: known.append(examine(ours, {ticket.name: ticket}).name))
        thread.start()
        nonce = json.loads(theirs.recv(4096))["nonce"]
        proof = ticket.proof("worker", nonce, "n", "p")
        said = encode(Introduction(ticket.name, "n", "p", proof))
        assert ticket.token.encode() not in said
        theirs.sendall(said)
        thread.join(DEADLINE_S)
    assert known == [ticket.name]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"\xff\xfe\n",
        b"[" * 1000 + b"\n",
        b"x" * 5000,
        encode(Introduction("nobody", "n", "p", "00")),
        encode(Introduction("nobody", "n", "p", "é")),
        b'{"name": "nobody", "nonce": "n", "probe": "p", "proof": null}\n',
        b'{"name": ["a"], "nonce": {}, "probe": 1, "proof": "00"}\n',
    ],
)
def test_strangers_are_turned_away(listener: Listener, said: bytes) -> None:
    desk = Desk()
    listener.expect(desk.take)
    with socket.create_connection((listener.host, listener.port)) as connection:
        with contextlib.suppress(OSError):  # it may have been turned away by then
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
        answer = read_to_end(connection)
    assert b"hello" not in answer
    assert answer.count(b"\n") <= 1
    assert not desk.arrived.is_set()


def test_a_proof_that_was_heard_does_not_let_in_anybody_else(listener: Listener) -> None:
    """The engine's number is another one each time."""
    _, path = listener.expect(Desk().take)
    ticket = Ticket.read(path)
    proof = ticket.proof("worker", "the number of an earlier greeting", "n", "p")
    with socket.create_connection((listener.host, listener.port)) as connection:
        connection.sendall(encode(Introduction(ticket.name, "n", "p", proof)))
        assert read_to_end(connection).count(b"\n") == 1


def test_a_worker_does_not_trust_whoever_listens(tmp_path: Path) -> None:
    """After the engine is gone, its port may be somebody else's, who would name the code to import."""
    listener = socket.create_server(("127.0.0.1", 0))
    path = Ticket.new("127.0.0.1", listener.getsockname()[1]).write(tmp_path)

    def pretend() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(encode(Challenge("00")))
            connection.recv(4096)
            connection.sendall(encode(Admission("00" * 32)) + encode(Stop()))

    thread = threading.Thread(target=pretend)
    with listener:
        thread.start()
        with pytest.raises(Refused, match="is not the engine of this ticket"):
            report_to_engine(path)
        thread.join(DEADLINE_S)


def test_an_engine_that_is_gone_is_said_to_be_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    path = Ticket.new("127.0.0.1", port).write(tmp_path)
    with pytest.raises(Unreachable, match=f"port {port}"):
        report_to_engine(path)


def test_a_folder_that_is_not_shared_is_noticed(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker reads its ticket, and writes where the engine does not look."""
    monkeypatch.setattr("ablate.engine.clusters.listener.PROBE_S", 0.0)
    desk = Desk()
    _, path = listener.expect(desk.take)
    elsewhere = tmp_path / "another"
    elsewhere.mkdir()
    copy = elsewhere / path.name
    copy.write_bytes(path.read_bytes())
    with report_to_engine(copy):
        assert desk.arrived.wait(DEADLINE_S)
    assert desk.shared is False
    assert not probe_path(tmp_path, path.stem).exists()


def test_an_address_that_is_not_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AblateError, match=r"cannot listen on 192\.0\.2\.1"):
        Listener("192.0.2.1", 0, tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_nobody_can_connect_to_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(AblateError, match="stands for every address of this machine"):
        Listener(host, 0, tmp_path)


def test_a_closed_dock_lets_nobody_in(tmp_path: Path) -> None:
    listener = Listener("127.0.0.1", 0, tmp_path)
    listener.close()
    with pytest.raises(OSError, match=os.strerror(111)):
        socket.create_connection((listener.host, listener.port))


@pytest.mark.parametrize("version", ['"version": "9.9", "further": {"words": []}', '"version": ""', '"further": 1'])
def test_a_worker_parts_from_an_engine_of_another_version(tmp_path: Path, version: str) -> None:
    """Greetings of other versions are understood, with what they do not say and with what they say besides."""
    listener = socket.create_server(("127.0.0.1", 0))
    ticket = Ticket.new("127.0.0.1", listener.getsockname()[1])

    def greet() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(f'{{"nonce": "00", {version}}}\n'.encode())
            words = json.loads(connection.recv(4096))
            proof = ticket.proof("engine", "00", words["nonce"], words["probe"])
            connection.sendall(f'{{"proof": "{proof}", "more": 1}}\n'.encode())

    thread = threading.Thread(target=greet)
    with listener:
        thread.start()
        with pytest.raises(OtherVersion) as caught:
            report_to_engine(ticket.write(tmp_path))
        thread.join(DEADLINE_S)
    assert VERSION in str(caught.value)
    assert ("9.9" in version) == ("9.9" in str(caught.value))


@pytest.mark.parametrize(("said", "known"), [({"version": "9.9", "more": [1]}, "9.9"), ({}, "")])
def test_the_engine_knows_a_worker_of_another_version_by_its_token(said: dict[str, object], known: str) -> None:
    ticket = Ticket.new("127.0.0.1", 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        callers: list[Caller] = []
        thread = threading.Thread(target=lambda: callers.append(examine(ours, {ticket.name: ticket})))
        thread.start()
        challenge = json.loads(theirs.recv(4096))
        proof = ticket.proof("worker", challenge["nonce"], "n", "p")
        words = {"name": ticket.name, "nonce": "n", "probe": "p", "proof": proof, **said}
        theirs.sendall(json.dumps(words).encode() + b"\n")
        thread.join(DEADLINE_S)
    assert challenge["version"] == VERSION
    assert [(caller.name, caller.version) for caller in callers] == [(ticket.name, known)]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"host": "127.0.0.1"}', '{"host": 1, "port": 1, "name": "n", "token": "t"}']
)
def test_a_damaged_ticket_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.ticket").write_text(text, encoding="utf-8")
    with pytest.raises(OSError, match="not a valid ticket"):
        report_to_engine(tmp_path / "t.ticket")


def test_waiting_for_a_stranger_holds_nobody_up(listener: Listener) -> None:
    desk = Desk()
    _, path = listener.expect(desk.take)
    with socket.create_connection((listener.host, listener.port)) as silent, report_to_engine(path) as connection:
        assert connection.recv(6) == b"hello\n"
        assert select.select([silent], [], [], DEADLINE_S)[0]
