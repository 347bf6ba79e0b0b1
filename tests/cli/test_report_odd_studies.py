"""`ablate report` on studies in every odd state: a useful report, or one clear message."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.errors import ExitCode
from ablate.outcome import Outcome, OutcomeKind
from ablate.storage.store import Store
from ablate.study.spec import Arm, MetricSpec, Study
from tests.sentences import SENTENCES

if TYPE_CHECKING:
    from tests.cli.conftest import Ablate, Said

BASE = (29.0, 29.4, 28.8, 29.1, 29.3)
GAIN = tuple(value + 0.5 + at / 100 for at, value in enumerate(BASE))
Results = Mapping[str, Sequence[float | None]]
"""Arm -> values by seed; None diverged."""
Write = Callable[..., None]


@pytest.fixture
def write(project: Path) -> Write:
    """Return a function that stores a study called `odd` with the given results."""

    def stored(results: Results, *, seeds: int = 5, file: str = "") -> None:
        arms = tuple(Arm(name, {}, {"lr": float(at)}) for at, name in enumerate(results))
        metric = MetricSpec("score", "max", margin=0.1, primary=True, unit="dB")
        study = Study("odd", "?", "toy", arms, ("lr",), (metric,), (seeds,), text="question: ?\n", file=file)
        (project / "results").mkdir()
        with Store.open(
            "sqlite:///results/ablate.db",
            "odd",
            kinds={"lr": "float"},
            primary="score",
            direction="max",
            attributes={"ablate.plan": json.dumps(study.to_dict())},
        ) as store:
            for arm in arms:
                for seed, value in enumerate(results[arm.name]):
                    recipe = study.recipe(arm, seed)
                    number = store.start(arm.name, seed, dict(arm.settings), {})
                    kind = OutcomeKind.DIVERGED if value is None else OutcomeKind.MEASURED
                    metrics = {} if value is None else {"score": value}
                    store.finish(number, Outcome(kind, recipe.digest, metrics=metrics, seconds=1.0), {})

    return stored


def reported(ablate: Ablate, *options: str) -> Said:
    return ablate("report", "odd", "--no-figures", *options)


def page() -> str:
    return (Path("results") / "odd" / "report.md").read_text(encoding="utf-8")


def test_an_empty_study_says_that_nothing_has_been_measured(write: Write, ablate: Ablate) -> None:
    write({"baseline": (), "arm": ()})
    said = reported(ablate)
    assert said.code == ExitCode.NOTHING_COMPARABLE
    assert said.err.startswith("error: nothing has been measured yet")
    assert "Nothing can be compared" in page()


def test_a_missing_baseline_is_named_with_the_arms_that_are_there(write: Write, ablate: Ablate) -> None:
    write({"baseline": (), "arm": BASE})
    said = reported(ablate)
    assert said.code == ExitCode.NOTHING_COMPARABLE
    assert SENTENCES["missing baseline named arms"] in said.err
    assert "29.12" in (Path("results") / "odd" / "arms.csv").read_text(encoding="utf-8")


def test_when_all_diverged_it_says_so_and_counts(write: Write, ablate: Ablate) -> None:
    write({"baseline": (None,) * 3, "arm": (None,) * 3}, seeds=3)
    said = reported(ablate)
    assert said.code == ExitCode.NOTHING_COMPARABLE
    assert "the baseline 'baseline' diverged in 3 of 3 seeds" in said.err
    assert "diverged in 3 of 3 seeds" in page()


def test_one_seed_gives_numbers_and_no_verdict(write: Write, ablate: Ablate) -> None:
    write({"baseline": BASE[:1], "arm": GAIN[:1]}, seeds=1)
    said = reported(ablate)
    assert said.code == ExitCode.DONE
    assert SENTENCES["one seed gives numbers"] in said.out


def test_a_partial_study_is_called_partial_and_gets_one_command(write: Write, ablate: Ablate) -> None:
    write({"baseline": BASE, "arm": GAIN[:2], "other": ()})
    said = reported(ablate)
    assert said.code == ExitCode.DONE
    assert SENTENCES["partial study called partial"] in said.out
    assert said.out.count("ablate run") == 1
    assert "partial: 7 of 15 trials" in page()


def test_a_study_file_that_changed_after_the_run_makes_the_report_stale(
    write: Write, ablate: Ablate, project: Path
) -> None:
    (project / "odd.yaml").write_text("question: another\n", encoding="utf-8")
    write({"baseline": BASE, "arm": GAIN}, file="odd.yaml")
    assert reported(ablate).code == ExitCode.DONE
    assert "study file changed after the run" in page()


def test_hostile_names_stay_text_everywhere(write: Write, ablate: Ablate) -> None:
    names = ["<script>alert(1)</script>", "a|b`c", "=cmd()", "$(rm -rf ~)", "x\u202ey", "\\end{tabular}", "../../up"]
    write({"baseline": BASE, **dict.fromkeys(names, GAIN)})
    said = reported(ablate)
    assert said.code == ExitCode.DONE
    assert "\u202e" not in said.out
    html = (Path("results") / "odd" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in html
    assert not Path("up").exists()


def test_a_study_of_eighty_arms_is_read_in_one_screen(write: Write, ablate: Ablate) -> None:
    write({"baseline": BASE[:2], **{f"arm {place}": GAIN[:2] for place in range(80)}}, seeds=2)
    said = reported(ablate, "--format", "json")
    assert said.code == ExitCode.DONE
    assert SENTENCES["study eighty arms read"] in said.out
    assert "more arms: see the table." in said.out
