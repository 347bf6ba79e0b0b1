"""Reading what is stored runs nobody's code: neither a core's nor what a folder that was imported brings along.

Every core here leaves a marker, a file, when its module is imported.
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablate.errors import ExitCode
from ablate.storage.read import read_study
from tests.cli.conftest import STUDY, TOY_CORE, Ablate, make_project
from tests.sentences import SENTENCES

ARCHIVE = "steps.ablate.zip"
URL = "sqlite:///results/ablate.db"


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a finished study, made where its core is."""
    from ablate.cli.app import main

    folder = tmp_path_factory.mktemp("theirs")
    with pytest.MonkeyPatch.context() as patch:
        make_project(folder, patch)
        for words in (
            ["run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-figures", "--quiet"],
            ["archive", "steps", "--quiet"],
        ):
            with pytest.raises(SystemExit):
                main(words)
    return folder / ARCHIVE


@pytest.fixture
def elsewhere(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the archive and a module of the core's name that leaves a marker; returns the marker."""
    shutil.copy(archive, tmp_path / ARCHIVE)
    marker = tmp_path / "something-ran"
    (tmp_path / "toycore.py").write_text(f"open({str(marker)!r}, 'w').close()\n{TOY_CORE}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toycore", raising=False)
    yield marker
    sys.modules.pop("toycore", None)


READING = [
    ("import", ARCHIVE, "--name", "again"),
    ("status", "steps"),
    ("status", "--json"),
    ("show", "lr=0.2", "--study", "steps"),
    ("show", "1", "--study", "steps"),
    ("report", "steps", "--no-figures"),
    ("report", "steps", "steps-two"),
    ("audit", "steps", "--deep"),
    ("claims",),
    ("export", "steps"),
    ("sql", "select count(*) from ablate_trials"),
    ("archive", "steps", "two.zip"),
    ("cache", "list"),
    ("cache", "prune", "--unused"),
    ("rename", "steps", "other"),
    ("remove", "steps", "--yes"),
    ("plan", "results/steps/study.yaml"),
    ("run", "results/steps/study.yaml"),
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_no_reading_command_imports_a_core(ablate: Ablate, elsewhere: Path, words: tuple[str, ...]) -> None:
    assert ablate("import", ARCHIVE).code == 0
    assert ablate("import", ARCHIVE, "--name", "steps-two").code == 0
    said = ablate(*words)
    refused = words[0] in ("plan", "run")
    assert (said.code != 0) == refused, said.err
    assert "toycore" not in sys.modules
    assert not elsewhere.exists()


def test_the_marker_shows_where_a_study_is_run(ablate: Ablate, elsewhere: Path) -> None:
    """So the test above can fail."""
    Path("steps.yaml").write_text(STUDY, encoding="utf-8")
    assert ablate("plan", "steps.yaml").code == 0
    assert elsewhere.exists()


def test_a_module_that_an_archive_carries_is_not_imported(ablate: Ablate, elsewhere: Path) -> None:
    """Neither by the import nor when its copy of the study file is planned: files in results are not code."""
    shutil.move("toycore.py", "results-are-not-code")
    carried = repacked(lambda files: files.update({"files/toycore.py": Path("results-are-not-code").read_bytes()}))
    assert ablate("import", str(carried)).code == 0
    assert Path("results/steps/toycore.py").exists()
    said = ablate("plan", "results/steps/study.yaml")
    assert said.code == ExitCode.USAGE
    assert "lies in a results folder" in said.err
    assert not elsewhere.exists()


def repacked(
    change: Callable[[dict[str, bytes]], None] = lambda _: None,
    manifest: Callable[[dict[str, object]], None] = lambda _: None,
) -> Path:
    """The archive with other content, and the checksums that fit it."""
    import hashlib

    with zipfile.ZipFile(ARCHIVE) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    head = json.loads(files.pop("manifest.json"))
    change(files)
    head["entries"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest(head)
    with zipfile.ZipFile("repacked.zip", "w") as packed:
        for name, data in {**files, "manifest.json": json.dumps(head).encode()}.items():
            packed.writestr(name, data)
    return Path("repacked.zip")


def test_an_archive_of_an_earlier_ablate_is_read_without_its_core(ablate: Ablate, elsewhere: Path) -> None:
    """It has no facts of its core: kinds are told from the levels, and the command says so."""

    def earlier(head: dict[str, object]) -> None:
        head["schema_version"] = 1
        del head["attributes"]

    assert ablate("import", ARCHIVE, "--name", "now").code == 0
    said = ablate("import", str(repacked(manifest=earlier)), "--name", "earlier")
    assert said.code == 0
    assert SENTENCES["archive earlier ablate read"] in said.err
    now, then = ([row.params for row in read_study(URL, name)[1]] for name in ("now", "earlier"))
    assert now == then
    assert not elsewhere.exists()


def test_an_archive_of_a_newer_ablate_says_so(ablate: Ablate, elsewhere: Path) -> None:
    newer = repacked(manifest=lambda head: head.update(schema_version=99, ablate="9.9", unheard_of=[1]))
    said = ablate("import", str(newer))
    assert said.code == ExitCode.USAGE
    assert "was written by a newer ablate (9.9)" in said.err


@pytest.mark.parametrize(
    "command",
    [
        "touch marker",
        "ablate run steps.yaml; touch marker",
        "ablate run 'unfinished",
        "ablate run \x1b[2Ksteps.yaml",
        "",
    ],
)
def test_a_command_of_an_archive_is_shown_as_words_of_ablate_run(ablate: Ablate, elsewhere: Path, command: str) -> None:
    """Somebody will type what `next:` says."""

    def half(files: dict[str, bytes]) -> None:
        files["trials.jsonl"] = b"".join(files["trials.jsonl"].splitlines(keepends=True)[:3])

    changed = repacked(half, lambda head: head.update(command=command))
    assert ablate("import", str(changed)).code == 0
    following = ablate("status", "steps").out.splitlines()[-1]
    assert following.startswith("next:  ablate run ")
    assert "; touch" not in following.replace("'steps.yaml;' touch marker", "")
    assert following.isprintable()
