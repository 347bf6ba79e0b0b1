"""``ablate audit``: what it says of sound, unfinished and unsound results."""

from __future__ import annotations

import json
from pathlib import Path

from ablate.paths import ResultsPaths
from tests.cli.conftest import Ablate
from tests.sentences import SENTENCES


def test_sound_results_get_one_line(ablate: Ablate, finished: Path) -> None:
    said = ablate("audit", "steps", "--deep")
    assert (said.code, said.err) == (0, "")
    assert said.out == SENTENCES["sound results get one"]


def test_each_fault_is_named_with_its_place_and_what_to_do(ablate: Ablate, finished: Path) -> None:
    trials = ResultsPaths(finished / "results").study("steps")
    trials.trial("lr=0.2", 1).outcome.write_text("{", encoding="utf-8")
    (trials.trials / "left over").mkdir()
    said = ablate("audit", "steps.yaml")
    assert said.code == 6
    lines = said.out.splitlines()
    assert lines[0] == SENTENCES["each fault named place"]
    assert lines[1].startswith(SENTENCES["each fault named place 2"])
    assert lines[2:] == [
        "    hint: the next `ablate run` sets it aside and writes it again from the storage",
        SENTENCES["each fault named place 3"],
    ]


def test_results_of_a_run_that_was_killed_and_whose_files_are_gone_are_unsound(ablate: Ablate, half_done: Path) -> None:
    said = ablate("audit", "--json")
    assert said.code == 6
    data = json.loads(said.out)
    assert (data["event"], data["study"], data["planned"]) == ("audit", "steps", 12)
    assert {fault["kind"] for fault in data["faults"]} == {"recipe", "no-file", "left-running"}


def test_an_unknown_study_is_one_clear_error(ablate: Ablate, finished: Path) -> None:
    said = ablate("audit", "stesp")
    assert said.code == 2
    assert "did you mean 'steps'?" in said.err
