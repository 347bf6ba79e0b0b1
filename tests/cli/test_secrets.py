"""The password of a storage URL never leaves the process: not in messages, not in files, not in the storage."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ablate.api.param_kinds import param_kinds
from ablate.api.reports import ForeignSource
from ablate.api.request import Request, prepare
from ablate.display.error_display import report_bug
from ablate.storage.faults import explain
from ablate.storage.store import Store
from tests.cli.conftest import Ablate

SECRET = "s3cr/t@pa:ss"
URL = f"postgresql+psycopg2://me:{SECRET}@db.example/ablate"
SHOWN = "postgresql+psycopg2://me@db.example/ablate"


def test_the_command_that_is_kept_has_no_password() -> None:
    command = Request(Path("steps.yaml"), storage=URL).command()
    assert command == f"ablate run steps.yaml --storage {SHOWN}"


@pytest.fixture
def stored_secret(half_done: Path) -> Path:
    """A study whose stored command has a password: an earlier ablate kept it so."""
    prepared = prepare(Request(Path("steps.yaml")))
    study = prepared.study
    with Store.open(
        prepared.place.url,
        study.name,
        kinds=param_kinds(prepared.core),
        primary=study.primary.name,
        direction=study.primary.direction,
        attributes={},
    ) as store:
        store.set_attributes(
            {"ablate.command": f"ablate run steps.yaml --seeds 3 --storage '{URL}' --track 'mlflow:{URL}'"}
        )
    return half_done


def test_nothing_that_is_shown_or_written_has_the_password(ablate: Ablate, stored_secret: Path) -> None:
    said = [
        ablate("status", "steps"),
        ablate("status", "--json"),
        ablate("report", "steps", "--no-figures"),
        ablate("archive", "steps", "steps.zip"),
        ablate("rename", "steps", "renamed"),
        ablate("import", "steps.zip"),
        ablate("status", "renamed"),
    ]
    assert [one.code for one in said] == [0] * len(said)
    assert SHOWN in said[0].out
    files = [path for path in Path("results").rglob("*") if path.is_file() and path.suffix != ".db"]
    texts = [one.out + one.err for one in said] + [path.read_bytes().decode(errors="replace") for path in files]
    with zipfile.ZipFile("steps.zip") as packed:
        texts += [packed.read(name).decode(errors="replace") for name in packed.namelist()]
    assert [text for text in texts if "s3cr" in text] == []


def test_a_new_command_replaces_the_stored_password(ablate: Ablate, stored_secret: Path) -> None:
    assert ablate("rename", "steps", "renamed").code == 0
    found = ablate("sql", "select value_json from study_user_attributes where key = 'ablate.command'").out
    assert "ablate run" in found
    assert "s3cr" not in found


def test_what_a_driver_says_is_shown_without_it() -> None:
    error = explain(RuntimeError(f"could not connect to {URL}"), SHOWN)
    assert "could not connect" in error.message
    assert "s3cr" not in f"{error.message} {error.hint}"


def test_a_bug_report_has_no_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["ablate", "status", "--storage", URL])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = ValueError(f"cannot parse {URL}")
    report_bug(ValueError, error, None)
    (log,) = tmp_path.glob("ablate-*.log")
    for text in (capsys.readouterr().err, log.read_text(encoding="utf-8")):
        assert SHOWN in text
        assert "s3cr" not in text


def test_other_sources_are_named_without_it(ablate: Ablate, project: Path) -> None:
    for source in (f"optuna:{URL}#study", f"sqlite:{URL}", f"{URL}"):
        said = ablate("report", "--from", source)
        assert said.code != 0
        assert "s3cr" not in said.err
    assert "s3cr" not in ForeignSource(f"optuna:{URL}#study").command("plain")


def test_an_unreachable_server_is_named_without_it(ablate: Ablate, project: Path) -> None:
    said = ablate("status", "--storage", URL)
    assert said.code != 0
    assert said.err.startswith("error: ")
    assert "bug in ablate" not in said.err
    assert "s3cr" not in said.err
