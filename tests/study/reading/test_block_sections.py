from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, NoReturn

import pytest
from pydantic import Field

from ablate.errors import AblateError, StudyFileError
from ablate.interface import Core, CoreSettings, MetricInfo
from ablate.outcome import OutcomeKind
from ablate.study.changes import check_against_stored
from ablate.study.plan import make_plan, replicates
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study, levels_of


class Settings(CoreSettings):
    data: Literal["x", "y", "z"] = "x"
    lr: float = Field(0.1, gt=0)
    epochs: int = 1


class Toy(Core):
    """Never run."""

    name = "toy"
    Settings = Settings
    metrics = (MetricInfo("acc", "max"),)

    def run(self, recipes: object, context: object) -> NoReturn:
        raise NotImplementedError


HEAD = "core: toy\nbaseline: {lr: 0.1}\nvary: {lr: [0.2, 0.3]}\nseeds: 3\n"
BLOCKS = "blocks: {data: [y, z]}\n"


def load(tmp_path: Path, text: str, **options: object) -> Study:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return load_study(path, resolve_core=lambda name, folder: Toy, **options)  # type: ignore[arg-type]


def errors(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load(tmp_path, text)
    return [problem.message for problem in caught.value.problems]


def test_every_arm_is_planned_in_every_block(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + BLOCKS)
    plain = ["baseline", "lr=0.2", "lr=0.3"]
    assert [arm.name for arm in study.arms] == [f"{arm}@{block}" for block in "yz" for arm in plain]
    assert study.baselines == {"baseline@y", "baseline@z"}
    assert study.baseline_of("lr=0.3@z").name == "baseline@z"
    assert [arm.settings["data"] for arm in study.arms] == ["y"] * 3 + ["z"] * 3
    assert len(replicates(study)) == 2 * 3 * 3
    assert len({one.recipe.digest for one in replicates(study)}) == 18


def test_optuna_sees_the_block_as_a_factor(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + BLOCKS)
    assert set(study.factors) == {"lr", "data"}
    assert levels_of(study, study.arms[-1]) == {"lr": 0.3, "data": "z"}


def test_seeds_of_a_block_are_those_of_the_study_without_blocks(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + BLOCKS)
    plain = load(tmp_path, HEAD.replace("{lr: 0.1}", "{lr: 0.1, data: z}"))
    within = study.within("z")
    assert [(arm.name, arm.settings, arm.factor) for arm in within.arms] == [
        (arm.name, arm.settings, arm.factor) for arm in plain.arms
    ]
    recipes = [within.recipe(arm, 2).digest for arm in within.arms]
    assert recipes == [plain.recipe(arm, 2).digest for arm in plain.arms]
    assert within.alpha == study.alpha / 2
    assert within.factors == study.over_blocks().factors == ("lr",)


def test_named_blocks_state_several_settings(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + "blocks:\n  small: {data: x, epochs: 2}\n  large: {data: z, epochs: 9}\n")
    assert study.blocks is not None
    assert study.blocks.names == ("small", "large")
    assert study.blocks.word == "block"
    assert study.arms[-1].settings["epochs"] == 9


def test_several_factors_give_every_combination(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + "blocks: {data: [x, y], epochs: [1, 2]}\n")
    assert study.blocks is not None
    assert study.blocks.names == ("x, epochs=1", "x, epochs=2", "y, epochs=1", "y, epochs=2")


def test_study_with_blocks_comes_back_from_the_storage(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + BLOCKS + "blocks_are: random\n")
    again = Study.from_dict(study.to_dict())
    assert again.blocks == study.blocks
    assert again.arms == tuple(dataclasses.replace(arm, line=0, column=0) for arm in study.arms)
    assert again.over_blocks().looks == (2,)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("blocks: {lr: [1, 2]}", "'lr' is what the blocks differ in"),
        ("blocks: {data: x}", "blocks data: expected a list of levels"),
        ("blocks: {date: [x, y]}", "unknown factor 'date'"),
        ("blocks: {data: [x, x]}", "two blocks are called 'x'"),
        ("blocks: {data: [x, q]}", "data: unknown name 'q'"),
        ("blocks:\n  a@b: {data: x}\n  c: {data: y}", "the block 'a@b' has a '@'"),
        ("blocks:\n  a: {data: x}\n  c: {data: y, epochs: 2}", "block 'a' does not state 'epochs'"),
        ("blocks: {}", "'blocks' is empty"),
        ("blocks_are: random", "'blocks_are' without 'blocks'"),
        ("blocks: {data: [x, y]}\nblocks_are: mixed", "blocks_are"),
        ("blocks: {data: [x, y]}\nsearch: {factors: {epochs: [1, 2, 3]}, trials: 2}", "'search' does not go together"),
        ("blocks: {data: [x, y]}\nblocks_are: random\nreport: {test: welch}", "report test: welch needs fixed blocks"),
    ],
)
def test_what_cannot_be_a_block_is_refused_where_it_stands(tmp_path: Path, more: str, message: str) -> None:
    found = errors(tmp_path, HEAD + more + "\n")
    assert any(message in one for one in found), found


def test_random_blocks_and_several_looks_are_refused(tmp_path: Path) -> None:
    text = HEAD.replace("seeds: 3", "seeds: {looks: [3, 5]}") + BLOCKS + "blocks_are: random\n"
    assert any("several looks need fixed blocks" in one for one in errors(tmp_path, text))


def test_level_that_one_block_refuses_is_named_once(tmp_path: Path) -> None:
    text = "core: toy\nbaseline: {}\narms: {a: {lr: -1}}\n" + BLOCKS
    assert len(errors(tmp_path, text)) == 1


def test_arms_are_chosen_with_and_without_their_block(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + BLOCKS)

    def chosen(*globs: str) -> list[str]:
        return [one.arm for one in replicates(study, seeds=1, arms=globs)]

    assert chosen("lr=0.2") == ["baseline@y", "lr=0.2@y", "baseline@z", "lr=0.2@z"]
    assert chosen("lr=0.2@z") == ["baseline@z", "lr=0.2@z"]
    assert chosen("*@y") == ["baseline@y", "lr=0.2@y", "lr=0.3@y"]
    assert chosen("lr=*") == [arm.name for arm in study.arms]
    with pytest.raises(AblateError, match="no arm is called"):
        chosen("lr=9")


def test_plan_counts_arms_in_blocks(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + BLOCKS)
    done = {(f"baseline@{block}", seed): OutcomeKind.MEASURED for block in "yz" for seed in range(3)}
    plan = make_plan(study, Toy, replicates(study), done)
    assert (plan.done, plan.to_run, plan.baseline_done) == (6, 12, True)
    assert plan.blocks == ("y", "z")
    assert [(factor.name, factor.arms) for factor in plan.factors] == [("lr", 2)]
    assert not make_plan(study, Toy, replicates(study), dict(list(done.items())[:3])).baseline_done


def test_blocks_may_be_added_but_not_changed_afterwards(tmp_path: Path) -> None:
    study = load(tmp_path, HEAD + BLOCKS)
    check_against_stored(study, load(tmp_path, HEAD + "blocks: {data: [y, z, x]}\n"))
    for other, message in (
        (HEAD, "it had blocks, now it has none"),
        (HEAD + BLOCKS + "blocks_are: random\n", "its blocks were fixed, now random"),
        (HEAD + "blocks:\n  y: {data: x}\n  z: {data: z}\n", "block 'y' was data y, now data x"),
    ):
        with pytest.raises(AblateError, match=message):
            check_against_stored(study, load(tmp_path, other))
