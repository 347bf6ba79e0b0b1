"""Anybody's table: what cannot be read one way only is refused in one line that names the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.errors import AblateError
from ablate.outcome import OutcomeKind
from ablate.report import compare
from ablate.report.statistics.trial_matrix import Trials, read_trials, settle_metrics
from ablate.study.spec import MetricSpec

PSNR = MetricSpec("psnr", "max", primary=True)


def table(**columns: Sequence[Any]) -> pd.DataFrame:
    base: dict[str, Sequence[Any]] = {
        "arm": ["baseline", "baseline", "a", "a"],
        "seed": [0, 1, 0, 1],
        "psnr": [1.0, 2.0, 3.0, 5.0],
    }
    return pd.DataFrame({**base, **columns})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table(psnr=["29.1", "high", "1", "2"]), "psnr of arm 'baseline', seed 1 is not a number: 'high'"),
        (table(psnr=[1.0, np.inf, 1.0, 2.0]), "psnr of arm 'baseline', seed 1 is infinite: inf"),
        (table(psnr=[1.0, 2.0, np.nan, 2.0]), "psnr of arm 'a', seed 0 is missing: nan"),
        (table(seed=[0, 1, 0, 0]), "two results of arm 'a', seed 0"),
        (table(seed=[0, 1.5, 0, 1]), "a seed must be a whole number, got 1.5 (row 1)"),
        (table(seed=[0, "one", 0, 1]), "a seed must be a whole number, got 'one' (row 1)"),
        (table(seed=[0, None, 0, 1]), "a seed must be a whole number, got nan (row 1)"),
        (table(arm=["baseline", None, "a", "a"]), "a row has no arm (row 1)"),
        (table(outcome=["measured", "ok", "measured", "measured"]), "unknown outcome 'ok' (row 1)"),
        (table().drop(columns="seed"), "the table has no column 'seed'"),
        (table().rename(columns={"psnr": "PSNR"}), "the table has no column 'psnr'"),
        ([1, 2, 3], "compare takes a pandas DataFrame with one row per trial, got list"),
    ],
)
def test_hostile_tables(frame: Any, message: str) -> None:
    with pytest.raises(AblateError) as caught:
        compare(frame, metrics=[PSNR])
    assert caught.value.message == message


def test_a_near_column_is_suggested() -> None:
    with pytest.raises(AblateError) as caught:
        compare(table().rename(columns={"psnr": "psnr_db"}), metrics=[PSNR])
    assert caught.value.hint == "did you mean 'psnr_db'?"


def test_two_columns_of_one_name() -> None:
    frame = table()
    frame.insert(3, "psnr", frame["psnr"], allow_duplicates=True)
    with pytest.raises(AblateError, match="two columns 'psnr'"):
        compare(frame, metrics=[PSNR])


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_the_log_scale_takes_positive_values_only(value: float) -> None:
    with pytest.raises(AblateError, match="must be above 0 on the log scale"):
        compare(table(psnr=[1.0, value, 1.0, 2.0]), metrics=[MetricSpec("psnr", "min", scale="log")])


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([], "no metric to compare"),
        ([PSNR, PSNR], "metric 'psnr' is declared twice"),
        ([MetricSpec("a", "max"), MetricSpec("b", "max")], "exactly one metric must be primary, got none"),
        ([MetricSpec("a", "up")], "metric 'a': direction is max or min, got 'up'"),  # type: ignore[arg-type]  # wrong
        ([MetricSpec("a", "max", "ln")], "metric 'a': scale is identity or log, got 'ln'"),  # type: ignore[arg-type]  # wrong
        ([MetricSpec("a", "max", margin=0.0)], "metric 'a': the margin must be above 0, got 0.0"),
        ([MetricSpec("a", "max", margin=float("nan"))], "metric 'a': the margin must be above 0, got nan"),
    ],
)
def test_wrong_metrics(metrics: list[MetricSpec], message: str) -> None:
    with pytest.raises(AblateError) as caught:
        settle_metrics(metrics)
    assert caught.value.message == message


def test_a_single_metric_is_the_primary_one() -> None:
    assert compare(table(), metrics=[MetricSpec("psnr", "max")]).primary.name == "psnr"


def test_arms_is_a_list_not_a_text() -> None:
    with pytest.raises(AblateError, match="list of names"):
        compare(table(), metrics=[PSNR], arms="a")


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 5.0])
def test_impossible_alpha(alpha: float) -> None:
    with pytest.raises(AblateError, match="alpha"):
        compare(table(), metrics=[PSNR], alpha=alpha)


def test_a_measured_trial_may_lack_a_metric_when_outcomes_say_it_was_measured() -> None:
    """A metric without a finite value is left out of a measured trial; that seed is missing for this metric alone."""
    frame = table(outcome=["measured"] * 4, psnr=[1.0, 2.0, np.nan, 5.0], ssim=[0.1, 0.2, 0.3, 0.5])
    comparison = compare(frame, metrics=[PSNR, MetricSpec("ssim", "max")])
    row = comparison.row("a")
    assert (row.n, row.pairs, row.runs) == (1, 1, 2)
    assert "no value in 1 of 2 seeds" in row.note
    assert comparison.row("a", "ssim").pairs == 2


def test_values_of_rows_that_are_not_measured_are_not_read() -> None:
    frame = table(outcome=["measured", "measured", "diverged", "failed"], psnr=[1.0, 2.0, np.inf, "??"])
    row = compare(frame, metrics=[PSNR]).row("a")
    assert (row.n, row.runs, row.diverged) == (0, 1, 1)


def test_matrices_are_arms_by_ascending_seeds_with_the_baseline_first() -> None:
    frame = pd.DataFrame({"arm": ["b", "baseline", "b"], "seed": [7, 2, 2], "psnr": [1.0, 2.0, 3.0]})
    trials = read_trials(frame, [PSNR], "baseline", None)
    assert (trials.arms, trials.seeds) == (("baseline", "b"), (2, 7))
    np.testing.assert_array_equal(trials.values["psnr"], [[2.0, np.nan], [3.0, 1.0]])


def test_numbers_written_as_text_and_other_column_types_are_numbers() -> None:
    frame = table(psnr=["1", "2.5", "3e0", "5"], seed=["0", "1", "0", "1"])
    assert compare(frame, metrics=[PSNR]).row("a").mean == 4.0
    whole = table(psnr=[1, 2, 3, 5]).astype({"psnr": "Int64"})
    assert compare(whole, metrics=[PSNR]).row("a").mean == 4.0


def same(one: Trials, other: Trials) -> None:
    for name in ("arms", "seeds", "left_out", "reference"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("measured", "diverged", "pruned", "partner", "baselines"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for ours, theirs in ((one.values, other.values), (one.censored, other.censored)):
        assert ours.keys() == theirs.keys()
        for metric, matrix in ours.items():
            np.testing.assert_array_equal(matrix, theirs[metric], metric)
    if one.compute is None or other.compute is None:
        assert one.compute is other.compute
    else:
        assert one.compute[0] == other.compute[0]
        np.testing.assert_array_equal(one.compute[1], other.compute[1])


WORDS = [kind.value for kind in OutcomeKind]
KEYS = st.tuples(st.sampled_from("abcd"), st.integers(0, 4))
CELLS = st.tuples(st.sampled_from(WORDS), st.floats(-9, 9), st.sampled_from([0.0, 1.0]))


@given(
    results=st.dictionaries(KEYS, CELLS),
    all_arms=st.permutations(["a", "b", "c"]),
    chosen=st.lists(st.sampled_from(["a", "b", "c", "never run"]), min_size=1),
    compute=st.booleans(),
)
def test_a_part_of_the_matrices_is_what_reading_these_arms_alone_gives(
    results: dict[tuple[str, int], tuple[str, float, float]], all_arms: list[str], chosen: list[str], compute: bool
) -> None:
    """Families of contrasts and trends take their arms from the matrices of the whole study."""
    frame = pd.DataFrame(
        [(*key, word, value, reached, value) for key, (word, value, reached) in results.items()],
        columns=["arm", "seed", "outcome", "psnr", "psnr_reached", "seconds" if compute else "other"],
    )
    whole = read_trials(frame, [PSNR], all_arms[0], all_arms)
    same(whole.of(chosen), read_trials(frame, [PSNR], chosen[0], chosen))
