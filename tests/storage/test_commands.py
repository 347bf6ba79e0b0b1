"""Suggested commands find the study again: they name the places that are not the default, and no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.storage.commands import command_at, place_options

SERVER = "postgresql+psycopg2://me:s3cret@host/db"


@pytest.mark.parametrize(
    ("results", "url", "options"),
    [
        ("results", None, {}),
        ("results", "sqlite:///results/ablate.db", {}),
        ("results", "sqlite:///{here}/results/ablate.db", {}),
        ("{here}/results", "sqlite:///results/ablate.db", {}),
        ("rA", None, {"--results": "rA"}),
        ("{here}/rA", "sqlite:///{here}/rA/ablate.db", {"--results": "rA"}),
        ("/else/where", "sqlite:////else/where/ablate.db", {"--results": "/else/where"}),
        ("rA", "sqlite:///results/ablate.db", {"--results": "rA", "--storage": "sqlite:///results/ablate.db"}),
        ("results", "sqlite:///other.db", {"--storage": "sqlite:///other.db"}),
        ("results", SERVER, {"--storage": "postgresql+psycopg2://me@host/db"}),
        ("results", "no url", {"--storage": "no url"}),
    ],
)
def test_only_places_that_are_not_the_default_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: str, url: str | None, options: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    here = url and url.format(here=tmp_path)
    assert place_options(Path(results.format(here=tmp_path)), here) == options


def test_the_places_of_another_machine_make_room_for_those_here() -> None:
    words = ("ablate", "run", "f.yaml", "--results", "theirs", "--storage", SERVER, "--name", "two words", "--confirm")
    assert command_at(words, Path("results"), None) == "ablate run f.yaml --name 'two words' --confirm"
    there = "ablate run f.yaml --results 'o u' --storage sqlite:///x.db --name 'two words' --confirm"
    assert command_at(words, Path("o u"), "sqlite:///x.db") == there
    assert command_at(("ablate", "report", "a b"), Path("o"), None) == "ablate report 'a b' --results o"
