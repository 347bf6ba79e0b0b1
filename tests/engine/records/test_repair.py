"""Damaged files of trials are set aside, and written again as they were where somebody knows what was in them."""

from __future__ import annotations

import json

import pytest

from ablate.core.shared.registry import core_class
from ablate.engine.records.audit import audit
from ablate.engine.records.repair import Repaired, find_damaged, repair
from ablate.engine.records.stored_outcome import stored_outcome
from ablate.outcome import Outcome, OutcomeKind
from ablate.storage.rows import TrialRow
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study
from tests.engine.conftest import Bench

DAMAGE = [b"", b"x", b"[]", b'{"schema_version": 1}', b"\xff", b"[" * 100_000]


def study_of(bench: Bench) -> Study:
    return load_study(bench.folder / "toy.yaml", resolve_core=core_class)


def hints(bench: Bench, rows: list[TrialRow]) -> list[tuple[str, str]]:
    return [(fault.kind, fault.hint) for fault in audit(study_of(bench), rows, bench.results).faults]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: repr(damage[:9]))
def test_an_outcome_is_written_again_as_it_was(done: Bench, damage: bytes) -> None:
    path = done.paths.trial("offset=1", 1).outcome
    before = Outcome.from_dict(json.loads(path.read_text(encoding="utf-8")))
    path.write_bytes(damage)
    rows = list(done.rows())
    assert hints(done, rows) == [
        ("damaged", "the next `ablate run` sets it aside and writes it again from the storage")
    ]
    assert repair(study_of(done), rows, done.paths) == Repaired(again=1)
    assert path.with_name("outcome.damaged-1").read_bytes() == damage
    assert Outcome.from_dict(json.loads(path.read_text(encoding="utf-8"))) == before
    assert hints(done, rows) == []
    assert repair(study_of(done), rows, done.paths) == Repaired()


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: repr(damage[:9]))
def test_a_recipe_is_written_again_as_it_was(done: Bench, damage: bytes) -> None:
    path = done.paths.trial("baseline", 0).recipe
    before = path.read_bytes()
    path.write_bytes(damage)
    rows = list(done.rows())
    assert hints(done, rows) == [("damaged", "the next `ablate run` sets it aside and writes it again")]
    assert repair(study_of(done), rows, done.paths) == Repaired(again=1)
    assert (path.read_bytes(), path.with_name("recipe.damaged-1").read_bytes()) == (before, damage)
    assert hints(done, rows) == []


def test_what_nobody_knows_is_only_set_aside_and_the_hint_says_so(done: Bench) -> None:
    path = done.paths.trial("offset=1", 1).outcome
    path.write_text("x", encoding="utf-8")
    rows = [row for row in done.rows() if (row.arm, row.seed) != ("offset=1", 1)]
    assert hints(done, rows) == [
        ("damaged", "the next `ablate run` sets it aside; the storage has no outcome to write it from")
    ]
    assert repair(study_of(done), rows, done.paths) == Repaired(aside=1)
    assert not path.exists()


def test_a_result_of_other_settings_writes_nothing(done: Bench) -> None:
    """The plan has changed: what is stored is no outcome of what the plan asks for now."""
    done.write("baseline: {offset: 0.0, steps: 4}\nvary: {offset: [1.0]}\nseeds: 2\n")
    trial = done.paths.trial("offset=1", 1)
    for path in (trial.recipe, trial.outcome):
        path.write_text("x", encoding="utf-8")
    found = list(find_damaged(study_of(done), done.rows(), done.paths))
    assert [(one.path, one.again) for one in found] == [(trial.outcome, None)]
    told = dict(hint for hint in hints(done, list(done.rows())) if hint[0] == "damaged")
    assert told["damaged"].startswith("the next `ablate run` sets it aside; it cannot be written again")


def test_a_run_repairs_also_what_it_does_not_run(done: Bench) -> None:
    path = done.paths.trial("offset=1", 1).outcome
    before = path.read_bytes()
    path.write_text("x", encoding="utf-8")
    done.run("baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 3\n", arms=["baseline"])
    assert path.read_bytes() == before
    assert hints(done, list(done.rows())) == []


def row(number: int, kind: OutcomeKind | None, error: str | None = None) -> TrialRow:
    attributes = {} if error is None else {"error": error}
    state = "RUNNING" if kind is None else "COMPLETE"
    return TrialRow(number, "a", 0, state, kind, {}, 1.5, "cpu", "digest", attributes=attributes)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([row(0, OutcomeKind.FAILED, "first"), row(1, OutcomeKind.FAILED, "last")], "last"),
        ([row(0, OutcomeKind.DIVERGED, "result"), row(1, OutcomeKind.FAILED, "last")], "result"),
        ([row(0, OutcomeKind.DIVERGED, "result"), row(1, None)], "result"),
    ],
)
def test_a_result_counts_else_the_last_attempt(rows: list[TrialRow], error: str) -> None:
    found = stored_outcome(rows, "digest")
    assert found is not None
    assert (found.error, found.seconds, found.recipe_digest) == (error, 1.5, "digest")
    assert stored_outcome(rows, "another") is None


def test_what_an_attempt_that_goes_on_will_give_is_not_known() -> None:
    assert stored_outcome([row(0, OutcomeKind.FAILED, "first"), row(1, None)], "digest") is None
    assert stored_outcome([], None) is None


def test_what_is_stored_may_make_no_outcome() -> None:
    odd = TrialRow(0, "a", 0, "COMPLETE", OutcomeKind.MEASURED, {}, 1.0, "cpu", "d", attributes={"reused": [1]})
    assert stored_outcome([odd], "d") is None


def test_every_field_of_an_outcome_comes_back() -> None:
    from ablate.storage.attributes import outcome_attributes

    outcome = Outcome(
        OutcomeKind.MEASURED,
        "d",
        metrics={"score": 0.1 + 0.2, "error": 1e-300},
        seconds=1 / 3,
        images_seen=7,
        device="cuda:0",
        device_name="One",
        reused={"train": 2.5},
        samples="samples.png",
        environment={"node": "n", "threads": "2"},
        notes=("one", "two"),
    )
    kept = json.loads(json.dumps(outcome_attributes(outcome, "score")))
    stored = TrialRow(
        0, "a", 0, "COMPLETE", outcome.kind, kept["metrics"], kept["seconds"], "cuda:0", "d", attributes=kept
    )
    assert stored_outcome([stored], "d") == outcome
