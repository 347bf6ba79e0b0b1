"""Sentences: the answer first, never stronger than the verdict behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ablate.report.data.frames import compare_study
from ablate.report.statistics.model import Comparison, Lint, Verdict
from ablate.report.text.cells import best_arms
from ablate.report.text.numerals import (
    decimals_for,
    difference_text,
    duration,
    fixed,
    margin_text,
    mean_text,
    p_text,
    seeds_text,
    signed,
    times_text,
)
from ablate.report.text.verdict_sentences import answer, answer_lines
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Method
from tests.sentences import SENTENCES

PSNR = MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB")


def sentences(*arguments: Any, **options: Any) -> list[str]:
    return answer_lines(answer(*arguments, **options))


def changed(comparison: Comparison, arm: str, **changes: Any) -> Comparison:
    key = (arm, comparison.primary.name)
    return replace(comparison, rows={**comparison.rows, key: replace(comparison.rows[key], **changes)})


def test_the_answer_reads_as_expected(case: Any) -> None:
    material = case.material()
    times = {arm.name: material.ratio(arm.name) for arm in case.study.arms}
    assert sentences(case.study, material.comparison, times) == [
        "Of 5 arms compared with the baseline on PSNR over 5 seeds: "
        "1 better, 1 worse, 1 equivalent, 1 undecided, 1 diverged.",
        "dip_epochs=20 is better: +0.602 dB [+0.558, +0.646] in PSNR, better in 5 of 5 seeds; "
        "it took 1.7 times the time.",
        SENTENCES["answer reads as expected"],
        SENTENCES["answer reads as expected 2"],
        SENTENCES["answer reads as expected 3"],
        SENTENCES["answer reads as expected 4"],
        SENTENCES["answer reads as expected 5"],
        SENTENCES["answer reads as expected 6"],
        "Not tested: dip_epochs=20 on fresh seeds. As the best of 5 arms it looks on average better than it is, "
        "by part of the seed noise.",
        "    ablate run studies/example.yaml --confirm",
        SENTENCES["answer reads as expected 7"],
        "Not tested: data other than skimage-patches.",
        SENTENCES["answer reads as expected 8"],
        SENTENCES["answer reads as expected 9"],
    ]


@pytest.mark.parametrize("verdict", [Verdict.UNDECIDED, Verdict.EQUIVALENT, Verdict.DIVERGED, None])
def test_no_word_is_stronger_than_the_verdict(case: Any, verdict: Verdict | None) -> None:
    """Whatever the numbers look like, only the verdict decides whether a sentence says better or worse."""
    comparison = case.material().comparison
    for arm in comparison.arms[1:]:
        comparison = changed(comparison, arm, verdict=verdict, improvement=5.0, diff=5.0)
    said = answer(case.study, comparison)

    assert not [
        str(one) for one in (*said.decided, *said.undecided) if "is better" in str(one) or "is worse" in str(one)
    ]
    assert best_arms(comparison) == frozenset()


def test_seeds_that_are_missing_are_said(case: Any) -> None:
    few = replace(case, rows=[row for row in case.rows if row.seed < 3 or row.arm == "dip_epochs=20"])
    assert "over 3 to 5 of 5 seeds" in sentences(case.study, few.material().comparison)[0]


def test_an_unfinished_study_is_finished_first(case: Any) -> None:
    """One command for all arms that lack declared seeds, and no advice to add more than these."""
    few = replace(case, rows=[row for row in case.rows if row.seed < 2 or row.arm == "dip_epochs=20"])
    text = sentences(case.study, few.material().comparison)

    assert SENTENCES["unfinished study finished first"] in text
    assert [line for line in text if "ablate run" in line] == ["    ablate run studies/example.yaml --seeds 5"]


def test_an_arm_decided_at_an_earlier_look_is_finished(make_case: Callable[..., Any]) -> None:
    """The diverged arm was decided with 3 seeds; that the others went on to 5 leaves nothing unfinished about it."""
    case = make_case(looks=(3, 5))
    diverged = next(arm for arm, row in decided(case).items() if row.verdict is Verdict.DIVERGED)
    some = replace(case, rows=[row for row in case.rows if row.arm != diverged or row.seed < 3])
    assert not [line for line in sentences(case.study, some.material().comparison) if line.startswith("Not finished")]


def decided(case: Any) -> dict[str, Any]:
    comparison = case.material().comparison
    return {arm: comparison.row(arm) for arm in comparison.arms[1:]}


def test_the_next_look_is_what_an_undecided_arm_is_sent_to(make_case: Callable[..., Any]) -> None:
    case = make_case(looks=(5, 10))
    text = sentences(case.study, case.material().comparison)
    assert SENTENCES["next look what undecided"] in text


def test_a_command_can_be_pasted_whatever_the_arm_is_called(make_case: Callable[..., Any]) -> None:
    arms = make_case().study.arms
    case = make_case(arms=(arms[0], replace(arms[3], name="it's [x] *")), file="my studies/a.yaml", looks=(5, 10))
    text = sentences(case.study, case.material().comparison)
    assert SENTENCES["command can be pasted"] in "\n".join(text)


def test_many_arms_and_many_notes_are_summed_up(make_case: Callable[..., Any]) -> None:
    arms = make_case().study.arms
    many = tuple(replace(arms[1], name=f"noise_schedule={at}") for at in range(60))
    case = make_case(arms=(arms[0], *many), seeds=2, looks=(2,))
    comparison = replace(
        case.material().comparison, lints=tuple(Lint("partial", f"arm {at} is short") for at in range(9))
    )
    text = sentences(case.study, comparison)

    assert len(text) < 35
    assert "... and 48 more arms: see the table." in text
    assert SENTENCES["many arms many notes"] in text


def test_nothing_to_compare_is_said_first(case: Any) -> None:
    comparison = replace(case, rows=[]).material().comparison
    assert sentences(case.study, comparison)[0] == SENTENCES["nothing to compare said"]


def test_the_best_and_those_not_shown_worse_are_bold(case: Any) -> None:
    comparison = case.material().comparison
    best = comparison.row("dip_epochs=20")
    near = {seed: value - (0.01 if seed % 2 else -0.005) for seed, value in best.differences.items()}
    far = {seed: value - 0.3 - 0.001 * seed for seed, value in best.differences.items()}
    better = {"verdict": Verdict.BETTER, "improvement": 0.3}
    comparison = changed(comparison, "dip_epochs=5", **better, differences=near)
    comparison = changed(comparison, "noise_schedule=cosine", **better, differences=far)

    assert best_arms(comparison) == {"dip_epochs=20", "dip_epochs=5"}


@pytest.mark.parametrize(
    ("half_width", "decimals"),
    [(0.14, 2), (0.0996, 2), (0.0995, 2), (0.094, 3), (1.4, 1), (14.0, 0), (999.0, 0), (0.0, 3)],
)
def test_decimals_show_two_digits_of_the_half_width(half_width: float, decimals: int) -> None:
    assert decimals_for(half_width, 3) == decimals


def test_numbers_read_as_expected(case: Any) -> None:
    comparison = case.material().comparison
    row = comparison.row("dip_epochs=20", "train_seconds")

    assert difference_text(row, comparison.metrics[2], unit=True) == "+93.1 % [+89.6, +96.6]"
    assert difference_text(replace(row, ci_low=None, ci_high=None), comparison.metrics[2]) == "+93.1"
    assert difference_text(replace(row, diff=None), comparison.metrics[2]) == "-"
    assert mean_text(replace(row, mean=27.3, half_width=None), PSNR) == "27.300"
    assert (signed(-0.001, 2), signed(0.5, 1), fixed(-3.0, 0), fixed(2e9, 2)) == ("0.00", "+0.5", "-3", "2e+09")
    assert [p_text(p) for p in (None, 0.0004, 0.032, 1.0)] == ["-", "<.001", ".032", "1"]
    assert seeds_text(comparison.row("both lr 0.03")) == "1/5"
    assert [times_text(ratio) for ratio in (None, 1.926, 12.34)] == ["-", "1.93x", "12.3x"]
    assert [duration(s) for s in (0.412, 38.4, 250, 5100)] == ["0.41 s", "38 s", "4 min 10 s", "1 h 25 min"]


def test_margins_are_shown_in_their_unit() -> None:
    relative = MetricSpec("fid", "min", scale="log", margin=0.02, relative=True)
    assert (margin_text(PSNR), margin_text(relative)) == ("±0.1 dB", "±2 %")
    assert margin_text(replace(PSNR, margin=None)) == ""


def test_beside_a_pooled_p_stands_the_plain_one(case: Any) -> None:
    comparison = compare_study(case.study, case.rows, Method(noise="pooled"))
    said = sentences(case.study, comparison)
    row = comparison.row("dip_epochs=20")
    assert row.p is not None
    assert row.p_plain is not None
    wanted = f"pooled noise: p = {row.p:.2g}, plain paired t: p = {row.p_plain:.2g}, both uncorrected"
    assert any(line.startswith("dip_epochs=20 is better") and wanted in line for line in said)
    assert not any("plain paired t" in line for line in sentences(case.study, compare_study(case.study, case.rows)))
