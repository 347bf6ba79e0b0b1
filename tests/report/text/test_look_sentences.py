"""What a report says of looks: why an arm was stopped, what early decisions do to numbers, what was saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ablate.report.statistics.model import Comparison
from ablate.report.text.answer import lines_of_answer
from ablate.report.text.look_sentences import early_text, saved_text, stopped_text
from ablate.report.text.methods_section import method_paragraphs
from ablate.study.verdict_method import Method

LOOKS = (3, 5, 10)
SEEDS = {"noise_schedule=cosine": 10, "noise_schedule=exponential": 3, "dip_epochs=5": 3, "dip_epochs=20": 5}
WITHOUT = Method(boundaries="split", futility=0.0, equivalence="none")


@pytest.fixture
def looked(make_case: Callable[..., Any]) -> Callable[..., Any]:
    """Return a builder of a study without margin, whose arms have this many seeds."""

    def build(seeds: Mapping[str, int] = SEEDS, **changes: Any) -> Any:
        plain = make_case(seeds=10, looks=LOOKS, **changes)
        metrics = tuple(replace(metric, margin=None) for metric in plain.study.metrics)
        rows = [row for row in plain.rows if row.seed < seeds.get(row.arm, 10)]
        return replace(plain, study=replace(plain.study, metrics=metrics), rows=rows).material()

    return build


def rows_of(comparison: Comparison) -> list[Any]:
    return [comparison.row(arm) for arm in comparison.arms if arm != comparison.baseline]


def test_a_stopped_arm_says_its_chance_and_what_could_have_been_seen(looked: Callable[..., Any]) -> None:
    material = looked()
    comparison = material.comparison
    row = comparison.row("noise_schedule=exponential")
    assert row.stopped
    text = stopped_text(row, comparison)
    assert f"{100 * row.chance:.0f} %" in text or "below 1 %" in text
    assert f"{row.could_show:.2g} dB" in text
    line = next(line for line in lines_of_answer(material) if line.startswith("noise_schedule=exponential"))
    assert "stopped, more seeds would hardly help" in line
    assert "--seeds" not in "".join(line for line in lines_of_answer(material) if "exponential" in line)
    assert stopped_text(comparison.row("noise_schedule=cosine"), comparison) == ""


def test_an_arm_decided_early_is_said_to_look_too_large(looked: Callable[..., Any]) -> None:
    comparison = looked().comparison
    early, late = comparison.row("dip_epochs=20"), comparison.row("noise_schedule=cosine")
    assert "at 5 of 10 seeds" in early_text(early, comparison)
    assert "on average too large" in early_text(early, comparison)
    assert early.repeated_low < early.ci_low < early.ci_high < early.repeated_high
    assert early_text(late, comparison) == ""


def test_what_looks_saved_is_counted_once_nothing_is_open(looked: Callable[..., Any]) -> None:
    comparison = looked().comparison
    rows = [row for row in rows_of(comparison) if row.arm in SEEDS and (row.stopped or row.verdict != "undecided")]
    used = 10 + sum(SEEDS[row.arm] for row in rows)
    planned = 10 * (len(rows) + 1)
    assert saved_text(rows, comparison).startswith(f"Looking early saved {planned - used} of {planned} trials")
    opened = replace(rows[0], verdict=None, runs=3)
    assert saved_text([*rows, opened], comparison) == ""
    assert saved_text(rows, replace(comparison, looks=())) == ""


def test_the_method_says_how_looks_share_alpha_and_whether_equivalence_is_corrected(
    looked: Callable[..., Any], make_case: Callable[..., Any]
) -> None:
    new = " ".join(method_paragraphs(looked()))
    assert "spending function" in new
    assert "below 10 %" in new
    old = " ".join(method_paragraphs(make_case(seeds=10, looks=LOOKS, method=WITHOUT).material()))
    assert "split over the looks" in old
    assert "stopped when" not in old
    assert "not corrected for the number of arms" in old
    assert "equivalent is corrected" in " ".join(method_paragraphs(make_case().material()))


def test_the_seeds_that_a_decided_arm_did_not_need_are_not_missing(looked: Callable[..., Any]) -> None:
    assert "other-seeds" not in {lint.code for lint in looked().comparison.lints}
