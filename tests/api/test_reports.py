"""Reports of several studies at once: by several processes, with the files that one would write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ablate.api.reports import write_study_reports
from ablate.api.stored_studies import StoredStudy
from ablate.errors import NothingComparableError, ResultsError
from ablate.paths import StudyPaths
from ablate.report.data.material import Material
from ablate.study.verdict_method import Method
from tests.report.conftest import make_rows, make_study


@pytest.fixture(autouse=True)
def at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770000000")


def stored(folder: Path, names: Sequence[str], **changes: Any) -> list[StoredStudy]:
    studies = [make_study(name=name, **changes) for name in names]
    return [StoredStudy(one, tuple(make_rows(one, 3)), StudyPaths(folder / one.name), "") for one in studies]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_processes_write_the_files_that_one_would(tmp_path: Path) -> None:
    """In the order that was asked for, whoever is done first; a study that compares nothing stops no other."""
    written = {}
    for processes in (1, 2):
        sources = stored(tmp_path / str(processes), ["one", "two", "three"])
        sources[1] = replace(sources[1], rows=())
        found = list(
            write_study_reports(
                sources,
                figures=False,
                choose=lambda declared: replace(declared, noise="pooled"),
                processes=processes,
            )
        )
        assert [type(one) for one in found] == [Material, NothingComparableError, Material]
        first, last = cast("Material", found[0]), cast("Material", found[2])
        assert (first.study.name, last.study.name) == ("one", "three")
        assert first.comparison.noise == "pooled"
        written[processes] = files_of(tmp_path / str(processes))
    assert written[1] == written[2]
    assert {"one/report.html", "two/report.html", "three/report.html"} <= written[2].keys()


def test_an_error_in_another_process_is_the_one_it_would_be_here(tmp_path: Path) -> None:
    sources = stored(tmp_path, ["one", "two"])
    (tmp_path / "two").write_text("in the way", encoding="utf-8")
    errors = []
    for processes in (1, 2):
        with pytest.raises(ResultsError) as caught:
            list(write_study_reports(sources, figures=False, processes=processes))
        errors.append((caught.value.message, caught.value.hint))
    assert errors[0] == errors[1]


class Deadly:
    """A study whose reading ends the process that reads it."""

    study = SimpleNamespace(method=Method())

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return os._exit, (9,)


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_process_that_is_killed_is_told_in_one_line(tmp_path: Path) -> None:
    sources = [*stored(tmp_path, ["one"]), cast("StoredStudy", Deadly())]
    with pytest.raises(ResultsError, match="was killed"):
        list(write_study_reports(sources, figures=False, processes=2))
