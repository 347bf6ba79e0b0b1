"""A study from its file to the storage, with real worker processes and a core that needs no torch."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest

from ablate.core.shared.registry import core_class
from ablate.engine.display import display_events
from ablate.engine.records.lock import StudyLock
from ablate.engine.run_study import RunOptions, run_study
from ablate.engine.workers.launcher_api import LocalLauncher
from ablate.errors import (
    AblateError,
    DataError,
    ExitCode,
    ResultsError,
    StorageError,
    StudyChangedError,
    StudyLockedError,
)
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import write_json
from ablate.storage.store import Store
from ablate.study.plan import replicates
from ablate.study.reading.load_study import load_study
from tests.engine.conftest import KINDS, Bench, cpu_slots
from tests.sentences import SENTENCES

TWO_ARMS = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 2\n"


def no_worker(*_: object) -> None:
    raise AssertionError("a worker was started")


def test_every_kind_of_end_is_recorded(bench: Bench) -> None:
    """Each arm meets another fate; the counts, the rows and the exit code agree."""
    modes = {"diverge": "diverged", "raise": "failed", "exit": "failed", "memory": "out_of_memory", "die": "measured"}
    arms = ", ".join(f"{mode}: {{mode: {mode}}}" for mode in modes)
    summary = bench.run(f"baseline: {{offset: 0.0}}\narms: {{{arms}}}\nseeds: 1\n")
    last = {row.arm: row.outcome for row in bench.rows()}
    assert last == {"baseline": "measured", **modes}
    assert summary.counts == {"measured": 2, "diverged": 1, "failed": 2, "out_of_memory": 1}
    assert (summary.done, summary.total, summary.exit_code) == (3, 6, ExitCode.INCOMPLETE)
    assert {error.arm: error.error for error in summary.errors} == {
        "raise": "RuntimeError: this cannot work with seed 0",
        "exit": "the core called sys.exit(3)",
        "memory": "MemoryError",
    }
    assert "this cannot work" in bench.paths.trial("raise", 0).log.read_text(encoding="utf-8")
    assert {row.state for row in bench.rows()} == {"COMPLETE", "FAIL"}


def test_files_and_attributes_of_a_run(bench: Bench) -> None:
    bench.run(TWO_ARMS)
    paths = bench.paths
    trial = paths.trial("offset=1", 1)
    assert paths.study_file.read_text(encoding="utf-8") == (bench.folder / "toy.yaml").read_text(encoding="utf-8")
    assert json.loads(paths.plan.read_text(encoding="utf-8"))["name"] == "toy"
    outcome = Outcome.from_dict(json.loads(trial.outcome.read_text(encoding="utf-8")))
    recipe = json.loads(trial.recipe.read_text(encoding="utf-8"))
    assert recipe["settings"]["offset"] == 1.0
    assert outcome.environment["threads"] == "1"
    assert outcome.environment["trials_on_device"] == "1"
    assert float(outcome.environment["peak_memory_mb"]) > 1
    assert outcome.device_name == "test processor"
    [row] = [row for row in bench.rows() if (row.arm, row.seed) == ("offset=1", 1)]
    assert row.params == {"offset": 1.0}
    assert row.recipe_digest == outcome.recipe_digest
    assert [images for images, _ in row.curve] == [1, 2, 3]
    assert row.attributes["log"] == str(trial.log)
    words = [line.split()[1] for line in paths.run_log.read_text(encoding="utf-8").splitlines()]
    assert words.count("finish") == 4
    assert (words[0], words[-1]) == ("start-run", "finish-run")


def test_the_same_command_again_starts_no_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(TWO_ARMS)
    before = bench.rows()
    monkeypatch.setattr(LocalLauncher, "launch", no_worker)
    summary = bench.run(TWO_ARMS)
    assert (summary.done, summary.exit_code, summary.counts) == (4, ExitCode.DONE, {})
    assert bench.rows() == before


def test_new_arms_and_seeds_are_added_and_nothing_is_run_twice(bench: Bench) -> None:
    bench.run(TWO_ARMS)
    bench.run("baseline: {offset: 0.0}\nvary: {offset: [1.0, 2.0]}\nseeds: 3\n")
    assert len(bench.rows()) == len(bench.results_of()) == 9


def test_a_changed_baseline_is_refused(bench: Bench) -> None:
    bench.run(TWO_ARMS)
    with pytest.raises(StudyChangedError):
        bench.run("baseline: {offset: 0.0, steps: 4}\nvary: {offset: [1.0]}\nseeds: 2\n")
    assert len(bench.rows()) == 4


def test_a_failed_trial_is_tried_again_by_the_next_run(bench: Bench) -> None:
    text = "baseline: {offset: 0.0}\narms: {bad: {mode: raise}}\nseeds: 1\n"
    assert bench.run(text).exit_code is ExitCode.INCOMPLETE
    bench.run(text)
    assert [row.outcome for row in bench.rows() if row.arm == "bad"] == ["failed", "failed"]


def test_a_hanging_worker_is_replaced_and_its_trial_goes_on(bench: Bench) -> None:
    options = RunOptions(stall_s=1.0)
    bench.run("baseline: {offset: 0.0}\narms: {h: {mode: hang}}\nseeds: 1\n", options=options)
    outcomes = [(row.outcome, row.attributes.get("error")) for row in bench.rows() if row.arm == "h"]
    assert outcomes[0][0] == "lost"
    assert "no sign of life for 1 s" in str(outcomes[0][1])
    assert outcomes[1] == ("measured", None)
    assert bench.steps("h", 0) == [1, 2, 3]


def test_three_equal_failures_stop_the_run(bench: Bench) -> None:
    arms = ", ".join(f"a{n}: {{mode: raise, offset: {n}.5}}" for n in range(6))
    summary = bench.run(f"baseline: {{mode: raise}}\narms: {{{arms}}}\nseeds: 1\n")
    assert summary.counts == {"failed": 3}
    assert summary.reason == SENTENCES["three equal failures stop"]
    assert summary.exit_code is ExitCode.INCOMPLETE


def test_a_resumed_trial_took_what_all_its_attempts_took(bench: Bench) -> None:
    """The core says nothing of seconds: workers keep them with the checkpoint, the parent those of lost trials."""
    text = "baseline: {offset: 0.0}\narms: {d: {mode: die, steps: 5}}\nseeds: 1\n"
    bench.run(text)
    lost, measured = (row for row in bench.rows() if row.arm == "d")
    spent = json.loads(bench.paths.trial("d", 0).spent.read_text(encoding="utf-8"))
    assert lost.outcome == "lost"
    assert lost.seconds is not None
    assert lost.seconds > 0
    assert measured.seconds is not None
    assert measured.seconds >= spent["seconds"] > 0


def test_a_lost_attempt_says_how_many_images_it_saw(bench: Bench) -> None:
    bench.run("baseline: {offset: 0.0}\narms: {d: {mode: die, steps: 5}}\nseeds: 1\n")
    lost, measured = (row for row in bench.rows() if row.arm == "d")
    assert (lost.outcome, lost.attributes["images_seen"]) == ("lost", 2)
    assert (measured.outcome, measured.attributes["images_seen"]) == ("measured", 5)


def test_the_end_of_a_resumed_trial_says_what_it_took_in_all_and_what_this_attempt_took(bench: Bench) -> None:
    """A thousand seconds were spent before: they are the trial's, not this attempt's."""
    text = "baseline: {offset: 0.0}\narms: {d: {mode: raise, steps: 5}}\nseeds: 1\n"
    bench.run(text)
    write_json(bench.paths.trial("d", 0).spent, {"seconds": 1000.0, "peak_mb": None})
    (bench.paths.trial("d", 0).folder / "checkpoint.json").write_text("[5, 1.0]")
    bench.events.clear()
    bench.run(text)
    (finish,) = bench.of(display_events.TrialFinished)
    assert finish.outcome == "measured"
    assert finish.elapsed_s is not None
    assert finish.elapsed_s < 1000.0 <= finish.seconds
    assert f"seconds={finish.seconds} elapsed_s={finish.elapsed_s}" in bench.paths.run_log.read_text()


def test_an_arm_that_always_fails_starves_no_other(bench: Bench) -> None:
    """It goes last, in the run in which it fails first and in those that follow, and is not counted thrice."""
    text = "baseline: {offset: 0.0}\narms: {bad: {mode: raise}, good: {offset: 1.5}}\nseeds: 6\n"
    first = bench.run(text)
    assert first.counts == {"measured": 12, "failed": 4}
    assert first.reason == SENTENCES["arm always fails starves"]
    tried = [(row.arm, row.seed) for row in bench.rows()]
    assert tried[-3:] == [("bad", 1), ("bad", 2), ("bad", 3)]
    second = bench.run(text.replace("seeds: 6", "seeds: 8"))
    assert second.counts == {"measured": 4, "failed": 3}
    assert [row.arm for row in bench.rows()][-3:] == ["bad"] * 3


def test_fail_fast_stops_at_the_first_failure(bench: Bench) -> None:
    text = "baseline: {offset: 0.0}\narms: {bad: {mode: raise}, good: {offset: 1.5}}\nseeds: 2\n"
    summary = bench.run(text, options=RunOptions(fail_fast=True))
    assert summary.counts["failed"] == 1
    assert summary.counts.get("measured", 0) <= 2
    assert summary.reason == SENTENCES["fail fast stops at"]
    assert summary.exit_code is ExitCode.INCOMPLETE


def test_a_budget_that_is_used_up_places_nothing_more(bench: Bench) -> None:
    summary = bench.run(f"{TWO_ARMS}budget: {{hours: 1.0e-9}}\n")
    assert summary.reason is not None
    assert "budget" in summary.reason
    assert summary.exit_code is ExitCode.INCOMPLETE


def test_arms_with_the_same_recipe_are_run_once_and_recorded_twice(bench: Bench) -> None:
    path = bench.write(TWO_ARMS)
    study = load_study(path, resolve_core=core_class)
    twin = dataclasses.replace(study.arms[1], name="twin")
    study = dataclasses.replace(study, arms=(*study.arms, twin))
    heard: list[display_events.DisplayEvent] = []
    run_study(
        study,
        core_class(study.core, bench.folder),
        replicates(study),
        results=bench.results,
        storage_url=bench.results.default_storage,
        slots=cpu_slots(2),
        listen=heard.append,
        options=RunOptions(),
        kinds=KINDS,
    )
    scores = bench.results_of()
    assert scores[("twin", 1)] == scores[("offset=1", 1)]
    assert len(scores) == 6
    assert sum(isinstance(event, display_events.TrialStarted) for event in heard) == 4
    assert not (bench.paths.trial("twin", 0).folder / "steps.txt").exists()
    assert bench.paths.trial("twin", 0).outcome.exists()


def test_outcome_files_are_recorded_when_the_storage_is_gone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file decides: a lost database is rebuilt from the outcome files, without computing anything."""
    bench.run(TWO_ARMS)
    before = bench.results_of()
    for file in bench.results.folder.glob("ablate.db*"):
        file.unlink()
    monkeypatch.setattr(LocalLauncher, "launch", no_worker)
    bench.run(TWO_ARMS)
    assert bench.results_of() == before


def test_an_outcome_written_while_nobody_could_record_it_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial left RUNNING by a killed run ends with the outcome that its worker still wrote."""
    text = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 1\n"
    bench.run(text)
    kept = bench.paths.trial("offset=1", 0).outcome
    saved = kept.read_text(encoding="utf-8")
    shutil.rmtree(bench.results.folder)
    bench.run(text, arms=["baseline"])
    with Store.open(
        bench.results.default_storage, "toy", kinds=KINDS, primary="score", direction="max", attributes={}
    ) as store:
        number = store.start("offset=1", 0, {"offset": 1.0})
    kept.parent.mkdir(parents=True)
    kept.write_text(saved, encoding="utf-8")
    monkeypatch.setattr(LocalLauncher, "launch", no_worker)
    summary = bench.run(text)
    assert summary.done == 2
    [row] = [row for row in bench.rows() if row.arm == "offset=1"]
    assert (row.number, row.outcome) == (number, OutcomeKind.MEASURED)


@pytest.mark.parametrize("damage", ["", "{", '{"schema_version": 1}', "[]", '{"schema_version": 99}'])
def test_a_damaged_outcome_file_is_as_good_as_none(bench: Bench, damage: str) -> None:
    text = "baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 1\n"
    path = bench.paths.trial("offset=1", 0).outcome
    path.parent.mkdir(parents=True)
    bench.paths.plan.touch()
    path.write_text(damage, encoding="utf-8")
    assert bench.run(text).done == 2
    assert path.with_name("outcome.damaged-1").read_text(encoding="utf-8") == damage


def test_an_outcome_of_another_recipe_is_never_taken(bench: Bench) -> None:
    trial = bench.paths.trial("baseline", 0)
    trial.folder.mkdir(parents=True)
    bench.paths.plan.touch()
    write_json(trial.outcome, Outcome(OutcomeKind.MEASURED, "another", metrics={"score": 99.0}).to_dict())
    bench.run("baseline: {offset: 0.0}\nvary: {offset: [1.0]}\nseeds: 1\n")
    assert bench.results_of()[("baseline", 0)][1] != 99.0


def test_a_trial_folder_of_another_recipe_is_refused(bench: Bench) -> None:
    bench.run(TWO_ARMS)
    for file in bench.results.folder.glob("ablate.db*"):
        file.unlink()
    with pytest.raises(ResultsError, match="other settings"):
        bench.run("baseline: {offset: 0.0, steps: 4}\nvary: {offset: [1.0]}\nseeds: 2\n")


def test_a_second_run_of_the_same_study_is_refused(bench: Bench) -> None:
    bench.run(TWO_ARMS)
    with StudyLock(bench.paths.lock), pytest.raises(StudyLockedError, match=r"process \d+ on .* since"):
        bench.run(TWO_ARMS)
    assert bench.run(TWO_ARMS).done == 4


def test_a_folder_that_is_not_ours_is_left_alone(bench: Bench) -> None:
    bench.paths.folder.mkdir(parents=True)
    (bench.paths.folder / "thesis.tex").write_text("precious", encoding="utf-8")
    with pytest.raises(ResultsError, match="not a study's results"):
        bench.run(TWO_ARMS)
    assert [file.name for file in bench.paths.folder.iterdir()] == ["thesis.tex"]


def test_results_that_are_a_file_give_a_clear_message(bench: Bench) -> None:
    bench.results.folder.write_text("", encoding="utf-8")
    with pytest.raises(ResultsError, match="is not a folder"):
        bench.run(TWO_ARMS)


def test_a_worker_on_a_full_disk_stops_the_run_and_loses_nothing(bench: Bench) -> None:
    """The worker's writes fail (a limit on file size stands for the full disk); the next run goes on."""
    text = "baseline: {offset: 0.0}\narms: {f: {mode: full}}\nseeds: 1\n"
    with pytest.raises(ResultsError, match="can no longer write"):
        bench.run(text)
    assert bench.results_of().keys() == {("baseline", 0)}
    assert bench.run(text).done == 2


def test_a_storage_that_fails_stops_the_run_and_the_files_are_recorded_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk is full: ablate.db")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", full)
        with pytest.raises(StorageError, match="the disk is full"):
            bench.run(TWO_ARMS)
    assert bench.results_of() == {}
    assert bench.paths.trial("baseline", 0).outcome.exists()
    assert bench.run(TWO_ARMS).done == 4
    assert bench.steps("baseline", 0) == [1, 2, 3]


def test_a_parent_on_a_full_disk_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    with monkeypatch.context() as patch:
        patch.setattr("ablate.engine.records.recorder.make_trial", full)
        with pytest.raises(ResultsError, match="the disk is full: cannot write somewhere"):
            bench.run(TWO_ARMS)
    assert bench.run(TWO_ARMS).done == 4


def test_a_core_that_a_worker_cannot_import_ends_the_run_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.write(TWO_ARMS)
    study = load_study(path, resolve_core=core_class)
    core = core_class(study.core, bench.folder)
    (bench.folder / "toycore.py").unlink()
    # A worker searches where its parent does, and there other tests may have left a module of this name.
    elsewhere = [entry for entry in sys.path if not (Path(entry) / "toycore.py").exists()]
    monkeypatch.setattr(sys, "path", elsewhere)
    with pytest.raises(AblateError, match="cannot import 'toycore'"):
        run_study(
            study,
            core,
            replicates(study),
            results=bench.results,
            storage_url=bench.results.default_storage,
            slots=cpu_slots(1),
            listen=lambda event: None,
            options=RunOptions(),
            kinds=KINDS,
        )


def test_what_a_core_misses_is_said_before_anything_starts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write(TWO_ARMS)
    core = core_class("toycore:Toy", bench.folder)

    def require(settings: object) -> None:
        raise DataError("the toy data is not here")

    monkeypatch.setattr(core, "require", require)
    with pytest.raises(DataError, match="the toy data is not here"):
        bench.run(TWO_ARMS)
    assert not bench.paths.folder.exists()


def test_a_metric_that_cannot_be_measured_is_said_before_anything_starts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(TWO_ARMS)
    asked: list[tuple[object, list[str]]] = []

    def require_metrics(settings: object, names: list[str]) -> None:
        asked.append((settings, names))
        raise AblateError("score needs a ruler", hint="bring one")

    monkeypatch.setattr(core_class("toycore:Toy", bench.folder), "require_metrics", require_metrics)
    with pytest.raises(AblateError, match="score needs a ruler"):
        bench.run(TWO_ARMS)
    assert [names for _, names in asked] == [["score"]]
    assert not bench.paths.folder.exists()


def test_a_core_hears_which_metrics_the_study_asks_for(bench: Bench) -> None:
    bench.run(TWO_ARMS)
    outcome = json.loads(bench.paths.trial("baseline", 0).outcome.read_text(encoding="utf-8"))
    assert outcome["notes"] == ["asked for score"]


def test_an_error_in_the_display_leaves_no_worker_behind(bench: Bench) -> None:
    def listen(event: display_events.DisplayEvent) -> None:
        if isinstance(event, display_events.TrialProgress):
            raise ValueError("a bug in the display")

    with pytest.raises(ValueError, match="a bug in the display"):
        bench.run(TWO_ARMS, listen=listen)
    with StudyLock(bench.paths.lock) as lock:
        assert lock.orphans == ()
    assert bench.run(TWO_ARMS).done == 4


def test_every_event_is_json(bench: Bench) -> None:
    bench.run(TWO_ARMS, options=RunOptions(alive_s=0.001))
    texts = [json.dumps(event.to_dict()) for event in bench.events]
    assert {json.loads(text)["event"] for text in texts} >= {
        "start-run",
        "start",
        "progress",
        "finish",
        "finish-run",
        "alive",
    }
    finished = bench.of(display_events.TrialFinished)
    assert [event.done for event in finished] == [1, 2, 3, 4]
    assert Path(finished[0].log).parent == bench.paths.trial(finished[0].arm, finished[0].seed).folder.absolute()
