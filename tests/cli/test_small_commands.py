"""`init`, `data` and `doctor`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.cli.commands import data as data_module
from ablate.cli.commands import doctor as doctor_module
from ablate.cli.commands.data import DataSet
from ablate.cli.commands.doctor import Finding, findings, line
from ablate.errors import ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

CIFAR = DataSet("cifar10", False, "", "", "ablate data fetch cifar10")


def test_init_writes_a_study_that_can_be_planned(ablate: Ablate, project: Path) -> None:
    said = ablate("init", "studies/mine.yaml")
    assert (said.code, said.out) == (0, "")
    assert said.err == "wrote studies/mine.yaml\nnext:  ablate plan studies/mine.yaml\n"
    assert ablate("plan", "studies/mine.yaml").code == 0
    assert (project / "studies" / "mine.yaml").stat().st_size > 500


def test_init_overwrites_nothing(ablate: Ablate, project: Path) -> None:
    before = (project / "steps.yaml").read_text(encoding="utf-8")
    said = ablate("init", "steps.yaml")
    assert (said.code, said.err.splitlines()[0]) == (ExitCode.USAGE, "error: steps.yaml exists already")
    assert (project / "steps.yaml").read_text(encoding="utf-8") == before


@pytest.mark.usefixtures("project")
def test_init_refuses_a_name_that_no_study_can_have(ablate: Ablate) -> None:
    said = ablate("init", ".yaml")
    assert said.code == ExitCode.USAGE
    assert said.err.startswith("error: a study cannot be called '.yaml'")


def test_init_writes_the_studies_that_come_with_ablate(ablate: Ablate, project: Path) -> None:
    names = [line.split()[0] for line in ablate("init", "--list").out.splitlines()[1:]]
    assert "schedules" in names
    for name in names:
        assert ablate("init", "--example", name).err.startswith(f"wrote studies/{name}.yaml\n")
        assert ablate("plan", f"studies/{name}.yaml").code == 0
    assert ablate("init", "mine.yaml", "--example", "schedules").code == 0
    assert (project / "mine.yaml").read_bytes() == (project / "studies" / "schedules.yaml").read_bytes()


@pytest.mark.usefixtures("project")
def test_an_unknown_example_is_refused_with_the_nearest(ablate: Ablate) -> None:
    said = ablate("init", "--example", "schedule")
    assert said.code == ExitCode.USAGE
    assert "did you mean 'schedules'?" in said.err
    assert "known: combinations" in ablate("init", "--example", "zzz").err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("studies/schedules.yaml", ["init", "--example", "schedules"]),
        ("schedules.yaml", ["init", "schedules.yaml", "--example", "schedules"]),
        ("my studies/schedules.yaml", ["init", "my studies/schedules.yaml", "--example", "schedules"]),
        ("studies/scheduels.yaml", ["init", "--example", "schedules"]),
    ],
)
@pytest.mark.parametrize("word", ["run", "plan"])
def test_a_missing_study_that_comes_with_ablate_can_be_written(
    ablate: Ablate, word: str, missing: str, command: list[str]
) -> None:
    said = ablate(word, missing)
    assert said.code == ExitCode.USAGE
    assert f"ablate {shlex.join(command)}" in said.err
    assert ablate(*command).code == 0
    if Path(missing).stem == "schedules":
        assert ablate("plan", missing).code == 0


@pytest.mark.usefixtures("project")
def test_data_list_as_text_and_as_json(ablate: Ablate, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = DataSet("skimage-patches", True, "10 train, 5 test", "abc", "verified")
    monkeypatch.setattr(data_module, "data_sets", lambda _: iter([patches, CIFAR]))
    assert (
        ablate("data", "list").out
        == """\
name             state    images            digest  note
skimage-patches  ready    10 train, 5 test  abc     verified
cifar10          missing                            ablate data fetch cifar10
"""
    )
    found = [json.loads(text) for text in ablate("data", "list", "--json").out.splitlines()]
    assert [(one["event"], one["name"], one["ready"]) for one in found] == [
        ("data", "skimage-patches", True),
        ("data", "cifar10", False),
    ]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor that does not wait for torch."""
    monkeypatch.setattr(
        doctor_module, "torch_findings", lambda: iter([Finding("torch", "2.0, CPU build, no CUDA device")])
    )
    monkeypatch.setattr(doctor_module, "data_sets", lambda: iter([CIFAR]))


@pytest.mark.usefixtures("quick", "project")
def test_doctor_looks_at_everything_a_run_needs(ablate: Ablate) -> None:
    said = ablate("doctor", "--json")
    found = {one["name"]: one for one in map(json.loads, said.out.splitlines())}
    assert {"ablate", "python", "packages", "cores", "memory", "disk", "results", "storage", "torch"} <= found.keys()
    assert said.code == 0


@pytest.mark.usefixtures("quick")
def test_doctor_reads_the_database(half_done: Path) -> None:
    found = {one.name: one for one in findings(half_done / "results")}
    assert found["storage"].state == "ok"
    assert "sound, journal mode " in found["storage"].value


@pytest.mark.usefixtures("quick")
def test_doctor_fails_on_a_damaged_database(ablate: Ablate, half_done: Path) -> None:
    database = half_done / "results" / "ablate.db"
    raw = bytearray(database.read_bytes())
    raw[4096 * 2 : 4096 * 6] = b"\xff" * (4096 * 4)
    database.write_bytes(raw)
    said = ablate("doctor")
    assert said.code == ExitCode.USAGE
    assert "fail storage" in said.out


def test_findings_wrap_under_their_own_column() -> None:
    finding = Finding("packages", "alpha 1.0, beta 2.0, gamma 3.0, delta 4.0", "warn", "install more")
    assert (
        line(finding, 50).plain
        == """\
warn packages       alpha 1.0, beta 2.0, gamma
                    3.0, delta 4.0
                    hint: install more"""
    )
