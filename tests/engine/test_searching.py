"""A search in the engine: what is tried is decided when it is placed, and everything survives a killed parent."""

from __future__ import annotations

import signal
from pathlib import Path

import optuna
import pytest

from ablate.core.shared.registry import core_class
from ablate.engine.records.audit import audit
from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.search import CandidateState, best, candidates, is_complete
from ablate.storage.candidates import tried_of
from ablate.storage.prune import CurvePruner
from ablate.study.reading.load_study import load_study
from tests.engine.conftest import Bench

SEARCH = """
baseline: {{steps: 3}}
search:
  factors: {{offset: {{from: 0.0, to: 10.0}}, steps: {{from: 2, to: 5}}}}
  trials: {trials}
"""


def levels(bench: Bench) -> dict[str, tuple[object, object]]:
    """Candidate -> what it tried and what it gave, of every result; each has one."""
    found: dict[str, tuple[object, object]] = {}
    for row in bench.rows():
        if row.outcome is not None and row.outcome.is_result and row.attributes.get("phase") == "search":
            assert row.arm not in found
            found[row.arm] = (row.attributes["levels"], row.metrics.get("score"))
    return found


def test_every_candidate_is_tried_once_and_the_search_is_complete(bench: Bench) -> None:
    summary = bench.run(SEARCH.format(trials=6), slots=2)
    assert (summary.done, summary.total, summary.exit_code) == (6, 6, 0)
    assert set(levels(bench)) == {f"search #{number}" for number in range(6)}
    rows = bench.rows()
    assert {row.seed for row in rows} == {1000}
    (search,) = load_study(bench.folder / "toy.yaml", resolve_core=core_class).searches
    found = candidates(search, tried_of(rows))
    assert is_complete(search, found)
    winner = best(search, found)
    assert winner is not None
    assert winner.values == (max(row.metrics["score"] for row in rows),)


def test_a_longer_search_goes_on_as_if_it_had_been_that_long(bench: Bench, tmp_path: Path) -> None:
    """Suggestions come from what is stored, bit for bit."""
    bench.run(SEARCH.format(trials=4) + "  sampler: random\n")
    bench.run(SEARCH.format(trials=7) + "  sampler: random\n")
    whole = Bench(bench.folder / "other")
    whole.folder.mkdir()
    (whole.folder / "toycore.py").write_text((bench.folder / "toycore.py").read_text())
    whole.run(SEARCH.format(trials=7) + "  sampler: random\n")
    assert levels(bench) == levels(whole)


@pytest.mark.slow
def test_a_killed_search_goes_on_as_if_nothing_had_happened(bench: Bench) -> None:
    """Same suggestions and same scores, whatever was running when the parent died."""
    text = SEARCH.format(trials=12)
    for finished in (2, 4, 3):
        driven = bench.start(text, slots=1)
        driven.wait_for(finished, event="finish")
        driven.process.send_signal(signal.SIGKILL)
        driven.process.communicate()
    assert bench.start(text, slots=1).end() == 0
    whole = Bench(bench.folder / "other")
    whole.folder.mkdir()
    (whole.folder / "toycore.py").write_text((bench.folder / "toycore.py").read_text())
    assert whole.start(text, slots=1).end() == 0
    assert levels(bench) == levels(whole)


def test_pruning_ends_a_running_trial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates at the gate would run for ever; being given up ends them, and is an answer."""
    monkeypatch.setattr(CurvePruner, "observe", lambda self, number, step, value: step >= 2)
    factors = "{mode: [ok, gate], offset: {from: 0.0, to: 1.0}}"
    summary = bench.run(f"baseline: {{}}\nsearch: {{factors: {factors}, trials: 6, pruner: median, sampler: qmc}}")
    assert (summary.done, summary.exit_code) == (6, 0)
    ends = {row.params["mode"]: set[str]() for row in bench.rows()}
    for row in bench.rows():
        ends[row.params["mode"]].add(row.state)
    assert ends["gate"] == {"PRUNED"}
    assert ends["ok"] <= {"PRUNED", "COMPLETE"}
    assert all(row.outcome is OutcomeKind.PRUNED for row in bench.rows() if row.state == "PRUNED")


def test_a_recipe_that_was_answered_is_not_run_again(bench: Bench) -> None:
    """Two levels and six candidates: two computations, six answers."""
    bench.run("baseline: {}\nsearch: {factors: {steps: [2, 4]}, trials: 6, sampler: random}")
    rows = bench.rows()
    assert len(rows) == 6
    assert all(row.outcome is OutcomeKind.MEASURED for row in rows)
    copied = [row for row in rows if "copied_from" in row.attributes]
    assert len(copied) == 4
    assert len({row.metrics["score"] for row in rows}) == 2


def test_a_candidate_whose_first_seeds_are_bad_is_given_up(bench: Bench) -> None:
    """The seeds that are left become pruned without being run."""
    more = "trials: 6, seeds: 6, pruner: wilcoxon, sampler: random"
    summary = bench.run(f"baseline: {{}}\nsearch: {{factors: {{offset: {{from: 0.0, to: 100.0}}}}, {more}}}")
    assert (summary.done, summary.total) == (36, 36)
    (search,) = load_study(bench.folder / "toy.yaml", resolve_core=core_class).searches
    states = [one.state for one in candidates(search, tried_of(bench.rows()))]
    assert states[0] is CandidateState.MEASURED
    assert CandidateState.PRUNED in states
    pruned = [row for row in bench.rows() if row.outcome is OutcomeKind.PRUNED]
    assert all(row.seconds is None or row.seconds == 0 for row in pruned)
    assert all(not (bench.paths.trial(row.arm, row.seed).folder / "steps.txt").exists() for row in pruned)
    study = load_study(bench.folder / "toy.yaml", resolve_core=core_class)
    found = audit(study, bench.rows(), bench.results)
    assert (found.planned, found.done, found.faults) == (36, 36, [])


def test_settings_that_the_core_refuses_are_never_tried(bench: Bench) -> None:
    """Here no suggestion is accepted: one error that says so, and nothing is left running."""
    core = (bench.folder / "toycore.py").read_text()
    rule = """
    @model_validator(mode="after")
    def refuse(self):
        if self.offset > 0.5:
            raise ValueError("offset is too large")
        return self
"""
    core = core.replace("from pydantic import Field", "from pydantic import Field, model_validator")
    core = core.replace('description="added to the score")', f'description="added to the score")\n{rule}')
    (bench.folder / "toycore.py").write_text(core)
    with pytest.raises(AblateError, match=r"the core refused 100 suggestions in a row: .*offset is too large"):
        bench.run("baseline: {}\nsearch: {factors: {offset: {from: 1.0, to: 2.0}}, trials: 2}")
    assert not [row for row in bench.rows() if row.state == "RUNNING"]


def test_optunas_own_tools_read_a_search(bench: Bench) -> None:
    """The best trial, ranges as numbers, pruned trials as pruned."""
    bench.run(SEARCH.format(trials=5))
    study = optuna.load_study(study_name="toy", storage=bench.results.default_storage)
    rows = bench.rows()
    assert study.best_trial.value == max(row.metrics["score"] for row in rows)
    assert study.best_trial.distributions["offset"] == optuna.distributions.FloatDistribution(0.0, 10.0)
    assert study.best_trial.distributions["steps"] == optuna.distributions.IntDistribution(2, 5)
    frame = study.trials_dataframe()
    assert set(frame["state"]) == {"COMPLETE"}
    assert frame["params_offset"].dtype.kind == "f"
    study._storage.remove_session()
