"""`rename`, `remove`, `archive`, `import` and `cache`."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.api.stored_studies import ResultsLocation
from ablate.cli.commands.cache import bytes_of
from ablate.engine.records import administration
from ablate.engine.records.cache_admin import Entry, choose
from ablate.engine.records.lock import StudyLock
from ablate.errors import AblateError, ExitCode
from ablate.storage.read import read_study, study_names
from tests.sentences import SENTENCES

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

URL = "sqlite:///results/ablate.db"
ARCHIVE = "steps.ablate.zip"


def scores(name: str = "steps") -> dict[tuple[str, int], float | None]:
    return {(row.arm, row.seed): row.metrics.get("score") for row in read_study(URL, name)[1]}


# ---------------------------------------------------------------------------------------------- rename


def test_a_renamed_study_goes_on_under_its_new_name(ablate: Ablate, finished: Path) -> None:
    before = scores()
    said = ablate("rename", "steps", "later")
    assert said.err.splitlines()[:2] == [
        "steps is later now, in results/later",
        SENTENCES["renamed study goes on"],
    ]
    assert not (finished / "results" / "steps").exists()
    assert scores("later") == before
    assert json.loads((finished / "results/later/plan.json").read_text(encoding="utf-8"))["name"] == "later"
    again = ablate("run", "steps.yaml", "--name", "later", "--slots", "1")
    assert "later: all 12 trials are done, nothing to run" in again.err
    assert ablate("report", "later", "--no-figures").code == 0


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("../up", "'../up' cannot be a study's name"),
        ("taken", "results/taken already exists"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_moves(
    ablate: Ablate, finished: Path, new: str, message: str
) -> None:
    (finished / "results" / "taken").mkdir()
    said = ablate("rename", "steps", new)
    assert said.code == ExitCode.USAGE
    assert message in said.err
    assert study_names(URL) == ["steps"]
    assert (finished / "results" / "steps" / "plan.json").exists()


def test_a_rename_that_was_interrupted_is_completed(
    ablate: Ablate, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    place = ResultsLocation.of(Path("results"), None)
    study = place.study("steps").study
    with monkeypatch.context() as patch:
        patch.setattr(administration, "rename_study", killed)
        with pytest.raises(KeyboardInterrupt):
            administration.rename(place.results, place.url, study, "later", "ablate run steps.yaml")
    assert study_names(URL) == ["steps"]
    assert ablate("rename", "steps", "later").code == 0
    assert study_names(URL) == ["later"]


def test_a_study_that_is_being_run_keeps_its_name_and_its_life(ablate: Ablate, finished: Path) -> None:
    with StudyLock(finished / "results/steps/.lock"):
        for words in (("rename", "steps", "later"), ("remove", "steps", "--yes"), ("cache", "prune", "--unused")):
            said = ablate(*words)
            assert said.code == ExitCode.USAGE
            assert "this study is being run by process" in said.err
    assert study_names(URL) == ["steps"]


# ---------------------------------------------------------------------------------------------- remove


def test_remove_asks_and_nobody_answering_is_a_no(ablate: Ablate, finished: Path) -> None:
    said = ablate("remove", "steps")
    assert (said.code, said.err.splitlines()[0]) == (ExitCode.USAGE, "error: steps was not removed")
    assert study_names(URL) == ["steps"]


def test_remove_takes_the_trials_and_the_folder(ablate: Ablate, finished: Path) -> None:
    said = ablate("remove", "steps", "--yes")
    assert said.err.startswith("removed steps: 12 trials and ")
    assert study_names(URL) == []
    assert not (finished / "results" / "steps").exists()
    assert "no study 'steps'" in ablate("remove", "steps", "--yes").err


def test_remove_can_leave_the_files_and_take_them_later(ablate: Ablate, finished: Path) -> None:
    assert ablate("remove", "steps", "--yes", "--keep-files").code == 0
    assert (finished / "results" / "steps" / "trials").is_dir()
    assert "removed steps: what is left of its files" in ablate("remove", "steps", "--yes").err
    assert not (finished / "results" / "steps").exists()


# ------------------------------------------------------------------------------------- archive and import


@pytest.fixture
def archived(ablate: Ablate, finished: Path) -> Path:
    """A finished study, packed; its results are gone."""
    assert ablate("archive", "steps").out == f"{ARCHIVE}\n"
    shutil.move(finished / "results", finished / "elsewhere")
    return finished / ARCHIVE


def test_an_imported_study_is_the_one_that_was_archived(ablate: Ablate, archived: Path) -> None:
    said = ablate("import", ARCHIVE)
    assert said.err.splitlines()[0] == "steps: 12 trials added, 0 known already"
    elsewhere = "sqlite:///elsewhere/ablate.db"
    here, there = read_study(URL, "steps")[1], read_study(elsewhere, "steps")[1]
    for one, other in zip(here, there, strict=True):
        assert (one.arm, one.seed, one.metrics, one.curve) == (other.arm, other.seed, other.metrics, other.curve)
        assert (one.started_at, one.finished_at, one.params) == (other.started_at, other.finished_at, other.params)
        assert one.attributes["imported_from"] == ARCHIVE
        assert Path(str(one.attributes["log"])).is_file() or one.outcome == "diverged"
    assert "nothing to run" in ablate("run", "steps.yaml", "--slots", "1").err
    assert ablate("report", "--no-figures").code == 0


def test_the_same_study_gives_the_same_bytes(ablate: Ablate, finished: Path) -> None:
    ablate("archive", "steps", "one.zip")
    ablate("archive", "steps", "two.zip")
    assert Path("one.zip").read_bytes() == Path("two.zip").read_bytes()
    assert "one.zip exists already" in ablate("archive", "steps", "one.zip").err
    assert ablate("archive", "steps", "one.zip", "--force").code == 0


def test_importing_twice_adds_nothing(ablate: Ablate, archived: Path) -> None:
    ablate("import", ARCHIVE)
    before = read_study(URL, "steps")[1]
    assert ablate("import", ARCHIVE).err.splitlines()[0] == "steps: 0 trials added, 12 known already"
    assert read_study(URL, "steps")[1] == before


def test_results_of_two_machines_become_one_study(ablate: Ablate, archived: Path) -> None:
    text = Path("steps.yaml").read_text(encoding="utf-8")
    Path("steps.yaml").write_text(text.replace("[0.2, 0.5]", "[0.3]"), encoding="utf-8")
    assert ablate("run", "steps.yaml", "--slots", "1", "--seeds", "2", "--quiet", "--no-report").code == 0
    said = ablate("import", ARCHIVE).err.splitlines()
    assert said[:3] == [
        "steps: 8 trials added, 0 known already",
        "  new arms: lr=0.2, lr=0.5",
        SENTENCES["results two machines become"],
    ]
    assert not any("not the same numbers" in line for line in said)
    found = scores()
    assert {arm for arm, _ in found} == {"baseline", "lr=0.2", "lr=0.3", "lr=0.5", "far too fast"}
    assert len([key for key in found if key[0] == "baseline"]) == 3
    assert ablate("report", "--no-figures").code == 0


def test_results_that_differ_are_named(ablate: Ablate, archived: Path) -> None:
    core = Path("toycore.py").read_text(encoding="utf-8")
    Path("toycore.py").write_text(core.replace('"score": 20', '"score": 21'), encoding="utf-8")
    assert ablate("run", "steps.yaml", "--slots", "1", "--seeds", "1", "--quiet", "--no-report").code == 0
    said = ablate("import", ARCHIVE).err
    assert SENTENCES["results differ named"] in said


def test_a_study_with_another_baseline_is_refused_and_can_have_another_name(ablate: Ablate, archived: Path) -> None:
    words = ("--slots", "1", "--quiet", "--no-report", "--set", "steps=20")
    assert ablate("run", "steps.yaml", *words).code == 0
    said = ablate("import", ARCHIVE)
    assert said.code == ExitCode.USAGE
    assert SENTENCES["study another baseline refused"] in said.err
    assert ablate("import", ARCHIVE, "--name", "theirs").code == 0
    assert study_names(URL) == ["steps", "theirs"]


def rewritten(change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with its entries changed, and its list of checksums left as it was."""
    with zipfile.ZipFile(ARCHIVE) as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    change(entries)
    with zipfile.ZipFile("changed.zip", "w") as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return Path("changed.zip")


def test_damage_is_found_before_anything_is_written(ablate: Ablate, archived: Path) -> None:
    def spoil(entries: dict[str, bytes]) -> None:
        entries["files/trials/baseline-s0/outcome.json"] += b" "

    rewritten(spoil)
    said = ablate("import", "changed.zip")
    assert said.code == ExitCode.USAGE
    assert SENTENCES["damage found before anything"] in said.err
    assert not Path("results").exists()


@pytest.mark.parametrize("name", ["files/../../evil", "files//etc/evil", "files/.lock", "elsewhere", "files/a/../b"])
def test_an_archive_cannot_write_outside_a_studys_folder(ablate: Ablate, archived: Path, name: str) -> None:
    def smuggle(entries: dict[str, bytes]) -> None:
        manifest = json.loads(entries.pop("manifest.json"))
        entries[name] = b""
        manifest["entries"][name] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        entries["manifest.json"] = json.dumps(manifest).encode()

    rewritten(smuggle)
    said = ablate("import", "changed.zip")
    assert said.code == ExitCode.USAGE
    assert "does not belong in a study's folder" in said.err
    assert not Path("results").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip file", None])
def test_what_is_no_archive_is_one_clear_error(ablate: Ablate, project: Path, content: bytes | None) -> None:
    if content is not None:
        Path("some.zip").write_bytes(content)
    said = ablate("import", "some.zip")
    assert said.code == ExitCode.USAGE
    assert said.err.startswith("error: ")
    assert "some.zip" in said.err


def test_a_zip_file_of_something_else_is_named_as_such(ablate: Ablate, project: Path) -> None:
    with zipfile.ZipFile("some.zip", "w") as packed:
        packed.writestr("manifest.json", "{}")
    assert "some.zip is not an archive of a study" in ablate("import", "some.zip").err


# ----------------------------------------------------------------------------------------------- cache


def entry(digest: str, size: int, used_at: float, *studies: str) -> Entry:
    return Entry(digest, Path(digest), "stage", size, used_at, studies)


def test_what_goes_from_the_cache() -> None:
    old, used, new = entry("a", 10, 0.0), entry("b", 20, 50.0, "steps"), entry("c", 30, 90.0)
    found = [new, used, old]
    assert choose(found, now=100.0) == []
    assert choose(found, unused=True, now=100.0) == [new, old]
    assert choose(found, older_than_s=60.0, now=100.0) == [old]
    assert choose(found, max_bytes=50, now=100.0) == [old]
    assert choose(found, max_bytes=49, now=100.0) == [old, used]
    assert choose(found, unused=True, max_bytes=5, now=100.0) == [new, old, used]


def test_calibrations_stay_in_the_cache() -> None:
    """They decide how trials are computed: a study that goes on must find what it began with."""
    record = Entry("a", Path("a"), "calibration", 10, 0.0)
    assert choose([record], unused=True, older_than_s=1.0, max_bytes=1, now=100.0) == []


@pytest.mark.parametrize(("text", "count"), [("512", 512), ("500MB", 5 * 10**8), ("5 GB", 5 * 10**9), ("1.5k", 1500)])
def test_sizes_are_read(text: str, count: int) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "many", "-1GB", "5GiB", "5 G B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(AblateError, match="not a size"):
        bytes_of(text)


@pytest.fixture
def cache(finished: Path) -> Path:
    """A cache with two stages that no study asks for."""
    folder = finished / "results" / "cache"
    for digest, size, days in (("aa" * 32, 1000, 3), ("bb" * 32, 2000, 1)):
        (folder / digest).mkdir(parents=True)
        (folder / digest / "meta.json").write_text(json.dumps({"stage": "dip"}), encoding="utf-8")
        file = folder / digest / "end.pt"
        file.write_bytes(b"x" * size)
        for path in (file, folder / digest / "meta.json"):
            os.utime(path, (1e9 - days * 86_400,) * 2)
    return folder


def test_the_cache_is_listed_latest_first(ablate: Ablate, cache: Path) -> None:
    said = ablate("cache", "list")
    assert [line.split()[:2] for line in said.out.splitlines()] == [
        ["digest", "stage"],
        ["bb" * 6, "dip"],
        ["aa" * 6, "dip"],
    ]
    assert said.err == "2 stages, 3.0 kB; 2 of them, 3.0 kB, unused\n"
    first = json.loads(ablate("cache", "list", "--json").out.splitlines()[0])
    assert (first["event"], first["digest"], first["studies"]) == ("stage", "bb" * 32, [])


def test_prune_says_what_would_go_and_then_does_it(ablate: Ablate, cache: Path) -> None:
    assert ablate("cache", "prune", "--unused", "--dry-run").err == "would delete 2 stages, 3.0 kB; 0 B stay\n"
    assert len(list(cache.iterdir())) == 2
    assert ablate("cache", "prune", "--max-size", "2.5kB").err == "deleted 1 stage, 1.0 kB; 2.0 kB stay\n"
    assert [path.name for path in cache.iterdir()] == ["bb" * 32]


def test_prune_without_a_rule_is_refused(ablate: Ablate, cache: Path) -> None:
    said = ablate("cache", "prune")
    assert (said.code, said.err.splitlines()[0]) == (ExitCode.USAGE, "error: nothing says what may go")
