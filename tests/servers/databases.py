"""PostgreSQL and MariaDB, each in a folder of its own. Nothing of the system's own servers is touched."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.servers.daemon import Daemon, folder_for, free_port, listens, program, user_for


class Server(Protocol):
    """A database server with one empty database, which can be taken away and brought back."""

    @property
    def url(self) -> str:
        """Where the database is; it holds the password."""

    @property
    def password(self) -> str:
        """What no message may show."""

    def empty(self) -> None:
        """Drop the database and make it again."""

    def start(self) -> None:
        """Bring it back, on the same port."""

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """Take it away: by default at once, without a word to its clients."""


@dataclass
class Postgres:
    """PostgreSQL."""

    folder: Path
    password: str
    port: int
    daemon: Daemon
    psql: str

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://ablate:{self.password}@127.0.0.1:{self.port}/trials"

    def say(self, *statements: str) -> None:
        """Run SQL as the server's owner."""
        commands = [word for statement in statements for word in ("-c", statement)]
        words = [self.psql, "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port)]
        _run([*words, "-U", "owner", "-d", "postgres", *commands], self.daemon.user)

    def empty(self) -> None:
        self.say("DROP DATABASE IF EXISTS trials WITH (FORCE)", "CREATE DATABASE trials OWNER ablate")

    def start(self) -> None:
        self.daemon.start(self._ready)

    def stop(self, number: int = signal.SIGQUIT) -> None:
        self.daemon.end(number)

    def _ready(self) -> bool:
        words = [self.psql, "-h", str(self.folder), "-p", str(self.port), "-U", "owner", "-d", "postgres", "-c", ""]
        return subprocess.run(words, capture_output=True, check=False, cwd="/").returncode == 0


@dataclass
class MariaDb:
    """MariaDB."""

    folder: Path
    password: str
    port: int
    daemon: Daemon
    client: str

    @property
    def url(self) -> str:
        return f"mysql+pymysql://ablate:{self.password}@127.0.0.1:{self.port}/trials"

    def say(self, statement: str) -> None:
        """Run SQL as root."""
        words = [self.client, "--no-defaults", f"--socket={self.folder}/s", "-u", "root", "-e", statement]
        _run(words, None)

    def empty(self) -> None:
        self.say("DROP DATABASE IF EXISTS trials; CREATE DATABASE trials")

    def start(self) -> None:
        self.daemon.start(lambda: listens(self.port))

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.daemon.end(number)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL; skips the test where it, or its driver, is not installed."""
    pytest.importorskip("psycopg2")
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    initdb, server, psql = (program(name, *folders) for name in ("initdb", "postgres", "psql"))
    user = user_for("postgres")
    folder, password, port = folder_for("pg", user), secrets.token_hex(8), free_port()
    try:
        words = ["--auth-local=trust", "--auth-host=scram-sha-256", "--username=owner", "--encoding=UTF8"]
        _run([initdb, "-D", str(folder / "data"), "--no-sync", "--locale=C", *words], user)
        settings = ["fsync=off", f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        options = [word for setting in settings for word in ("-c", setting)]
        log = folder / "log"
        found = Postgres(
            folder, password, port, Daemon([server, "-D", str(folder / "data"), *options], log, user), psql
        )
        found.start()
        try:
            found.say(f"CREATE ROLE ablate LOGIN PASSWORD '{password}'")
            found.empty()
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mariadb() -> Iterator[MariaDb]:
    """Start a MariaDB; skips the test where it, or its driver, is not installed."""
    pytest.importorskip("pymysql")
    server, install, client = (program(name) for name in ("mariadbd", "mariadb-install-db", "mariadb"))
    user = user_for("mysql")
    folder, password, port = folder_for("my", user), secrets.token_hex(8), free_port()
    try:
        name = user or pwd.getpwuid(os.getuid()).pw_name
        who = f"--user={name}"
        options = [f"--auth-root-socket-user={name}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        _run([install, "--no-defaults", who, f"--datadir={folder}/data", *options], None)
        words = [server, "--no-defaults", who, f"--datadir={folder}/data", f"--socket={folder}/s", f"--port={port}"]
        more = ["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2", f"--pid-file={folder}/pid"]
        found = MariaDb(folder, password, port, Daemon([*words, *more], folder / "log"), client)
        found.start()
        try:
            found.say(f"CREATE USER ablate@'%' IDENTIFIED BY '{password}'; GRANT ALL ON trials.* TO ablate@'%'")
            found.empty()
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(words: Sequence[str], user: str | None) -> None:
    group = None if user is None else pwd.getpwnam(user).pw_gid
    done = subprocess.run(words, user=user, group=group, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        pytest.fail(f"{words[0]}: {done.stderr[-2000:]}")
