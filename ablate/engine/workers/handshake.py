"""How the engine and a worker on another machine make sure of each other before they trust a word.

Both know a random token, through a ticket: a file in the results folder that only the user can read. Each shows that it
does by a keyed digest (HMAC-SHA256) of random numbers of both sides; the token itself never travels. The engine must
be sure because whoever speaks as a worker decides what is recorded; the worker, because whoever speaks as the engine
decides what code it imports. The worker also writes a file beside its ticket, in which the engine must find what the
worker then says: so both see one results folder. Both also state their version, and refuse each other when the versions
differ.
"""

from __future__ import annotations

import hmac
import json
import os
import platform
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter

from ablate.engine.workers.messages import (
    VERSION,
    Admission,
    Challenge,
    Introduction,
    MalformedMessage,
    decode_greeting,
    encode,
    other_version,
)

GREETING_S = 10.0
"""Who has not shown by then that it knows a token is turned away."""
NO_TICKET, NO_ENGINE, WRONG_ENGINE, WRONG_VERSION = 66, 67, 68, 69
"""Exit codes of a worker that does not get as far as talking to the engine."""
_CONNECT_S = 30.0
_MOST_BYTES = 1024
_NONCE_BYTES = 32
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6, "TCP_USER_TIMEOUT": 90_000}
"""A machine that is gone without a word is noticed after a minute and a half."""


class Refused(Exception):
    """The other side did not show what it must show."""


class OtherVersion(Exception):
    """The engine is another version of ablate."""


class Unreachable(Exception):
    """The engine cannot be reached from here."""


@dataclass(frozen=True)
class Ticket:
    """What a worker needs to report to the engine that waits for it."""

    host: str
    port: int
    name: str
    """Of the worker."""
    token: str

    @classmethod
    def new(cls, host: str, port: int) -> Ticket:
        """Return a ticket with a fresh name and token."""
        return cls(host, port, secrets.token_hex(8), secrets.token_hex(32))

    def write(self, folder: Path) -> Path:
        """Write it into `folder`, for this user's eyes only, and return the file."""
        path = folder / f"{self.name}.ticket"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
            json.dump(asdict(self), handle)
        return path

    @classmethod
    def read(cls, path: Path) -> Ticket:
        """Read a ticket; raises OSError when it is not there (any more) or not valid."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except ValueError as error:
            raise OSError(f"it is not a valid ticket: {error}") from error

    def proof(self, side: Literal["worker", "engine"], *said: str) -> str:
        """Return the digest that shows that `side` knows the token and has heard `said`."""
        return hmac.digest(self.token.encode(), "\0".join((side, self.name, *said)).encode(), "sha256").hex()


def node_name() -> str:
    """Return what the cluster calls this machine: Slurm's name for the node, else its own."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def probe_path(folder: Path, name: str) -> Path:
    """The file by which worker `name` shows that it writes into the same folder."""
    return folder / f"{name}.probe"


# ---------------------------------------------------------------------- the worker's side


def report_to_engine(path: Path) -> socket.socket:
    """Connect to the engine whose ticket is the file `path`; return the connection when both sides are sure.

    Raises OSError when the ticket cannot be read or the folder not be written, Unreachable without a connection,
    Refused when whoever answers is not the engine, and OtherVersion when the engine is not of this version.
    """
    ticket = Ticket.read(path)
    probe = secrets.token_hex(_NONCE_BYTES)
    probe_path(path.parent, ticket.name).write_text(probe, encoding="ascii")
    try:
        connection = socket.create_connection((ticket.host, ticket.port), timeout=_CONNECT_S)
    except OSError as error:
        raise Unreachable(f"cannot connect to {ticket.host} port {ticket.port}: {error}") from error
    try:
        _show_to_engine(connection, ticket, probe)
    except BaseException:
        connection.close()
        raise
    return connection


def _show_to_engine(connection: socket.socket, ticket: Ticket, probe: str) -> None:
    nonce = secrets.token_hex(_NONCE_BYTES)
    try:
        theirs = _receive(Challenge, connection, time.monotonic() + _CONNECT_S)
        proof = ticket.proof("worker", theirs.nonce, nonce, probe)
        words = Introduction(ticket.name, nonce, probe, proof, node_name(), VERSION)
        connection.sendall(encode(words))
        # The engine answers when it has seen the probe, which may take a network file system a while.
        answer = _receive(Admission, connection, time.monotonic() + 2 * _CONNECT_S)
    except (OSError, MalformedMessage) as error:
        raise Refused(f"{ticket.host} port {ticket.port} does not answer like the engine: {error!r}") from error
    if not _same(answer.proof, ticket.proof("engine", theirs.nonce, nonce, probe)):
        raise Refused(f"{ticket.host} port {ticket.port} is not the engine of this ticket")
    if theirs.version != VERSION:
        raise OtherVersion(f"the engine runs {other_version(theirs.version)}")
    settle(connection)


# ---------------------------------------------------------------------- the engine's side


@dataclass(frozen=True)
class Caller:
    """A worker that has shown that it knows its token."""

    name: str
    node: str
    """Name of its machine, as it says."""
    probe: str
    """What its probe file holds, where it wrote it."""
    version: str
    """Of ablate, as it says; empty where it does not."""
    answer: Admission
    """What it waits for."""


def examine(connection: socket.socket, tickets: dict[str, Ticket]) -> Caller:
    """Let a caller show that it knows the token of one of `tickets`; raises Refused when it does not, in time."""
    nonce = secrets.token_hex(_NONCE_BYTES)
    try:
        connection.settimeout(GREETING_S)
        connection.sendall(encode(Challenge(nonce, VERSION)))
        words = _receive(Introduction, connection, time.monotonic() + GREETING_S)
    except (OSError, MalformedMessage) as error:
        raise Refused(repr(error)) from error
    # An unknown name is compared too, so that the time taken tells nothing about names.
    ticket = tickets.get(words.name) or Ticket.new("", 0)
    if not _same(words.proof, ticket.proof("worker", nonce, words.nonce, words.probe)):
        raise Refused("it does not know the token")
    answer = Admission(ticket.proof("engine", nonce, words.nonce, words.probe))
    return Caller(words.name, words.node, words.probe, words.version, answer)


def settle(connection: socket.socket) -> None:
    """Make a connection last: no time limit, small messages at once, and a dead peer noticed."""
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


_G = TypeVar("_G", Challenge, Introduction, Admission)


def _receive(kind: type[_G], connection: socket.socket, until: float) -> _G:
    """Return one greeting, and leave what follows it unread; raises OSError or MalformedMessage."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if len(line) >= _MOST_BYTES:
            raise MalformedMessage("the greeting is too long")
        connection.settimeout(max(0.001, until - time.monotonic()))
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError("the connection was closed")
        line += byte
    return decode_greeting(kind, bytes(line))
