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


@pytest.fixture
def one_of_two(ablate: Ablate, finished: Path) -> Path:
    """Two studies in a storage; a row of the first is damaged."""
    words = ("--name", "second", "--seeds", "1", "--slots", "1", "--gpus", "none", "--quiet", "--no-report")
    assert ablate("run", "steps.yaml", *words).code == 0
    attribute("metrics", "{bad")
    return finished


DAMAGED = "error: study 'steps' in results/ablate.db is damaged: "


@pytest.mark.usefixtures("one_of_two")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("status",), "second"),
        (("export",), "second,0,baseline"),
        (("export", "--format", "json"), '"study": "second"'),
        (("audit",), "second: sound"),
        (("report", "--no-figures"), "lr=0.2"),
        (("show", "lr=0.2"), "second/trials"),
        (("claims",), "not measured"),
        (("cache", "list"), ""),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_damaged_study_does_not_hide_the_others(ablate: Ablate, words: tuple[str, ...], shown: str) -> None:
    said = ablate(*words)
    assert said.code == ExitCode.USAGE
    assert shown in said.out
    assert said.err.count(DAMAGED) == 1
    assert "hint: restore a copy" in said.err


@pytest.mark.usefixtures("one_of_two")
def test_status_has_a_line_for_a_damaged_study(ablate: Ablate) -> None:
    for words in (("status",), ("status", "--watch")):
        said = ablate(*words)
        assert (said.code, said.out.splitlines()[1].split()[:2]) == (ExitCode.USAGE, ["second", "4/4"])
        assert said.out.splitlines()[2].split() == ["steps", "damaged"]
    events = [json.loads(line) for line in ablate("status", "--json").out.splitlines()]
    assert [(event["event"], event["study"]) for event in events] == [("study", "second"), ("damaged", "steps")]
    assert "is damaged: " in events[1]["error"]


@pytest.mark.usefixtures("one_of_two")
def test_all_studies_may_be_damaged(ablate: Ablate) -> None:
    change("update trial_user_attributes set value_json = '{bad' where key = 'metrics'")
    said = ablate("status")
    assert said.code == ExitCode.USAGE
    assert [line.split() for line in said.out.splitlines()[1:]] == [["steps", "damaged"], ["second", "damaged"]]
    said = ablate("export")
    assert (said.code, said.out, said.err.count("is damaged: ")) == (ExitCode.USAGE, "", 2)


@pytest.mark.usefixtures("one_of_two")
def test_nothing_is_deleted_while_nobody_knows_what_a_damaged_study_uses(ablate: Ablate) -> None:
    for words in (("--unused",), ("--older-than", "0")):
        said = ablate("cache", "prune", *words)
        assert said.code == ExitCode.USAGE
        assert DAMAGED in said.err


@pytest.mark.usefixtures("one_of_two")
def test_a_study_written_by_a_newer_ablate_is_called_unreadable(ablate: Ablate) -> None:
    change("update study_user_attributes set value_json = '99' where key = 'ablate.schema' and study_id = 1")
    said = ablate("status")
    assert (said.code, said.out.splitlines()[2].split()) == (ExitCode.USAGE, ["steps", "unreadable"])
    assert "was written by a newer ablate" in said.err


RUN = ("run", "steps.yaml", "--slots", "1", "--gpus", "none", "--no-report")


def test_a_run_with_nothing_to_do_repairs_damaged_files(ablate: Ablate, finished: Path) -> None:
    outcome = Path("results/steps/trials/baseline-s0/outcome.json")
    before = outcome.read_bytes()
    outcome.write_text("x", encoding="utf-8")
    assert ablate(*RUN, "--dry-run").code == 0
    assert outcome.read_text(encoding="utf-8") == "x"
    said = ablate(*RUN)
    assert said.code == ExitCode.DONE
    assert said.err.startswith(
        "steps: 1 damaged file of trials set aside and written again\nsteps: all 12 trials are done"
    )
    assert outcome.read_bytes() == before
    assert ablate("audit", "steps").code == ExitCode.DONE
    outcome.write_text("x", encoding="utf-8")
    assert json.loads(ablate(*RUN, "--json").out)["repaired"] == 1
    assert "damaged" not in ablate(*RUN).err


def test_damaged_files_of_a_study_that_is_being_run_are_left_alone(ablate: Ablate, finished: Path) -> None:
    outcome = Path("results/steps/trials/baseline-s0/outcome.json")
    outcome.write_text("x", encoding="utf-8")
    with StudyLock(Path("results/steps/.lock")):
        said = ablate(*RUN)
    assert said.code == ExitCode.USAGE
    assert "this study is being run" in said.err
    assert outcome.read_text(encoding="utf-8") == "x"


def test_the_same_from_python(finished: Path) -> None:
    import ablate

    outcome = Path("results/steps/trials/baseline-s0/outcome.json")
    before = outcome.read_bytes()
    outcome.write_text("x", encoding="utf-8")
    assert ablate.run("steps.yaml").complete
    assert outcome.read_bytes() == before


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
