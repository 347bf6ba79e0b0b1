"""Where workers from other machines arrive: a listening socket, and a thread for each of them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from ablate.engine.workers.handshake import Caller, Refused, Ticket, examine, probe_path, settle
from ablate.engine.workers.messages import encode
from ablate.errors import AblateError

_STRANGERS = 32
"""Most connections at a time that have not shown yet that they know a token."""
PROBE_S = 20.0
_LOOK_AGAIN_S = 0.2

Arrival = Callable[[socket.socket, Caller, bool], None]
"""Takes a worker's connection until it ends; the flag says whether its probe was found in the results folder."""


class Listener:
    """Listens at one address; lets in only those who know the token of a ticket that was written here."""

    def __init__(self, host: str, port: int, folder: Path) -> None:
        """Listen at `host`; port 0 takes a free one. Tickets go to `folder`. Raises AblateError when that cannot be."""
        self._folder = folder
        self._tickets: dict[str, Ticket] = {}
        self._arrivals: dict[str, Arrival] = {}
        self._strangers = threading.BoundedSemaphore(_STRANGERS)
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._listener = socket.create_server(address[:2], family=family)
        except OSError as error:
            raise AblateError(
                f"cannot listen on {host} port {port}: {error}",
                hint="name an address of this machine that the workers can reach: --listen HOST or HOST:PORT",
            ) from error
        self.host, self.port = self._listener.getsockname()[:2]
        if ip_address(self.host).is_unspecified:
            self._listener.close()
            raise AblateError(
                f"{host} stands for every address of this machine; workers cannot connect to it",
                hint="name one that the workers can reach: --listen HOST or HOST:PORT",
            )
        threading.Thread(target=self._accept, name="dock", daemon=True).start()

    def expect(self, arrival: Arrival) -> tuple[str, Path]:
        """Write a ticket for a worker, whose connection `arrival` will take; return its name and the ticket's file."""
        ticket = Ticket.new(self.host, self.port)
        self._arrivals[ticket.name] = arrival
        self._tickets[ticket.name] = ticket
        return ticket.name, ticket.write(self._folder)

    def forget(self, name: str) -> None:
        """Let nobody in any more who knows this worker's token, and remove its files."""
        ticket = self._tickets.pop(name, None)
        self._arrivals.pop(name, None)
        if ticket is not None:
            for path in (self._folder / f"{name}.ticket", probe_path(self._folder, name)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop listening; connections that were let in stay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()
        for name in list(self._tickets):
            self.forget(name)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._listener.fileno() < 0:
                    return
                time.sleep(_LOOK_AGAIN_S)  # out of descriptors, or a caller that left at once
                continue
            if self._strangers.acquire(blocking=False):
                threading.Thread(target=self._receive, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def _receive(self, connection: socket.socket) -> None:
        with connection:
            try:
                caller = examine(connection, self._tickets)
            except Refused:
                return
            finally:
                self._strangers.release()
            arrival = self._arrivals.pop(caller.name, None)  # a ticket lets in one
            if arrival is None:
                return
            shared = self._sees(caller)
            self.forget(caller.name)
            with contextlib.suppress(OSError):
                connection.sendall(encode(caller.answer))
                settle(connection)
            arrival(connection, caller, shared)

    def _sees(self, caller: Caller) -> bool:
        """Whether what the worker wrote turns up here; network file systems may show new files late."""
        until = time.monotonic() + PROBE_S
        path = probe_path(self._folder, caller.name)
        while True:
            with contextlib.suppress(OSError):
                if path.read_text(encoding="ascii", errors="replace") == caller.probe:
                    return True
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_AGAIN_S)
