"""Verdicts over several blocks: closed forms, contradictions, and what may not change a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.errors import AblateError
from ablate.report.statistics.compare import compare
from ablate.report.statistics.model import Bayes, Comparison, Verdict
from ablate.report.statistics.posterior import with_posterior


def table(effects: dict[str, dict[str, float]], seeds: int = 5, noise: float = 0.01, **columns: object) -> pd.DataFrame:
    """One row per arm, data set and seed: a level of the data set, the arm's effect there, and noise."""
    random = np.random.default_rng(3)
    rows = []
    blocks = list(next(iter(effects.values())))
    for at, block in enumerate(blocks):
        for seed in range(seeds):
            for arm in ("baseline", *effects):
                effect = effects.get(arm, {}).get(block, 0.0)
                value = 0.5 + 0.1 * at + effect + random.normal(0, noise)
                rows.append({"arm": arm, "dataset": block, "seed": seed, "acc": value, **columns})
    return pd.DataFrame(rows)


METRICS = ["acc:max"]
EFFECTS = {"up": {"x": 0.1, "y": 0.12, "z": 0.08}, "mixed": {"x": 0.1, "y": -0.1, "z": 0.2}, "none": {}}
FRAME = table({arm: {block: own.get(block, 0.0) for block in "xyz"} for arm, own in EFFECTS.items()})


def differences(frame: pd.DataFrame, arm: str) -> Any:
    """[blocks, seeds]: arm minus baseline."""
    wide = frame.pivot_table(index="dataset", columns=["arm", "seed"], values="acc")
    return wide[arm] - wide["baseline"]


def test_verdict_over_fixed_blocks_is_a_paired_t_of_the_means_of_each_seed() -> None:
    row = compare(FRAME, metrics=METRICS).row("up")
    per_seed = differences(FRAME, "up").mean(axis=0).to_numpy()
    expected = stats.ttest_1samp(per_seed, 0.0)
    assert row.diff == pytest.approx(per_seed.mean())
    assert row.p == pytest.approx(expected.pvalue)
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(expected.confidence_interval()))
    assert (row.n, row.df) == (5, 4)


def test_verdict_over_random_blocks_is_a_t_of_block_means_where_seeds_share_nothing() -> None:
    row = compare(FRAME, metrics=METRICS, blocks_are="random").row("up")
    own = differences(FRAME, "up")
    per_block = own.mean(axis=1).to_numpy()
    left = own.to_numpy() - per_block[:, None] - own.mean(axis=0).to_numpy()[None, :] + per_block.mean()
    assert 3 * own.mean(axis=0).var(ddof=1) < (left**2).sum() / 8  # this table's seeds share nothing
    assert row.p == pytest.approx(stats.ttest_1samp(per_block, 0.0).pvalue)
    assert (row.n, row.df) == (3, 2)


def test_what_seeds_do_in_every_random_block_alike_is_added_to_the_variance() -> None:
    frame = FRAME.copy()
    shift = frame["seed"].map(dict(enumerate([-0.2, 0.1, 0.3, -0.1, 0.2]))) * (frame["arm"] == "up")
    frame["acc"] += shift
    row = compare(frame, metrics=METRICS, blocks_are="random").row("up")
    own = differences(frame, "up").to_numpy()
    left = own - own.mean(axis=1)[:, None] - own.mean(axis=0)[None, :] + own.mean()
    rest, of_seeds = (left**2).sum() / 8, 3 * own.mean(axis=0).var(ddof=1)
    variance = own.mean(axis=1).var(ddof=1) / 3 + (of_seeds - rest) / 15
    assert row.diff is not None
    assert row.ci_high is not None
    assert row.df is not None
    assert (row.ci_high - row.diff) / stats.t.isf(0.025, row.df) == pytest.approx(math.sqrt(variance))


def test_every_block_has_its_own_verdicts_at_an_equal_share_of_the_level() -> None:
    found = compare(FRAME, metrics=METRICS, alpha=0.06).blocks
    assert found is not None
    alone = compare(FRAME[FRAME["dataset"] == "y"].drop(columns="dataset"), metrics=METRICS, alpha=0.02)
    assert found.comparisons["y"].rows == alone.rows
    assert [own.study_alpha for own in found.comparisons.values()] == pytest.approx([0.02] * 3)


def test_arm_that_is_better_here_and_worse_there_gets_no_word_over_all() -> None:
    comparison = compare(FRAME, metrics=METRICS)
    row = comparison.row("mixed")
    assert comparison.blocks is not None
    own = comparison.blocks.arms["mixed"]
    assert (own.better, own.worse, own.opposite) == (("x", "z"), ("y",), True)
    assert row.p_holm is not None
    assert row.p_holm < 0.001  # the mean alone would be better
    assert row.verdict is Verdict.UNDECIDED
    assert "better in x and z, worse in y" in row.note
    assert own.p_same is not None
    assert own.p_same < 1e-6


def test_other_sign_in_a_block_that_decides_nothing_is_said_beside_the_word() -> None:
    frame = table({"arm": {"x": 0.1, "y": 0.1, "z": -0.001}}, noise=0.004)
    comparison = compare(frame, metrics=METRICS)
    row = comparison.row("arm")
    assert comparison.blocks is not None
    assert comparison.blocks.arms["arm"].down == ("z",)
    assert row.verdict is Verdict.BETTER
    assert "the other way in z" in row.note


def test_arm_that_diverges_in_one_block_has_diverged_over_all() -> None:
    frame = FRAME.assign(outcome="measured")
    gone = (frame["arm"] == "up") & (frame["dataset"] == "y")
    frame.loc[gone, "outcome"] = "diverged"
    row = compare(frame, metrics=METRICS).row("up")
    assert row.verdict is Verdict.DIVERGED
    assert "in y" in row.note


def test_seed_without_a_result_in_some_block_is_left_out_and_named() -> None:
    frame = FRAME.drop(FRAME.index[(FRAME["arm"] == "up") & (FRAME["dataset"] == "z") & (FRAME["seed"] == 3)])
    comparison = compare(frame, metrics=METRICS)
    assert comparison.row("up").n == 4
    assert comparison.row("none").n == 5
    lint = next(lint for lint in comparison.lints if lint.code == "block-missing")
    assert lint.arm == "up"
    assert "z" in lint.message
    assert "3" in lint.message


def test_column_with_one_value_per_arm_is_no_block() -> None:
    frame = FRAME[FRAME["dataset"] == "x"].assign(dataset=lambda rows: rows["arm"])
    assert compare(frame, metrics=METRICS).blocks is None
    with pytest.raises(AblateError, match="no arm has two values of 'dataset'"):
        compare(frame, metrics=METRICS, blocks="dataset")


def test_any_column_can_be_named() -> None:
    frame = FRAME.rename(columns={"dataset": "environment"})
    with pytest.raises(AblateError, match="two results of arm"):
        compare(frame, metrics=METRICS)
    assert compare(frame, metrics=METRICS, blocks="environment").row("up") == compare(FRAME, metrics=METRICS).row("up")
    with pytest.raises(AblateError, match="no column 'env'"):
        compare(frame, metrics=METRICS, blocks="env")


def test_random_blocks_refuse_what_is_about_seeds() -> None:
    for wrong in ({"test": "permutation"}, {"looks": [3, 5]}):
        with pytest.raises(AblateError, match="fixed blocks"):
            compare(FRAME, metrics=METRICS, blocks_are="random", **wrong)


def test_log_scale_over_blocks_is_a_mean_of_ratios() -> None:
    frame = FRAME.assign(time=lambda rows: np.exp(rows["acc"]) * rows["dataset"].map({"x": 1, "y": 100, "z": 1e4}))
    row = compare(frame, metrics=["time:min:5%:log"]).row("up")
    own = differences(FRAME, "up")
    assert row.diff == pytest.approx(math.expm1(own.to_numpy().mean()))


def numbers(comparison: Comparison, arm: str) -> list[float | None]:
    row = comparison.row(arm)
    return [row.mean, row.diff, row.ci_low, row.ci_high, row.p, row.p_holm, row.df]


@settings(max_examples=15, deadline=None)
@given(st.permutations("xyz"), st.sampled_from(["fixed", "random"]))
def test_order_of_blocks_changes_nothing(order: list[str], kind: str) -> None:
    moved = pd.concat([FRAME[FRAME["dataset"] == block] for block in order])
    one = compare(FRAME, metrics=METRICS, blocks_are=kind)  # type: ignore[arg-type]
    other = compare(moved, metrics=METRICS, blocks_are=kind)  # type: ignore[arg-type]
    for arm in ("up", "mixed", "none"):
        assert numbers(one, arm) == pytest.approx(numbers(other, arm))
        assert one.row(arm).verdict is other.row(arm).verdict
    assert one.blocks is not None
    assert other.blocks is not None
    assert [own.iqm for own in one.blocks.arms.values()] == [own.iqm for own in other.blocks.arms.values()]
    assert [own.chance for own in one.blocks.arms.values()] == [own.chance for own in other.blocks.arms.values()]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=10, max_size=10))
def test_blocks_that_are_copies_say_what_one_of_them_says(values: list[float]) -> None:
    one = pd.DataFrame(
        [{"arm": arm, "seed": seed, "acc": values[2 * seed + at]} for seed in range(5) for at, arm in enumerate("ab")]
    )
    both = pd.concat([one.assign(task="p"), one.assign(task="q")])
    alone, over = (compare(frame, baseline="a", metrics=METRICS) for frame in (one, both))
    assert numbers(over, "b") == pytest.approx(numbers(alone, "b"))
    assert over.row("b").verdict is alone.row("b").verdict


def test_arm_that_blocks_contradict_has_no_posterior_over_all() -> None:
    comparison = compare(FRAME, metrics=["acc:max:0.01"], bayes=True)
    assert comparison.row("up").posterior_better is not None
    assert comparison.row("mixed").posterior_better is None
    assert comparison.blocks is not None
    assert comparison.blocks.comparisons["y"].row("mixed").posterior_worse is not None
    again = with_posterior(compare(FRAME, metrics=["acc:max:0.01"]), Bayes())
    assert again.rows == comparison.rows


def test_posterior_over_random_blocks_has_what_seeds_share_in_it() -> None:
    frame = FRAME.copy()
    frame["acc"] += frame["seed"].map(dict(enumerate([-0.2, 0.1, 0.3, -0.1, 0.2]))) * (frame["arm"] == "up")
    row = compare(frame, metrics=["acc:max:0.01"], blocks_are="random", bayes=True).row("up")
    assert row.improvement is not None
    assert row.margin is not None
    assert row.ci_high is not None
    assert row.df is not None
    se = (row.ci_high - row.improvement) / stats.t.isf(0.025, row.df)
    assert row.posterior_better == pytest.approx(stats.t.sf((row.margin - row.improvement) / se, row.df))
    with pytest.raises(AblateError, match="test share"):
        with_posterior(compare(frame, metrics=METRICS, blocks_are="random"), Bayes(0.2))
