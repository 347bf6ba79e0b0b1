"""Two studies against each other: which arms are the same, and the same verdicts as for any other pair."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablate.errors import AblateError, NothingComparableError
from ablate.outcome import OutcomeKind
from ablate.report.data.two_studies import Across, compare_studies, match_arms
from ablate.report.formats.json_shape import across_json
from ablate.report.statistics.model import Verdict
from ablate.report.text.two_studies_page import across_markdown, across_sentences
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, MetricSpec, Study
from tests.sentences import SENTENCES

PSNR = MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB")
BASE = (29.0, 29.4, 28.8, 29.1, 29.3)
Values = dict[str, tuple[float | None, ...]]


def study(values: Values, name: str = "one", **settings: float) -> tuple[Study, list[TrialRow]]:
    """A study whose arms change `lr`; None is a diverged seed."""
    arms = []
    for at, arm in enumerate(values):
        levels = {} if at == 0 else {"lr": float(at)}
        arms.append(Arm(arm, levels, {"lr": 0.0, **settings, **levels}))
    found = Study(name, "", "toy", tuple(arms), ("lr",), (PSNR,), (5,))
    rows = [
        TrialRow(
            number=number,
            arm=arm,
            seed=seed,
            state="COMPLETE" if value is not None else "FAIL",
            outcome=OutcomeKind.MEASURED if value is not None else OutcomeKind.DIVERGED,
            metrics={"psnr": value} if value is not None else {},
            seconds=1.0,
            device="cpu",
            recipe_digest="",
        )
        for number, (arm, seed, value) in enumerate(
            (arm, seed, value) for arm, row in values.items() for seed, value in enumerate(row)
        )
    ]
    return found, rows


def plus(*changes: float) -> tuple[float, ...]:
    return tuple(value + change for value, change in zip(BASE, changes, strict=False))


GAIN = plus(0.5, 0.6, 0.55, 0.52, 0.58)
NOISE = plus(0.01, -0.01, 0.02, 0.0, -0.02)


@pytest.fixture
def changed() -> Across:
    return compare_studies(
        study({"baseline": BASE, "arm": BASE}, "old"), study({"baseline": NOISE, "arm": GAIN}, "new")
    )


def test_every_arm_is_compared_with_itself(changed: Across) -> None:
    comparison = changed.comparison
    assert [comparison.row(arm).verdict for arm in ("baseline", "arm")] == [Verdict.EQUIVALENT, Verdict.BETTER]
    expected = stats.ttest_rel(GAIN, BASE).pvalue
    assert comparison.row("arm").p == pytest.approx(expected)
    assert comparison.row("arm").p_holm == pytest.approx(2 * expected)
    assert comparison.tested == 2
    assert comparison.row("arm").diff == pytest.approx(np.mean(GAIN) - np.mean(BASE))
    assert changed.first[("arm", "psnr")].mean == pytest.approx(np.mean(BASE))


def test_turning_the_two_around_turns_the_words_around() -> None:
    pair = study({"baseline": BASE, "arm": BASE}, "old"), study({"baseline": NOISE, "arm": GAIN}, "new")
    forth, back = compare_studies(*pair).comparison, compare_studies(*reversed(pair)).comparison
    assert back.row("arm").verdict is Verdict.WORSE
    assert back.row("arm").diff == pytest.approx(-(forth.row("arm").diff or 0))
    assert back.row("arm").p == pytest.approx(forth.row("arm").p)


def test_only_shared_seeds_count_and_the_others_are_named() -> None:
    across = compare_studies(study({"baseline": BASE}, "old"), study({"baseline": GAIN[:3]}, "new"))
    assert across.comparison.row("baseline").pairs == 3
    assert SENTENCES["only shared seeds count"] in [lint.message for lint in across.comparison.lints]


def test_arms_match_by_recipe_then_levels_then_name() -> None:
    old = study({"baseline": BASE, "low": BASE, "gone": BASE})[0]
    renamed = replace(old.arms[1], name="renamed")
    other = replace(old.arms[2], levels={"lr": 7.0}, settings={"lr": 7.0})
    new = replace(old, arms=(old.arms[0], renamed, other))
    pairs, before, after = match_arms(old, new)
    assert [(pair.before, pair.after, pair.by) for pair in pairs] == [
        ("baseline", "baseline", "recipe"),
        ("low", "renamed", "recipe"),
        ("gone", "gone", "name"),
    ]
    assert pairs[2].changed == ("lr: 2.0 before, 7.0 after",)
    assert (before, after) == ((), ())


def test_a_setting_that_changed_everywhere_matches_by_levels_and_is_said() -> None:
    across = compare_studies(
        study({"baseline": BASE, "a": BASE}, "old", width=1.0), study({"baseline": BASE, "b": BASE}, "new", width=2.0)
    )
    assert [(pair.before, pair.after, pair.by) for pair in across.pairs] == [
        ("baseline", "baseline", "levels"),
        ("a", "b", "levels"),
    ]
    assert any("width: 1.0 before, 2.0 after" in lint.message for lint in across.comparison.lints)


def test_arms_of_one_study_only_are_named_not_compared() -> None:
    across = compare_studies(study({"baseline": BASE, "x": BASE}, "old"), study({"baseline": GAIN}, "new"))
    assert across.only_before == ("x",)
    assert across.comparison.arms == ("baseline",)
    assert any(lint.message == "only old has x: not compared" for lint in across.comparison.lints)


def test_an_arm_that_diverged_before_has_no_verdict() -> None:
    across = compare_studies(
        study({"baseline": BASE, "arm": (None,) * 5}, "old"), study({"baseline": NOISE, "arm": GAIN}, "new")
    )
    assert across.comparison.row("arm").verdict is None
    assert across.comparison.row("baseline").verdict is Verdict.EQUIVALENT
    assert SENTENCES["arm diverged before has"] in across_sentences(across)


def test_what_changed_is_said_first(changed: Across) -> None:
    said = across_sentences(changed)
    assert said[0] == SENTENCES["what changed said first"]
    assert said[1].startswith("arm in new is better than in old: +0.55")
    assert said[2].startswith("baseline in new is equivalent to old")
    assert said[-1].startswith("Not tested: what caused the difference.")


def test_nothing_in_common_is_one_clear_error() -> None:
    old = study({"one": BASE})
    new = study({"two": BASE})
    changed = replace(new[0].arms[0], levels={"lr": 9.0}, settings={"lr": 9.0})
    new = (replace(new[0], arms=(changed,)), new[1])
    with pytest.raises(AblateError, match="have no arm in common"):
        compare_studies(old, new)


def test_studies_without_a_shared_seed_cannot_be_compared() -> None:
    old, rows = study({"baseline": BASE}, "old")
    moved = [replace(row, seed=row.seed + 100) for row in rows]
    across = compare_studies((old, rows), (replace(old, name="new"), moved))
    assert across.comparison.problem == "old and new share no seed in any arm"
    with pytest.raises(NothingComparableError):
        across.comparison.check_comparable()


def test_the_primary_metric_must_be_in_both() -> None:
    old, rows = study({"baseline": BASE}, "old")
    other = replace(old, metrics=(MetricSpec("fid", "min", primary=True),))
    with pytest.raises(AblateError, match="old does not measure fid"):
        compare_studies((old, rows), (other, rows))


def test_the_page_and_the_json_hold_both_means(changed: Across) -> None:
    page = across_markdown(changed)
    assert "| arm | verdict | n | before | after |" in page
    assert "29.12 ± 0.30" in page
    data = json.loads(across_json(changed))
    assert data["schema_version"] == 1
    assert [row["arm"] for row in data["comparison"]["rows"]] == ["baseline", "arm"]
    assert data["before_rows"][0]["mean"] == pytest.approx(np.mean(BASE))
