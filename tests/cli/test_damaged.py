"""Whatever is read back may be damaged: one error that says what, and what to do, and never a bug in ablate."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from ablate.engine.records.lock import StudyLock, read_holder
from ablate.errors import DamagedError, ExitCode
from ablate.study.stored_plan import study_of
from tests.cli.conftest import Ablate

DEEP = "[" * 100_000
READING = [
    ("status", "steps"),
    ("report", "steps", "--no-figures"),
    ("audit", "steps"),
    ("show", "baseline"),
    ("export",),
]


def change(sql: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect("results/ablate.db")) as connection, connection:
        assert connection.execute(sql, values).rowcount > 0


def attribute(key: str, text: str) -> None:
    change("update trial_user_attributes set value_json = ? where key = ? and trial_id = 1", text, key)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("seed", '"one"'),
        ("seed", "-1"),
        ("seed", "1e400"),
        ("arm", "7"),
        ("outcome", '"no such"'),
        ("metrics", "[]"),
        ("metrics", '{"score": "high"}'),
        ("metrics", '{"score": NaN}'),
        ("metrics", "{"),
        ("metrics", DEEP),
        ("arm", ""),
    ],
    ids=lambda value: value[:20],
)
@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_a_damaged_trial_is_named(ablate: Ablate, half_done: Path, words: tuple[str, ...], key: str, text: str) -> None:
    attribute(key, text)
    said = ablate(*words)
    assert said.code == ExitCode.USAGE
    assert "study 'steps' in results/ablate.db is damaged: " in said.err
    assert "trial" in said.err
    assert "hint: restore a copy" in said.err


@pytest.mark.parametrize(
    "sql",
    [
        "update trial_params set distribution_json = '{}' where trial_id = 1",
        "update trial_params set distribution_json = 'x' where trial_id = 1",
        "update trials set state = 'MAYBE' where trial_id = 1",
        "update trials set number = 'first' where trial_id = 1",
        "update trials set datetime_start = 'yesterday' where trial_id = 1",
    ],
)
def test_a_damaged_row_is_named(ablate: Ablate, half_done: Path, sql: str) -> None:
    change(sql)
    said = ablate("export", "steps")
    assert said.code == ExitCode.USAGE
    assert "is damaged: " in said.err


@pytest.mark.parametrize("text", ["{", DEEP, "", '"{"', '"[]"', '"7"', "7"], ids=lambda text: text[:5])
def test_a_damaged_plan_is_one_clear_error(ablate: Ablate, half_done: Path, text: str) -> None:
    change("update study_system_attributes set value_json = ? where key = 'ablate.plan'", text)
    for words in (*READING, ("run", "steps.yaml"), ("plan", "steps.yaml")):
        said = ablate(*words)
        assert said.code == ExitCode.USAGE
        assert said.err.startswith("error: ")
        assert "bug" not in said.err


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("alpha",), "often"),
        (("alpha",), 2),
        (("arms",), []),
        (("arms", 0, "settings"), None),
        (("arms", 0, "levels"), [1]),
        (("metrics", 0, "digits"), "3"),
        (("metrics", 0, "digits"), 10**9),
        (("metrics", 0, "primary"), False),
        (("looks",), ["three"]),
        (("factors",), ["no such setting"]),
        (("designs",), [{"kind": "vary"}]),
        (("searches",), [{}]),
        (("method",), {"test": "guess"}),
        (("method",), {"guess": 1}),
        (("budget",), {"hours": float("nan")}),
        (("blocks",), {"kind": "guess", "blocks": []}),
        (("blocks",), {"kind": "fixed", "blocks": [{"name": "x", "levels": {"data": 1}}]}),
        (("blocks",), [1]),
        (("text",), 1),
    ],
)
def test_every_part_of_a_stored_plan_is_checked(half_done: Path, path: tuple[str | int, ...], value: object) -> None:
    with contextlib.closing(sqlite3.connect("results/ablate.db")) as connection:
        query = "select value_json from study_system_attributes where key = 'ablate.plan'"
        plan = json.loads(json.loads(connection.execute(query).fetchone()[0]))
    assert study_of(plan).name == "steps"
    place = plan
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(DamagedError):
        study_of(plan)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"7",
        b"[]",
        b'{"pid": "x"}',
        b'{"pid": -1, "host": "h", "since": "s"}',
        b'{"pid": 1e400, "host": "h", "since": "s"}',
        b'{"pid": 1, "host": "h", "since": "s", "workers": 3}',
        b'{"pid": 1, "host": "h", "since": "s", "workers": [{"pid": "0"}]}',
        b'{"pid": 99999999999999999999, "host": "h", "since": "s"}',
        DEEP.encode(),
    ],
    ids=lambda content: repr(content[:30]),
)
def test_an_odd_lock_file_stops_nobody(ablate: Ablate, half_done: Path, content: bytes) -> None:
    lock = Path("results/steps/.lock")
    lock.write_bytes(content)
    assert read_holder(lock) is None
    assert ablate("status", "steps").code == 0
    assert ablate("audit", "steps").code in (ExitCode.UNSOUND, ExitCode.INCOMPLETE)
    with StudyLock(lock) as held:
        assert held.orphans == ()
    holder = read_holder(lock)
    assert holder is not None
    assert holder.alive is False


def test_a_database_that_is_deleted_during_a_run_is_noticed(ablate: Ablate, project: Path) -> None:
    """The core deletes it in the first trial: the run ends, and the same command takes up the outcome files."""
    core = Path("toycore.py")
    text = core.read_text(encoding="utf-8")
    database = Path("results/ablate.db").absolute()
    remove = f"__import__('pathlib').Path({str(database)!r}).unlink(missing_ok=True)\n            "
    core.write_text(text.replace("lr, steps = recipe", f"{remove}lr, steps = recipe"), encoding="utf-8")
    words = ("run", "steps.yaml", "--slots", "1", "--gpus", "none", "--quiet", "--no-report")
    said = ablate(*words)
    assert said.code == ExitCode.USAGE
    assert "was deleted or replaced while the study was run" in said.err
    core.write_text(text, encoding="utf-8")
    assert ablate(*words).code == ExitCode.DONE
    assert ablate("audit", "steps").code == ExitCode.DONE


@pytest.mark.parametrize("when", ["yesterday", "2026-13-01", 7])
def test_odd_dates_in_an_archive_are_damage(ablate: Ablate, finished: Path, when: object) -> None:
    import hashlib
    import zipfile

    assert ablate("archive", "steps", "steps.zip").code == 0
    with zipfile.ZipFile("steps.zip") as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    first, *others = files["trials.jsonl"].splitlines(keepends=True)
    files["trials.jsonl"] = json.dumps({**json.loads(first), "started_at": when}).encode() + b"\n" + b"".join(others)
    manifest = json.loads(files["manifest.json"])
    manifest["entries"]["trials.jsonl"] = hashlib.sha256(files["trials.jsonl"]).hexdigest()
    files["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile("odd.zip", "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    shutil.rmtree("results")
    said = ablate("import", "odd.zip")
    assert said.code == ExitCode.USAGE
    assert "trials.jsonl, line 1 is not a trial" in said.err
    assert not Path("results").exists()
