"""Searches on the command line: search, then confirm; tune every arm; and what the reading commands say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from ablate.storage.read import read_study

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

HEAD = """\
core: toycore:Toy
baseline: {lr: 0.1, steps: 3}
seeds: 2
metrics: {score: {primary: true, margin: 0.1}, train_seconds: {}}
"""
RUN = ("--slots", "1", "--gpus", "none", "--no-figures")


def rows(study: str) -> dict[str, int]:
    """Arm or candidate -> its trials."""
    found: dict[str, int] = {}
    for row in read_study("sqlite:///results/ablate.db", study)[1]:
        found[row.arm] = found.get(row.arm, 0) + 1
    return found


def test_the_best_candidate_is_confirmed_on_fresh_seeds(ablate: Ablate, project: Path) -> None:
    """In one command; the same command again has nothing to do; a longer search is refused once it was confirmed."""
    text = HEAD + "search: {factors: {lr: {from: 0.1, to: 4.0, log: true}}, trials: 4}\n"
    (project / "look.yaml").write_text(text)
    said = ablate("run", "look.yaml", *RUN)
    assert said.code == 0, said.err
    assert rows("look") == {f"search #{n}": 1 for n in range(4)} | {"baseline": 2, "best of search": 2}
    stored = read_study("sqlite:///results/ablate.db", "look")[1]
    seeds = {row.attributes["phase"]: set[int]() for row in stored}
    for row in stored:
        seeds[str(row.attributes["phase"])].add(row.seed)
    assert seeds == {"search": {1000}, "confirm": {0, 1}}
    best = max((row for row in stored if row.arm.startswith("search")), key=lambda row: row.metrics["score"])
    chosen = next(row for row in stored if row.arm == "best of search")
    assert chosen.params["lr"] == best.params["lr"]
    assert "not compared" not in said.out + said.err
    assert "all 4 trials are done, nothing to run" in ablate("run", "look.yaml", *RUN).err
    assert "search: 4 of 4, best score" in ablate("status", "look").out
    more = ablate("run", "look.yaml", "--arms", "best of search", "--add-seeds", "1", *RUN)
    assert more.code == 0, more.err
    assert (rows("look")["best of search"], rows("look")["baseline"]) == (3, 3)
    (project / "look.yaml").write_text(text.replace("trials: 4", "trials: 9"))
    assert "was confirmed after 4 trials, now 9" in ablate("run", "look.yaml", *RUN).err


def test_every_arm_is_compared_at_its_own_best_levels(ablate: Ablate, project: Path) -> None:
    text = HEAD + "vary: {kind: [other]}\ntune: {factors: {lr: {from: 0.1, to: 4.0}}, trials: 3, sampler: qmc}\n"
    (project / "fair.yaml").write_text(text)
    assert ablate("run", "fair.yaml", *RUN).code == 0
    found = rows("fair")
    assert found == {f"{arm} #{n}": 1 for arm in ("baseline", "kind=other") for n in range(3)} | {
        "baseline": 2,
        "kind=other": 2,
    }
    stored = read_study("sqlite:///results/ablate.db", "fair")[1]
    for arm in ("baseline", "kind=other"):
        own = [row for row in stored if row.arm.startswith(f"{arm} #")]
        best = max(own, key=lambda row: row.metrics["score"])
        assert {row.params["lr"] for row in stored if row.arm == arm} == {best.params["lr"]}


def test_a_search_without_confirmation_ends_with_its_candidates(ablate: Ablate, project: Path) -> None:
    """Two metrics: no best one, and Optuna's study has two directions."""
    search = (
        "search: {factors: {lr: {from: 0.1, to: 4.0}}, trials: 5, sampler: nsga-ii, metrics: [score, train_seconds]}\n"
    )
    (project / "both.yaml").write_text(HEAD + search)
    said = ablate("run", "both.yaml", *RUN)
    assert rows("both") == {f"search #{n}": 1 for n in range(5)}
    assert said.code == 0, said.err
    study = optuna.load_study(study_name="both", storage="sqlite:///results/ablate.db")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.best_trials
    study._storage.remove_session()


def test_a_study_that_grows_by_a_level_an_arm_and_seeds_runs_nothing_twice(ablate: Ablate, project: Path) -> None:
    """And stays one Optuna study that Optuna's tools read, ranges and all."""
    text = HEAD + "vary: {lr: [0.2]}\n"
    (project / "grow.yaml").write_text(text)
    assert ablate("run", "grow.yaml", *RUN).code == 0
    grown = text.replace("[0.2]", "[0.2, 0.3]").replace("seeds: 2", "seeds: 3") + "arms: {long: {steps: 9}}\n"
    (project / "grow.yaml").write_text(grown)
    plan = json.loads(ablate("plan", "grow.yaml", "--json").out)
    assert (plan["done"], plan["to_run"]) == (4, 8)
    assert ablate("run", "grow.yaml", *RUN).code == 0
    assert rows("grow") == dict.fromkeys(["baseline", "lr=0.2", "lr=0.3", "long"], 3)
    study = optuna.load_study(study_name="grow", storage="sqlite:///results/ablate.db")
    assert len(study.trials_dataframe()) == 12
    assert {str(trial.distributions["lr"]) for trial in study.trials} == {
        str(optuna.distributions.FloatDistribution(0.1, 0.3))
    }
    assert set(optuna.importance.get_param_importances(study)) == {"lr", "steps"}
    study._storage.remove_session()


def test_search_is_refused_with_its_place(ablate: Ablate, project: Path) -> None:
    (project / "bad.yaml").write_text(HEAD + "search: {factors: {lr: {from: 4, to: 0.1}}}\n")
    said = ablate("run", "bad.yaml", *RUN)
    assert said.code == 2
    assert "  --> bad.yaml:5:20" in said.err
    assert not (project / "results").exists()
