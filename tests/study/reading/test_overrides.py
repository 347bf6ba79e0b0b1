"""Overrides: what ``--set`` and ``--seeds`` change, and how they are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.errors import Problem
from ablate.study.reading.load_study import load_study
from ablate.study.spec import Study

Load = Callable[..., Study]
Refuse = Callable[..., tuple[Problem, ...]]

TEXT = "baseline: {lr: 0.001}\nvary: {lr: [0.01]}\nmetrics: {psnr: {primary: true, margin: 0.1}}\n"


def test_a_factor_sets_the_baseline(load: Load) -> None:
    study = load(TEXT, overrides=["lr=1e-4", "epochs=3"])
    assert study.baseline.levels == {"lr": 0.0001, "epochs": 3}
    assert [arm.settings["epochs"] for arm in study.arms] == [3, 3]


def test_the_last_override_wins(load: Load) -> None:
    assert load(TEXT, overrides=["epochs=3", "epochs=4"]).baseline.levels["epochs"] == 4


def test_the_verbatim_text_stays(load: Load) -> None:
    """What was overridden is in the arms; the text is the file's."""
    assert load(TEXT, overrides=["lr=1e-4"]).text == TEXT


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("seeds=4", lambda study: study.looks, (4,)),
        ("seeds={looks: [2, 4]}", lambda study: study.looks, (2, 4)),
        ("seeds.looks=[2, 4]", lambda study: study.looks, (2, 4)),
        ("alpha=0.1", lambda study: study.alpha, 0.1),
        ("budget.hours=2", lambda study: study.budget, {"hours": 2.0}),
        ("metrics.psnr.margin=0.2", lambda study: study.primary.margin, 0.2),
        ("metrics=[ssim]", lambda study: study.primary.name, "ssim"),
        ("question=why not", lambda study: study.question, "why not"),
        ("data=cifar10", lambda study: study.baseline.levels["data"], "cifar10"),
        ("baseline.epochs=7", lambda study: study.baseline.levels["epochs"], 7),
        ("vary.lr=[0.5, 0.02]", lambda study: [arm.name for arm in study.arms[1:]], ["lr=0.5", "lr=0.02"]),
        ("vary.epochs=[5]", lambda study: [arm.name for arm in study.arms[1:]], ["lr=0.01", "epochs=5"]),
        ("note=a=b", lambda study: study.baseline.levels["note"], "a=b"),
    ],
)
def test_an_override_reaches_its_place(
    override: str, read: Callable[[Study], object], expected: object, load: Load
) -> None:
    assert read(load(TEXT, overrides=[override])) == expected


def test_data_at_the_top_level_is_replaced_there(load: Load) -> None:
    study = load("data: patches\n" + TEXT, overrides=["data=cifar10"])
    assert study.baseline.levels["data"] == "cifar10"


def test_blocks_are_those_of_the_network_unless_they_are_data_sets(tmp_path: Path) -> None:
    """`blocks` is a key of the file and a factor of ddpm-dip."""
    path = tmp_path / "study.yaml"
    path.write_text("core: ddpm-dip\nbaseline: {}\nvary: {lr: [0.01]}\n")

    def read(override: str) -> Study:
        return load_study(path, resolve_core=lambda *_: DdpmDip, overrides=[override])

    assert read("blocks=3").baseline.levels["blocks"] == 3
    assert read("blocks={data: [skimage-patches, cifar10]}").blocks is not None


def test_dotted_overrides_follow_the_spelling_of_the_file(load: Load) -> None:
    text = "baseline: {}\nleave_one_out: {average: {ema: false}}\n"
    study = load(text, overrides=["leave-one-out.average.warmup=false"])
    assert study.arms[1].levels == {"ema": False, "warmup": False}


def test_the_number_of_seeds_replaces_the_files(load: Load) -> None:
    assert load(TEXT + "seeds: {looks: [3, 5]}", seeds=7).looks == (7,)


def test_a_bad_number_of_seeds_says_where_it_comes_from(refuse: Refuse) -> None:
    (problem,) = refuse(TEXT, seeds=0)
    assert (problem.file, problem.source_line, problem.line, problem.column) == ("--seeds", "0", 1, 1)


@pytest.mark.parametrize(
    ("override", "message", "column", "length", "suggestion"),
    [
        ("shedule=cosine", "unknown factor 'shedule'", 1, 7, "did you mean 'noise_schedule'?"),
        ("lr=fast", "lr: expected a number, got 'fast'", 4, 4, None),
        ("lr=[1, 2]", "lr: expected one level, got a list", 4, 6, "levels to compare go under 'vary: {lr: [...]}'"),
        ("lr=", "lr: expected a level, got nothing (default: 0.001)", 4, 1, None),
        ("lr=[1", "not valid YAML: expected ',' or ']', but got '<stream end>'", 6, 1, None),
        ("seeds=none", "seeds: expected a whole number, got 'none'", 7, 4, None),
        ("metrics.psnr.margn=1", "unknown key of a metric 'margn'", 1, 18, "did you mean 'margin'?"),
        ("metrics.psnr.margin=-1", "psnr margin: a margin must be above 0, got -1", 21, 2, "write null for no margin"),
        (
            "metrics.psnr.margin.x=1",
            "'margin' is not a mapping in the study file",
            1,
            21,
            "override 'margin' as a whole",
        ),
        ("arms.fast.lr=1", "the study file has no 'arms' to override", 1, 12, None),
        ("lr", "an override is key=value", 1, 2, "for example --set lr=0.01"),
        ("=3", "an override is key=value", 1, 2, "for example --set lr=0.01"),
        (" lr=3", "an override is key=value", 1, 5, "for example --set lr=0.01"),
        ("", "an override is key=value", 1, 1, "for example --set lr=0.01"),
        ("metrics..margin=3", "an empty name in 'metrics..margin'", 1, 15, None),
        ("baseline.lr.x=3", "'lr' is one factor and has no 'lr.x'", 1, 13, None),
    ],
)
def test_a_wrong_override_is_shown_as_it_was_typed(
    override: str, message: str, column: int, length: int, suggestion: str | None, refuse: Refuse
) -> None:
    (problem,) = refuse(TEXT, overrides=[override])
    assert (problem.message, problem.column, problem.length) == (message, column, length)
    assert (problem.file, problem.line, problem.source_line) == ("--set", 1, override)
    assert problem.suggestion == suggestion


def test_a_baseline_moved_onto_an_arm_names_both_places(refuse: Refuse) -> None:
    """The arm in the file is refused, and the override is named as the baseline's place."""
    (problem,) = refuse(TEXT, overrides=["lr=0.01"])
    assert problem.message == "lr=0.01 is the baseline's own level"
    assert (problem.line, problem.column) == (2, 13)
    assert problem.note == "the baseline's: --set:1:4"


def test_problems_of_overrides_come_after_those_of_the_file(refuse: Refuse) -> None:
    problems = refuse("baseline: {lr: 7}\nvary: {lr: [8]}", overrides=["epochs=0"])
    assert [(problem.file == "--set", problem.line) for problem in problems] == [(False, 1), (False, 2), (True, 1)]
