"""`ablate plan`: the screen, the JSON, and that nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.errors import ExitCode
from tests.sentences import SENTENCES

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that always has the same free space."""
    monkeypatch.setattr("ablate.api.plan_view.free_bytes", lambda _: 212e9)


@pytest.mark.usefixtures("roomy", "project")
def test_the_screen_of_a_new_study(ablate: Ablate) -> None:
    said = ablate("plan", "steps.yaml", "--slots", "2", "--gpus", "none")
    assert (
        said.out
        == """\
steps: 4 arms x 3 seeds = 12 trials
  done 0, to run 12, baseline to run
  factor  arms  levels (* baseline)
  lr         3  0.1*, 0.2, 0.5, 9
cost   unknown until a trial has finished   (2 CPU slots)
       --probe measures the beginning of one
disk   212 GB free
detectable difference   unknown until an arm and the baseline have 2 seeds (score)
run it:  ablate run steps.yaml --gpus none --slots 2
"""
    )
    assert said.code == 0


@pytest.mark.usefixtures("roomy", "half_done")
def test_the_screen_of_a_study_half_done(ablate: Ablate) -> None:
    said = ablate("plan", "steps.yaml", "--slots", "2", "--gpus", "none")
    assert (
        said.out
        == """\
steps: 4 arms x 3 seeds = 12 trials
  done 5, to run 7, failed or stopped 1 (will run again), baseline to run
  factor  arms  levels (* baseline)
  lr         3  0.1*, 0.2, 0.5, 9
cost   14 s of work, about 8 s on 2 CPU slots
       from 5 finished trials of this study
disk   212 GB free
detectable difference   score 0.00 dB or more, with 3 seeds at 80 % power
run it:  ablate run steps.yaml --gpus none --slots 2
"""
    )


@pytest.mark.usefixtures("roomy")
def test_plan_changes_nothing_on_disk(ablate: Ablate, project: Path) -> None:
    before = sorted(path.name for path in project.iterdir() if path.name != "__pycache__")
    assert ablate("plan", "steps.yaml").code == 0
    assert ablate("run", "steps.yaml", "--dry-run").code == 0
    assert sorted(path.name for path in project.iterdir() if path.name != "__pycache__") == before


@pytest.mark.usefixtures("project")
def test_json_is_one_object(ablate: Ablate) -> None:
    said = ablate("plan", "steps.yaml", "--json", "--seeds", "2", "--arms", "lr=*")
    (found,) = [json.loads(line) for line in said.out.splitlines()]
    assert (found["event"], found["schema_version"]) == ("plan", 1)
    assert (found["arms"], found["seeds"], found["to_run"]) == (["baseline", "lr=0.2", "lr=0.5"], 2, 6)
    assert found["estimate"] is None


@pytest.mark.usefixtures("project")
def test_the_run_command_repeats_what_was_asked(ablate: Ablate) -> None:
    said = ablate("plan", "steps.yaml", "--set", "steps=20", "--arms", "far too*", "--seeds", "4", "--name", "more")
    expected = "run it:  ablate run steps.yaml --set steps=20 --arms 'far too*' --seeds 4 --name more"
    assert said.out.splitlines()[-1] == expected


@pytest.mark.usefixtures("project")
def test_a_glob_that_matches_nothing_names_the_nearest(ablate: Ablate) -> None:
    said = ablate("plan", "steps.yaml", "--arms", "lr=0.3")
    assert said.code == ExitCode.USAGE
    assert said.err.startswith("error: no arm is called 'lr=0.3'\n\nhint: did you mean 'lr=0.5'?")


@pytest.mark.usefixtures("half_done")
def test_a_changed_baseline_is_refused_with_a_way_out(ablate: Ablate) -> None:
    said = ablate("plan", "steps.yaml", "--set", "steps=20")
    assert said.code == ExitCode.USAGE
    assert said.err.startswith(SENTENCES["changed baseline refused way"])
    assert "--name" in said.err


def test_all_problems_of_a_study_file_in_one_pass(ablate: Ablate, project: Path) -> None:
    text = "core: toycore:Toy\nbaseline: {lr: fast}\nvary:\n  stepz: [20, 30]\nseeds: 0\n"
    (project / "bad.yaml").write_text(text, encoding="utf-8")
    said = ablate("plan", "bad.yaml")
    assert said.code == ExitCode.USAGE
    assert said.out == ""
    assert [line for line in said.err.splitlines() if line.startswith("  -->")] == [
        "  --> bad.yaml:2:16",
        "  --> bad.yaml:4:3",
        "  --> bad.yaml:5:8",
    ]
    assert " 4 |   stepz: [20, 30]\n   |   ^^^^^ did you mean 'steps'?\n" in said.err
    assert said.err.endswith("3 errors, nothing was started\n")


@pytest.mark.usefixtures("roomy", "finished")
def test_the_cost_has_a_range_once_trials_have_varied(ablate: Ablate) -> None:
    """From what finished trials took; what they left on disk says what the rest will."""
    found = json.loads(ablate("plan", "steps.yaml", "--seeds", "6", "--slots", "2", "--gpus", "none", "--json").out)
    assert found["estimate"]["measured"] == 12
    assert found["estimate"]["work_s"] >= found["estimate"]["wall_s"] > 0
    said = ablate("plan", "steps.yaml", "--seeds", "6", "--gpus", "none")
    assert "of 212 GB free (as 12 finished trials)" in said.out
    assert "or more, with 6 seeds at 80 % power" in said.out


@pytest.mark.usefixtures("roomy")
def test_a_probe_measures_and_leaves_nothing(ablate: Ablate, project: Path) -> None:
    said = ablate("plan", "steps.yaml", "--probe", "--slots", "1", "--gpus", "none")
    assert said.code == 0
    assert SENTENCES["probe measures leaves nothing"] in said.out
    assert not (project / "results").exists()


@pytest.mark.usefixtures("roomy")
def test_the_screen_of_a_search(ablate: Ablate, project: Path) -> None:
    search = "search: {factors: {lr: {from: 0.1, to: 5, log: true}}, trials: 4, pruner: median}"
    (project / "look.yaml").write_text(f"core: toycore:Toy\nbaseline: {{}}\n{search}\nmetrics: [score]\n")
    said = ablate("plan", "look.yaml", "--slots", "2", "--gpus", "none")
    assert (
        said.out
        == """\
look: a search of 4 trials
  done 0, to run 4
  search: 4 candidates (tpe, median), done 0, to run 4
  then: the best candidate and the baseline, on 5 fresh seeds
cost   unknown until a trial has finished   (2 CPU slots)
       --probe measures the beginning of one
disk   212 GB free
run it:  ablate run look.yaml --gpus none --slots 2
"""
    )


def test_a_plan_says_when_a_run_would_be_refused(ablate: Ablate, project: Path) -> None:
    text = (
        "question: How close are samples?\nbaseline: {method: ddpm}\nvary: {noise_schedule: [cosine]}\nseeds: 2\n"
        "metrics: {psnr: {primary: true, margin: 0.1}, fid: {margin: 2%}}\n"
    )
    (project / "samples.yaml").write_text(text, encoding="utf-8")
    said = ablate("plan", "samples.yaml")
    assert said.code == 0
    assert "warning: a run would be refused: metric fid" in said.err
    run = ablate("run", "samples.yaml", "--slots", "1")
    assert run.code == ExitCode.USAGE
    assert "error: metric fid" in run.err
    assert not (project / "results").exists()


def test_a_study_with_looks_says_what_it_takes_if_nothing_matters_and_if_one_arm_does(
    ablate: Ablate, project: Path
) -> None:
    text = (project / "steps.yaml").read_text(encoding="utf-8").replace("seeds: 3", "seeds: {looks: [3, 5, 10]}")
    (project / "steps.yaml").write_text(text, encoding="utf-8")
    said = ablate("plan", "steps.yaml")
    nothing, one = (
        next(line for line in said.out.splitlines() if what in line) for what in ("nothing matters", "one arm matters")
    )
    assert "of 40 trials" in nothing
    assert "found in" in one
    found = json.loads(ablate("plan", "steps.yaml", "--json").out)["until_decided"]
    assert 12 <= found["nothing"]["trials"] <= found["one"]["trials"] < found["most"] == 40
    ran = ablate("run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-report", "--quiet")
    assert ran.code == 0
    assert "of work" in next(
        line for line in ablate("plan", "steps.yaml", "--seeds", "5").out.splitlines() if "nothing" in line
    )
    assert json.loads(ablate("plan", "steps.yaml", "--set", "seeds=3", "--json").out)["until_decided"] is None
