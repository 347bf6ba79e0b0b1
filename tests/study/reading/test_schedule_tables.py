"""Noise schedules that the study gives itself: inline, from a file, from a function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.beta_tables import table_numbers, table_text
from ablate.errors import Problem, StudyFileError
from ablate.interface import Core
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study, levels_of

Load = Callable[..., Study]
Refuse = Callable[..., tuple[Problem, ...]]
Pointed = Callable[[Problem], str]

ARM = "baseline: {}\nvary: {noise_schedule: [mine]}\n"


def _setting(study: Study, arm: str = "noise_schedule=mine") -> str:
    found = next(one for one in study.arms if one.name == arm).settings["noise_schedule"]
    assert isinstance(found, str)
    return found


def test_the_numbers_travel_in_the_recipe(load: Load) -> None:
    """The arm keeps the table's name for people; the recipe holds the betas and nothing else."""
    study = load("schedules: {mine: {betas: [1e-4, 0.01, 0.5]}}\n" + ARM)
    assert table_numbers(_setting(study)) == [1e-4, 0.01, 0.5]
    assert study.arms[1].levels == {"noise_schedule": "mine"}
    assert levels_of(study, study.arms[1]) == {"noise_schedule": "mine"}
    assert levels_of(study, study.baseline) == {"noise_schedule": "linear"}


def test_the_digest_depends_on_the_numbers_and_not_on_the_name(load: Load) -> None:
    def digest(name: str, numbers: str) -> str:
        study = load(
            f"schedules: {{{name}: {{betas: {numbers}}}}}\nbaseline: {{}}\nvary: {{noise_schedule: [{name}]}}\n"
        )
        return study.recipe(study.arms[1], 0).digest

    assert digest("a", "[0.1, 0.2]") == digest("b", "[1e-1, .2]") != digest("a", "[0.1, 0.3]")


def test_a_file_beside_the_study(load: Load, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.csv").write_text("# alpha-bar\n0.9, 0.5\n\n0.1 # the end\n", encoding="utf-8")
    study = load("schedules: {mine: {alpha_bars: tables/mine.csv}}\n" + ARM)
    assert table_numbers(_setting(study)) == pytest.approx([0.1, 1 - 0.5 / 0.9, 0.8], rel=1e-15)


def test_a_function_beside_the_study(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = "def rising(steps):\n    return [0.1 * (t + 1) / steps for t in range(steps)]\n"
    (tmp_path / "tables_rising.py").write_text(text, encoding="utf-8")
    study = load('schedules: {mine: {betas: "tables_rising:rising", steps: 4}}\n' + ARM)
    assert _setting(study) == table_text([0.025, 0.05, 0.1 * 3 / 4, 0.1])


def test_two_names_of_one_table_are_one_recipe(load: Load) -> None:
    study = load(
        "schedules: {a: {betas: [0.1, 0.2]}, b: {betas: [0.1, 0.2]}}\nbaseline: {}\nvary: {noise_schedule: [a, b]}\n"
    )
    one, other = (study.recipe(arm, 0) for arm in study.arms[1:])
    assert one == other
    assert any("recipe" in problem.message for problem in study.warnings)


@pytest.mark.parametrize(
    ("section", "message", "pointed_at"),
    [
        ("{mine: {betas: [0.1, 1.5, 0.2]}}", "schedule 'mine': beta = 1.5 at t = 2", "1.5"),
        ("{mine: {alpha_bars: [0.9, 0.95]}}", "schedule 'mine': alpha-bar = 0.95 at t = 2, after 0.9", "0.95"),
        ("{mine: {betas: [0.1, x]}}", "schedule 'mine': expected a number, got 'x'", "x"),
        ("{mine: {betas: [0.1]}}", "1 betas: a table has 2 to 10000 numbers", "0.1"),
        ("{mine: {}}", "expected one of betas and alpha_bars, none is given", "{}"),
        ("{mine: {gammas: [0.1, 0.2]}}", "unknown key 'gammas'", "gammas"),
        ("{mine: {betas: absent.csv}}", "cannot read", "absent.csv"),
        ('{mine: {betas: "absent_module:f"}}', "a function needs the number of steps", None),
        ('{mine: {betas: "absent_module:f", steps: 5}}', "cannot import 'absent_module'", '"absent_module:f"'),
        ('{mine: {betas: "math:inf", steps: 5}}', "'math:inf' is not a function", '"math:inf"'),
        ('{mine: {betas: "math:sqrt", steps: 5}}', "math:sqrt(5) raised TypeError", '"math:sqrt"'),
        ("{mine: {betas: [0.1, 0.2], steps: 2}}", "only a function needs 'steps'", "2"),
        ("{linear: {betas: [0.1, 0.2]}, mine: {betas: [0.1, 0.2]}}", "'linear' is built in", "linear"),
        ("[0.1, 0.2]", "'schedules': expected a mapping of names to tables", "schedules"),
    ],
)
def test_a_fault_is_told_where_it_stands(
    section: str, message: str, pointed_at: str | None, refuse: Refuse, pointed: Pointed
) -> None:
    found = refuse(f"schedules: {section}\n{ARM}")[0]
    assert message in found.message
    assert found.line == 1
    if pointed_at is not None:
        assert pointed(found) == pointed_at


def test_a_fault_in_a_file_is_told_there(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("0.9\n0.8 0.85\n", encoding="utf-8")
    (found,) = refuse("schedules: {mine: {alpha_bars: mine.txt}}\n" + ARM)
    assert (Path(found.file).name, found.line, found.column) == ("mine.txt", 2, 5)


def test_a_misspelt_table_is_met_with_the_nearest_name(refuse: Refuse) -> None:
    (found,) = refuse("schedules: {mine-own: {betas: [0.1, 0.2]}}\nbaseline: {}\nvary: {noise_schedule: [mineown]}\n")
    assert found.suggestion == "did you mean 'mine-own'?"
    assert "linear" in (found.note or "")


def test_a_core_without_tables_knows_no_such_section(tmp_path: Path) -> None:
    from ablate.core.replay.core import Replay

    def resolve(name: str, folder: Path) -> type[Core]:
        return Replay

    path = tmp_path / "study.yaml"
    path.write_text("schedules: {mine: {betas: [0.1, 0.2]}}\nbaseline: {}\n", encoding="utf-8")
    with pytest.raises(StudyFileError) as caught:
        load_study(path, resolve_core=resolve)
    assert any("unknown key 'schedules'" in problem.message for problem in caught.value.problems)
