"""Storage URLs: what they point to, and how they are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.errors import StorageError
from ablate.storage.address import shown, sqlite_path, without_password


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///results/ablate.db", "results/ablate.db"),
        ("sqlite:////tmp/a b/ablate.db", "/tmp/a b/ablate.db"),
        ("sqlite+pysqlite:///x.db", "x.db"),
        ("sqlite:////tmp/what?/100%25 #1/ablate.db", "/tmp/what?/100%25 #1/ablate.db"),
        ("sqlite:////tmp/two\nlines/ablate.db", "/tmp/two\nlines/ablate.db"),
    ],
)
def test_a_sqlite_url_is_a_path_taken_literally(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


def test_a_server_url_has_no_path() -> None:
    assert sqlite_path("postgresql+psycopg://me:secret@host/db") is None


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x.db?uri=true", "sqlite:///x.db?timeout=3"),
        *("sqlite:x.db", "sqlite://host/x.db", "results/ablate.db", "", "C:\\ablate.db"),
    ],
)
def test_what_cannot_remember_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        sqlite_path(url)
    assert caught.value.hint is not None
    assert "\n" not in caught.value.message


def test_passwords_are_never_shown() -> None:
    assert shown("mysql://me:s3cret@host:3306/db") == "mysql://me@host:3306/db"
    assert shown("postgresql://host/db") == "postgresql://host/db"


def test_a_file_is_shown_as_its_path() -> None:
    assert shown("sqlite:///results/ablate.db") == "results/ablate.db"


SECRET = "s3/c:r@e't"


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (f"postgresql+psycopg2://me:{SECRET}@host:5432/db", "postgresql+psycopg2://me@host:5432/db"),
        (f"mysql://:{SECRET}@host/db", "mysql://@host/db"),
        ("mysql://me:two words@host/db", "mysql://me@host/db"),
        (f"postgresql://host/db?user=me&password={SECRET}&sslmode=require", "postgresql://host/db?user=me&sslmode=require"),
        (f"postgresql://host/db?sslpassword={SECRET}", "postgresql://host/db"),
        (f"run a --storage POSTGRES://me:{SECRET}@h/db --name b", "run a --storage POSTGRES://me@h/db --name b"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("sqlite:////tmp/a:b@c.db", "sqlite:////tmp/a:b@c.db"),
        ("me: a@b", "me: a@b"),
    ],
)  # fmt: skip
def test_urls_lose_their_passwords_and_nothing_else(given: str, left: str) -> None:
    assert without_password(given) == left


@pytest.mark.parametrize("start", ["Postgresql://", "postgresql:/", "postgresql//", ""])
def test_a_mistyped_url_does_not_show_its_password_either(start: str) -> None:
    with pytest.raises(StorageError) as caught:
        sqlite_path(f"{start}me:{SECRET}@host/db")
    assert "s3" not in caught.value.message


@pytest.mark.parametrize("url", ["journal:///x.log", "grpc://host:13000", "GRPC://host", "redis://h/0", "https://h/db"])
def test_storages_that_ablate_cannot_use_are_refused_by_name(url: str) -> None:
    with pytest.raises(StorageError, match=url.partition(":")[0].lower()) as caught:
        sqlite_path(url)
    assert "database server" in str(caught.value.hint)
