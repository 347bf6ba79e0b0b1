"""One study whose seeds are measured on several machines, and archives that disagree with what is here."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest

import ablate as api
from ablate.errors import AblateError, ExitCode
from ablate.storage.read import read_study
from ablate.study.import_differences import differences_of
from ablate.study.stored_plan import study_of_text

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

URL = "sqlite:///results/ablate.db"
RUN = ("--slots", "1", "--gpus", "none", "--no-report", "--quiet")
ARCHIVE = "steps.ablate.zip"
STUDY = Path("steps.yaml")


def seeds(*words: str) -> None:
    """Write the study file with other seeds."""
    text = STUDY.read_text(encoding="utf-8")
    STUDY.write_text(text.replace("seeds: 3", " ".join(("seeds:", *words))), encoding="utf-8")


def keys() -> set[tuple[str, int]]:
    return {(row.arm, row.seed) for row in read_study(URL, "steps")[1]}


def verdicts(ablate: Ablate) -> tuple[str, dict[str, Any]]:
    """The table of every arm, and what is said of the comparison, without what a machine's clock decides."""
    assert ablate("report", "steps", "--no-figures").code == 0
    comparison = json.loads(Path("results/steps/report.json").read_text())["comparison"]
    return Path("results/steps/arms.csv").read_text(), {name: comparison[name] for name in comparison if name != "rows"}


def elsewhere(ablate: Ablate, *words: str) -> None:
    """Run on another machine, and bring an archive of it; what is here stays as it is."""
    here = Path("results").exists()
    if here:
        Path("results").rename("here")
    assert ablate("run", "steps.yaml", *words, *RUN).code == 0
    assert ablate("archive", "steps", "--force").code == 0
    Path("results").rename(f"there-{len(list(Path().glob('there-*')))}")
    if here:
        Path("here").rename("results")


def test_a_range_of_seeds_is_run_alone(ablate: Ablate, project: Path) -> None:
    planned = ablate("plan", "steps.yaml", "--seed-range", "1..2")
    assert "4 arms x 2 seeds = 8 trials   (seeds 1-2)" in planned.out
    assert "--seed-range 1..2" in planned.out
    assert ablate("run", "steps.yaml", "--seed-range", "1..2", *RUN).code == 0
    assert {seed for _, seed in keys()} == {1, 2}
    assert "8 of 12 trials done" in ablate("status", "steps").out
    assert ablate("audit", "steps").code == ExitCode.INCOMPLETE
    assert "nothing to run" in ablate("run", "steps.yaml", "--seed-range", "2..2", "--slots", "1").err
    assert ablate("run", "steps.yaml", *RUN).code == 0
    assert ablate("audit", "steps").code == 0


@pytest.mark.parametrize("split", ["on the command line", "in the study file", "beyond what the file declares"])
def test_seeds_of_two_machines_are_the_study_of_one(ablate: Ablate, project: Path, split: str) -> None:
    """The same table of arms, the same levels and looks, and an audit that misses nothing."""
    declared = STUDY.read_text(encoding="utf-8")
    seeds("5")
    assert ablate("run", "steps.yaml", *RUN).code == 0
    whole = verdicts(ablate)
    Path("results").rename("whole")
    if split == "on the command line":
        elsewhere(ablate, "--seed-range", "3..4")
        assert ablate("run", "steps.yaml", "--seed-range", "0..2", *RUN).code == 0
    elif split == "in the study file":
        STUDY.write_text(declared, encoding="utf-8")
        seeds("[3, 4]")
        elsewhere(ablate)
        STUDY.write_text(declared, encoding="utf-8")
        seeds("[0, 1, 2]")
        assert ablate("run", "steps.yaml", *RUN).code == 0
    else:
        STUDY.write_text(declared, encoding="utf-8")
        elsewhere(ablate, "--seed-range", "3..4")
        assert ablate("run", "steps.yaml", *RUN).code == 0
    said = ablate("import", ARCHIVE)
    assert said.err.splitlines()[0] == "steps: 8 trials added, 0 known already"
    assert "warning" not in said.err
    assert verdicts(ablate) == whole
    assert ablate("audit", "steps").code == 0
    assert "20 of 20 trials done" in ablate("status", "steps").out


def test_the_order_of_imports_does_not_matter(ablate: Ablate, project: Path) -> None:
    seeds("6")
    tables = []
    for first, then in (("0..1", "4..5"), ("4..5", "0..1")):
        elsewhere(ablate, "--seed-range", first)
        Path(ARCHIVE).rename("one.zip")
        elsewhere(ablate, "--seed-range", "2..3")
        Path(ARCHIVE).rename("two.zip")
        assert ablate("run", "steps.yaml", "--seed-range", then, *RUN).code == 0
        assert [ablate("import", name).code for name in ("one.zip", "two.zip")] == [0, 0]
        assert ablate("audit", "steps").code == 0
        tables.append(verdicts(ablate))
        Path("results").rename(f"merged-{first}")
    assert tables[0] == tables[1]


def test_a_file_that_names_other_seeds_adds_to_those_stored(ablate: Ablate, project: Path) -> None:
    declared = STUDY.read_text(encoding="utf-8")
    seeds("[0, 1]")
    assert ablate("run", "steps.yaml", *RUN).code == 0
    STUDY.write_text(declared, encoding="utf-8")
    seeds("[2, 3]")
    assert "(seeds 2-3)" in ablate("plan", "steps.yaml").out
    assert ablate("run", "steps.yaml", *RUN).code == 0
    study = study_of_text(str(read_study(URL, "steps")[0].attributes["ablate.plan"]))
    assert list(study.seed_range()) == [0, 1, 2, 3]
    assert ablate("audit", "steps").code == 0
    assert "nothing to run" in ablate("run", "steps.yaml", "--slots", "1").err


def test_seeds_with_a_hole_between_them_stay_what_each_declared(ablate: Ablate, project: Path) -> None:
    seeds("[0, 1]")
    elsewhere(ablate)
    STUDY.write_text(STUDY.read_text(encoding="utf-8").replace("[0, 1]", "[6, 7]"), encoding="utf-8")
    assert ablate("run", "steps.yaml", *RUN).code == 0
    assert ablate("import", ARCHIVE).code == 0
    assert {seed for _, seed in keys()} == {0, 1, 6, 7}
    assert ablate("audit", "steps").code == 0


@pytest.mark.parametrize("words", [("--seeds", "3"), ("--add-seeds", "1"), ("--until", "decided"), ("--confirm",)])
def test_a_range_says_the_seeds_and_nothing_else_does(ablate: Ablate, project: Path, words: tuple[str, ...]) -> None:
    said = ablate("run", "steps.yaml", "--seed-range", "0..1", *words)
    assert said.code == ExitCode.USAGE
    assert "--seed-range names the seeds themselves" in said.err


@pytest.mark.parametrize("text", ["3", "3-5", "5..3", "3..", "..5", "1_0..12", "3..5.0", "-1..2", "0..1000"])
def test_what_is_no_range_is_refused(ablate: Ablate, project: Path, text: str) -> None:
    said = ablate("run", "steps.yaml", f"--seed-range={text}")
    assert said.code == ExitCode.USAGE
    assert "is no range of seeds" in said.err
    with pytest.raises(AblateError, match="no range of seeds"):
        api.plan("steps.yaml", seed_range=text)


def test_a_search_is_finished_before_seeds_are_split(ablate: Ablate, project: Path) -> None:
    text = STUDY.read_text(encoding="utf-8")
    head, _, _ = text.partition("vary:")
    STUDY.write_text(head + "search: {factors: {lr: {from: 0.1, to: 4.0}}, trials: 2}\nseeds: 2\nmetrics: [score]\n")
    said = ablate("run", "steps.yaml", "--seed-range", "0..0")
    assert said.code == ExitCode.USAGE
    assert "a search of this study is not finished" in said.err


def test_python_splits_seeds_too(project: Path) -> None:
    quiet: dict[str, Any] = {"slots": 1, "gpus": "none", "progress": "none"}
    done = api.run("steps.yaml", seed_range="1..2", **quiet)
    assert set(done.trials["seed"]) == {1, 2}
    assert api.plan("steps.yaml", seed_range="0..0").to_run == 4


def test_an_import_knows_a_searchs_second_objective_and_its_ranges(ablate: Ablate, project: Path) -> None:
    """Into an empty storage, and into one that has the study: Optuna sees both values and the ranges searched."""
    STUDY.write_text(
        "core: toycore:Toy\nbaseline: {lr: 0.1, steps: 3}\nseeds: 2\n"
        "metrics: {score: {primary: true}, train_seconds: {}}\n"
        "search: {factors: {lr: {from: 0.1, to: 4.0, log: true}}, trials: 3, metrics: [score, train_seconds], "
        "sampler: random}\n",
        encoding="utf-8",
    )
    assert ablate("run", "steps.yaml", *RUN).code == 0
    assert ablate("archive", "steps").code == 0
    there = optuna.load_study(study_name="steps", storage=URL)
    for again in (False, True):
        if not again:
            Path("results").rename("elsewhere")
        assert ablate("import", ARCHIVE).code == 0
        here = optuna.load_study(study_name="steps", storage=URL)
        assert here.directions == there.directions
        assert [trial.values for trial in here.trials] == [trial.values for trial in there.trials]
        assert [trial.distributions for trial in here.trials] == [trial.distributions for trial in there.trials]
    assert "nothing to run" in ablate("run", "steps.yaml", "--slots", "1").err


# -------------------------------------------------------------------------------------- results that differ


@pytest.fixture
def disagreeing(ablate: Ablate, project: Path) -> None:
    """An archive with arms of its own whose baseline has other numbers than the one here, merged."""
    core = Path("toycore.py").read_text(encoding="utf-8")
    Path("toycore.py").write_text(core.replace('"score": 20', '"score": 21'), encoding="utf-8")
    elsewhere(ablate)
    Path("toycore.py").write_text(core, encoding="utf-8")
    text = STUDY.read_text(encoding="utf-8")
    STUDY.write_text(text.replace("[0.2, 0.5]", "[0.3]"), encoding="utf-8")
    assert ablate("run", "steps.yaml", *RUN).code == 0
    said = ablate("import", ARCHIVE)
    assert said.code == 0
    assert "not the same numbers as here: baseline s0" in said.err


@pytest.mark.usefixtures("disagreeing")
def test_results_that_differ_stay_visible_in_every_format(ablate: Ablate) -> None:
    assert ablate("report", "steps", "--no-figures").code == 0
    folder = Path("results/steps")
    for name in ("report.md", "report.html"):
        text = " ".join((folder / name).read_text().split())
        assert f"{ARCHIVE} has other numbers than were measured here for baseline (seeds 0-2)" in text
        assert "the baseline of arms that came with it: lr=0.2, lr=0.5" in text
    assert "has other numbers" in (folder / "table.tex").read_text()
    report = json.loads((folder / "report.json").read_text())
    (lint,) = [lint for lint in report["comparison"]["lints"] if lint["code"] == "imported-differs"]
    assert "20.115 here and 21.115 there" in lint["message"]
    # Twice is once, and durations, which never agree, are no difference.
    assert ablate("import", ARCHIVE).code == 0
    found = differences_of(read_study(URL, "steps")[0].attributes)
    assert {(one.arm, one.seed) for one in found} == {("baseline", seed) for seed in range(3)}
    assert {name for one in found for name in one.metrics} == {"score"}


@pytest.mark.usefixtures("disagreeing")
def test_an_audit_finds_results_that_differ(ablate: Ablate) -> None:
    said = ablate("audit", "steps", "--json")
    assert said.code == ExitCode.UNSOUND
    (found,) = [json.loads(line) for line in said.out.splitlines()]
    assert [(fault["kind"], fault["where"]) for fault in found["faults"]] == [
        ("import-differs", f"baseline, seed {seed}") for seed in range(3)
    ]


@pytest.mark.usefixtures("disagreeing")
def test_what_differs_travels_in_the_next_archive(ablate: Ablate) -> None:
    assert ablate("archive", "steps", "merged.zip").code == 0
    assert ablate("import", "merged.zip", "--name", "again").code == 0
    assert len(differences_of(read_study(URL, "again")[0].attributes)) == 3


@pytest.mark.usefixtures("disagreeing")
def test_under_another_name_each_keeps_its_own_baseline(ablate: Ablate) -> None:
    assert ablate("import", ARCHIVE, "--name", "theirs").code == 0
    assert ablate("audit", "theirs").code == 0
    assert ablate("report", "theirs", "--no-figures").code == 0
    with Path("results/theirs/arms.csv").open(newline="") as file:
        arms = {row["arm"] for row in csv.DictReader(file)}
    assert arms >= {"baseline", "lr=0.2", "lr=0.5"}
    assert "other numbers" not in Path("results/theirs/report.md").read_text()
