"""`ablate report` on two studies, and on tables that ablate did not produce."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.errors import ExitCode
from tests.sentences import SENTENCES

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate

RUNS = "arm,seed,accuracy\n" + "".join(
    f"{arm},{seed},{value}\n"
    for arm, values in {"plain": (0.71, 0.74, 0.72, 0.73), "wide": (0.81, 0.83, 0.815, 0.84)}.items()
    for seed, value in enumerate(values)
)


@pytest.fixture
def twice(finished: Path, finished_results: Path) -> Path:
    """The same study in two folders of results."""
    shutil.copytree(finished_results, finished / "before")
    return finished


def test_two_studies_are_compared_arm_by_arm(twice: Path, ablate: Ablate) -> None:
    said = ablate("report", "before/steps", "steps", "--fail-on", "worse", "--fail-on", "undecided")
    assert said.code == ExitCode.DONE, said.err
    assert SENTENCES["two studies compared arm"] in said.out
    assert "baseline in steps is equivalent to before/steps" in said.out
    assert "identical results" in said.out
    written = twice / "results" / "steps" / "against-before_steps"
    assert sorted(path.name for path in written.iterdir()) == ["arms.csv", "report.json", "report.md"]
    assert json.loads((written / "report.json").read_text(encoding="utf-8"))["before"] == "before/steps"


def test_a_change_for_the_worse_fails_the_gate(twice: Path, ablate: Ablate) -> None:
    core = twice / "toycore.py"
    worse = core.read_text(encoding="utf-8").replace('"score": 20 + lr', '"score": 19 + lr * 1.1 ** recipe.seed')
    core.write_text(worse, encoding="utf-8")
    shutil.rmtree(twice / "results")
    assert ablate("run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-figures", "--quiet").code == 0
    said = ablate("report", "before/steps", "steps", "--fail-on", "worse")
    assert said.code == ExitCode.GATE
    assert "is worse than in before/steps" in said.out
    assert "--fail-on names" in said.err
    rows = [json.loads(line) for line in ablate("report", "before/steps", "steps", "--json").out.splitlines()]
    assert {(row["event"], row["before"], row["study"]) for row in rows} == {("comparison", "before/steps", "steps")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "steps", "steps"), "steps and steps are the same study"),
        (("report", "steps", "step"), "no study 'step'"),
        (("report", "nowhere/steps", "steps"), "nowhere"),
        (("report", "a", "b", "c"), "3 studies were named"),
        (("report", "a", "b", "--columns", "n"), "--columns goes with one study"),
        (("report", "steps", "--csv", "runs.csv"), "csv:runs.csv and the study 'steps' do not go together"),
        (("report", "steps", "--baseline", "plain"), "--baseline goes with --csv"),
        (("report", "steps", "--test", "welch", "--noise", "pooled"), "pooled noise needs the paired test"),
        (("report", "steps", "--test-share", "0.1"), "a test share belongs to the Bayesian reading"),
        (("report", "steps", "--columns", "n,posterior"), "the column posterior needs a Bayesian reading"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words_that_do_not_go_together_are_one_error(
    finished: Path, ablate: Ablate, words: tuple[str, ...], message: str
) -> None:
    said = ablate(*words)
    assert said.code == ExitCode.USAGE
    assert message in said.err
    assert said.err.count("error:") == 1


def test_a_table_from_elsewhere_gets_a_report(project: Path, ablate: Ablate) -> None:
    (project / "runs.csv").write_text(RUNS, encoding="utf-8")
    said = ablate("report", "--csv", "runs.csv", "--baseline", "plain", "--metric", "accuracy:max:1%", "--no-figures")
    assert said.code == ExitCode.DONE, said.err
    assert "wide is better: +0.0" in said.out
    written = sorted(path.name for path in (project / "results" / "runs").iterdir())
    assert written == ["arms.csv", "curves.csv", "report.html", "report.json", "report.md", "table.tex", "trials.csv"]


def test_a_bad_table_is_refused_with_its_lines_and_writes_nothing(project: Path, ablate: Ablate) -> None:
    (project / "runs.csv").write_text(RUNS + "wide,4,high\nwide,x,0.8\n", encoding="utf-8")
    said = ablate("report", "--csv", "runs.csv", "--baseline", "plain")
    assert said.code == ExitCode.USAGE
    assert "runs.csv:10:8" in said.err
    assert "runs.csv:11:6" in said.err
    assert "2 errors, nothing was written" in said.err
    assert not (project / "results").exists()


def test_a_table_never_overwrites_the_report_of_a_study(finished: Path, ablate: Ablate) -> None:
    (finished / "steps.csv").write_text(RUNS, encoding="utf-8")
    said = ablate("report", "--csv", "steps.csv", "--baseline", "plain")
    assert said.code == ExitCode.USAGE
    assert "holds a study that ablate ran" in said.err
    assert "--name" in said.err


def test_the_method_can_be_chosen(finished: Path, ablate: Ablate) -> None:
    said = ablate("report", "steps", "--no-figures", "--noise", "pooled", "--correct", "bh", "--json")
    assert said.code == ExitCode.DONE, said.err
    data = json.loads((finished / "results" / "steps" / "report.json").read_text(encoding="utf-8"))
    assert (data["comparison"]["noise"], data["comparison"]["correct"]) == ("pooled", "bh")


def test_the_best_arm_is_confirmed_on_fresh_seeds_once(finished: Path, ablate: Ablate) -> None:
    run = ("run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-figures", "--quiet")
    said = ablate(*run, "--confirm", "--seeds", "4")
    assert said.code == ExitCode.DONE, said.err
    assert SENTENCES["best arm confirmed on"] in said.out
    assert "one test on fresh seeds" in said.out
    stored = json.loads((finished / "results" / "steps-confirm" / "report.json").read_text(encoding="utf-8"))
    assert sorted(stored["comparison"]["rows"][0]["values"]) == ["2000", "2001", "2002", "2003"]
    again = ablate(*run, "--confirm", "--seeds", "9")
    assert again.code == ExitCode.USAGE
    assert "begun with 4 seeds" in again.err


def test_nothing_is_confirmed_before_the_study_has_run(project: Path, ablate: Ablate) -> None:
    said = ablate("run", "steps.yaml", "--confirm")
    assert (said.code, "has not been run" in said.err) == (ExitCode.USAGE, True)
    said = ablate("run", "steps.yaml", "--confirm", "--add-seeds", "2")
    assert "--confirm runs one arm and the baseline once" in said.err
    assert not (project / "results").exists()


RUN = ("run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-figures", "--quiet")


@pytest.fixture
def declared(project: Path, ablate: Ablate) -> Path:
    """A finished study that said before its run how it is tested."""
    file = project / "steps.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "report: {noise: pooled, correct: bh}\n", encoding="utf-8")
    assert "  verdicts: test paired, noise pooled, correct bh, equivalence bh" in ablate("plan", "steps.yaml").out
    said = ablate(*RUN)
    assert said.code == ExitCode.DONE, said.err
    assert "changed after the run" not in said.out
    return project


def method_of(project: Path) -> tuple[str, str, str, object]:
    data = json.loads((project / "results" / "steps" / "report.json").read_text(encoding="utf-8"))["comparison"]
    return data["test"], data["noise"], data["correct"], data["declared"]


def test_a_declared_method_is_used_and_a_change_after_the_run_is_said(declared: Path, ablate: Ablate) -> None:
    assert method_of(declared) == ("paired", "pooled", "bh", None)
    said = ablate("report", "steps", "--no-figures", "--correct", "none", "--test", "paired")
    *used, stated = method_of(declared)
    assert used == ["paired", "pooled", "none"]
    assert isinstance(stated, dict)
    assert (stated["test"], stated["noise"], stated["correct"], stated["equivalence"]) == (
        "paired",
        "pooled",
        "bh",
        "bh",
    )
    assert SENTENCES["declared method used change"] in said.out
    folder = declared / "results" / "steps"
    pages = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md", "table.tex")}
    assert {name: "hanged after the run" in text for name, text in pages.items()} == dict.fromkeys(pages, True)
    assert SENTENCES["declared method used change 2"] in pages["report.md"]


def test_a_method_that_does_not_go_with_the_declared_one_is_refused(declared: Path, ablate: Ablate) -> None:
    said = ablate("report", "steps", "--no-figures", "--test", "welch")
    assert said.code == ExitCode.USAGE
    assert "pooled noise needs the paired test, not welch" in said.err
    assert ablate("report", "steps", "--no-figures", "--test", "welch", "--noise", "own").code == ExitCode.DONE


def test_a_file_changed_after_the_run_changes_no_verdict(declared: Path, ablate: Ablate) -> None:
    file = declared / "steps.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("correct: bh", "correct: none"), encoding="utf-8")
    again = ablate(*(part for part in RUN if part != "--quiet"))
    assert again.code == ExitCode.DONE
    assert "asks for a different test" in again.err
    assert ablate("report", "steps", "--no-figures").code == ExitCode.DONE
    assert method_of(declared) == ("paired", "pooled", "bh", None)
    assert "study file changed after the run" in (declared / "results/steps/report.md").read_text(encoding="utf-8")


def test_of_a_table_from_elsewhere_nothing_was_declared(project: Path, ablate: Ablate) -> None:
    (project / "runs.csv").write_text(RUNS, encoding="utf-8")
    table = ("report", "--csv", "runs.csv", "--baseline", "plain", "--metric", "accuracy:max:1%", "--no-figures")
    said = ablate(*table, "--test", "welch")
    assert said.code == ExitCode.DONE, said.err
    assert "after the run" not in said.out
    assert "Welch t-test" in (project / "results" / "runs" / "report.md").read_text(encoding="utf-8")


def test_equivalence_is_corrected_as_asked_for_a_table_that_declares_nothing(project: Path, ablate: Ablate) -> None:
    """Three arms just within the margin: each is equivalent by itself, and none as one of three."""
    noise = (0.0, 0.01, -0.01, 0.02)
    arms = {"plain": (0.7, 0.7, 0.7, 0.7), **{arm: tuple(0.7 + 0.01 * at + one for one in noise)
            for at, arm in enumerate(("a", "b", "c"))}}  # fmt: skip
    lines = [f"{arm},{seed},{value}" for arm, values in arms.items() for seed, value in enumerate(values)]
    (project / "runs.csv").write_text("\n".join(["arm,seed,accuracy", *lines]), encoding="utf-8")
    table = ("report", "--csv", "runs.csv", "--baseline", "plain", "--metric", "accuracy:max:0.032", "--no-figures")
    words = {}
    for options in ((), ("--equivalence", "none"), ("--correct", "none"), ("--correct", "none", "--equivalence", "bh")):
        assert ablate(*table, *options).code == ExitCode.DONE
        data = json.loads((project / "results" / "runs" / "report.json").read_text(encoding="utf-8"))["comparison"]
        rows = {row["arm"]: row["verdict"] for row in data["rows"] if row["arm"] != "plain"}
        words[options] = (data["correct"], data["equivalence"], rows["b"])
    assert list(words.values()) == [
        ("holm", "holm", "undecided"),
        ("holm", "none", "equivalent"),
        ("none", "none", "equivalent"),
        ("none", "bh", "undecided"),
    ]


def test_a_bayesian_reading_stands_beside_the_verdicts(project: Path, ablate: Ablate) -> None:
    (project / "runs.csv").write_text(RUNS, encoding="utf-8")
    table = ("report", "--csv", "runs.csv", "--baseline", "plain", "--metric", "accuracy:max:0.05", "--no-figures")
    plain = ablate(*table)
    folder = project / "results" / "runs"
    before = json.loads((folder / "report.json").read_text(encoding="utf-8"))["comparison"]
    said = ablate(*table, "--bayes")
    assert said.code == plain.code == ExitCode.DONE
    after = json.loads((folder / "report.json").read_text(encoding="utf-8"))["comparison"]
    assert (before["bayes"], after["bayes"]) == (None, {"test_share": 0.0})
    assert [row["verdict"] for row in after["rows"]] == [row["verdict"] for row in before["rows"]]
    [wide] = [row for row in after["rows"] if row["arm"] == "wide"]
    assert wide["posterior_better"] > 0.9
    for text in (said.out, *((folder / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))):
        assert "P(better/equivalent/worse), %" in text
        assert "posterior by these seeds alone: better by more" in " ".join(text.split())
    assert "never change one" in (folder / "report.md").read_text(encoding="utf-8")
    assert "P(better/equivalent/worse)" in (folder / "table.tex").read_text(encoding="utf-8")
    assert f",{wide['posterior_better']}," in (folder / "arms.csv").read_text(encoding="utf-8")


def test_two_studies_are_read_in_that_way_too(twice: Path, ablate: Ablate) -> None:
    core = twice / "toycore.py"
    worse = core.read_text(encoding="utf-8").replace('"score": 20 + lr', '"score": 19 + lr * 1.1 ** recipe.seed')
    core.write_text(worse, encoding="utf-8")
    shutil.rmtree(twice / "results")
    assert ablate("run", "steps.yaml", "--gpus", "none", "--slots", "1", "--no-figures", "--quiet").code == 0
    said = ablate("report", "before/steps", "steps", "--bayes")
    assert "posterior by these seeds alone" in " ".join(said.out.split())
