"""From a long table to verdicts: numbers by hand, every word by a constructed study, and invariances."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.errors import AblateError, ExitCode, NothingComparableError
from ablate.report import compare
from ablate.report.statistics.model import Comparison, Verdict
from ablate.report.statistics.power import seeds_needed
from ablate.study.spec import MetricSpec
from ablate.study.verdict_method import Correction

PSNR = MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB")
SECONDS = MetricSpec("time", "min", scale="log", margin=0.05, unit="s")
BASE = [29.013, 29.427, 28.804, 29.118, 29.291]
DIVERGED = None


def table(arms: Mapping[str, Sequence[float | None]], metric: str = "psnr") -> pd.DataFrame:
    """One row per arm and seed 0, 1, ...; None is a diverged seed."""
    rows = [
        {"arm": arm, "seed": seed, "outcome": "diverged" if value is None else "measured", metric: value}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows).astype({metric: "float64"})


def plus(*changes: float) -> list[float | None]:
    return [value + change for value, change in zip(BASE, changes, strict=False)]


def verdict_of(values: Sequence[float | None], metric: MetricSpec = PSNR) -> tuple[Verdict | None, str]:
    row = compare(table({"baseline": BASE, "arm": values}), metrics=[metric]).row("arm")
    return row.verdict, row.note


# Words


@pytest.mark.parametrize(
    ("values", "verdict", "note"),
    [
        (plus(0.5, 0.6, 0.55, 0.52, 0.58), Verdict.BETTER, ""),
        (plus(-0.5, -0.6, -0.55, -0.52, -0.58), Verdict.WORSE, ""),
        (plus(0.01, -0.01, 0.02, 0.0, -0.02), Verdict.EQUIVALENT, "within ±0.1 dB"),
        (plus(0.04, 0.05, 0.045, 0.042, 0.048), Verdict.EQUIVALENT, "within ±0.1 dB; tiny but real"),
        (BASE, Verdict.EQUIVALENT, "identical results"),
        (plus(*[0.5] * 5), Verdict.UNDECIDED, "same difference in every seed: is the seed used?"),
        (plus(0.5), Verdict.UNDECIDED, "needs 1 more seed"),
        (plus(0.3, -0.2, 0.4, -0.3, 0.05), Verdict.UNDECIDED, "within seed noise"),
        ([*[DIVERGED] * 4, 29.0], Verdict.DIVERGED, "4 of 5 seeds diverged"),
        ([DIVERGED] * 5, Verdict.DIVERGED, "5 of 5 seeds diverged"),
        (
            [DIVERGED, 29.9, 29.35, 29.62, 29.88],
            Verdict.BETTER,
            "1 of 5 seeds diverged, numbers are those of the others",
        ),
    ],
)
def test_every_word(values: list[float | None], verdict: Verdict, note: str) -> None:
    assert verdict_of(values) == (verdict, note)


def test_undecided_says_how_many_more_seeds() -> None:
    """The number is the formula's, with the level shared by all tested arms."""
    changes = (0.5, -0.05, 0.4, 0.1, 0.3)
    frame = table({"baseline": BASE, "arm": plus(*changes), "other": plus(0.1, -0.1, 0.2, 0.0, -0.3)})
    row = compare(frame, metrics=[PSNR]).row("arm")
    d, s = float(np.mean(changes)), float(np.std(changes, ddof=1))
    vectors = [np.array([number]) for number in (d, s, 5.0, 0.1, 0.05 / 2)]
    more = int(seeds_needed(*vectors)[0]) - 5
    assert (row.verdict, row.more_seeds, row.note) == (Verdict.UNDECIDED, more, f"about {more} more seeds")


def test_without_a_margin_nothing_is_equivalent_but_identical_results() -> None:
    metric = MetricSpec("psnr", "max")
    assert verdict_of(plus(0.01, -0.01, 0.02, 0.0, -0.02), metric)[0] is Verdict.UNDECIDED
    assert verdict_of(BASE, metric) == (Verdict.EQUIVALENT, "identical results")


# Numbers


def test_a_row_by_hand() -> None:
    changes = np.array([0.5, 0.6, 0.4, 0.7, 0.3])
    row = compare(table({"baseline": BASE, "arm": plus(*changes)}), metrics=[PSNR]).row("arm")
    se = changes.std(ddof=1) / math.sqrt(5)
    t = float(stats.t.isf(0.025, 4))
    assert (row.n, row.runs, row.pairs, row.diverged, row.wins, row.df) == (5, 5, 5, 0, 5, 4)
    assert row.diff == pytest.approx(0.5)
    assert row.improvement == pytest.approx(0.5)
    assert (row.ci_low, row.ci_high) == pytest.approx((0.5 - t * se, 0.5 + t * se))
    assert row.mean == pytest.approx(np.mean(BASE) + 0.5)
    assert row.sd == pytest.approx(np.std(np.array(BASE) + changes, ddof=1))
    assert row.half_width == pytest.approx(t * np.std(np.array(BASE) + changes, ddof=1) / math.sqrt(5))
    assert row.sd_diff == pytest.approx(changes.std(ddof=1))
    assert row.effect == pytest.approx(0.5 / changes.std(ddof=1))
    pooled = math.sqrt((np.var(BASE, ddof=1) + np.var(np.array(BASE) + changes, ddof=1)) / 2)
    assert row.seed_sds == pytest.approx(0.5 / pooled)
    assert row.percent == pytest.approx(100 * 0.5 / np.mean(BASE))
    assert row.rho == pytest.approx(np.corrcoef(BASE, np.array(BASE) + changes)[0, 1])
    assert row.p == pytest.approx(stats.ttest_1samp(changes, 0).pvalue)
    assert row.p_plain == row.p_holm == row.p
    assert row.differences == pytest.approx(dict(enumerate(changes)))
    assert row.values == pytest.approx(dict(enumerate(np.array(BASE) + changes)))


def test_the_baselines_row_has_its_own_numbers_and_no_verdict() -> None:
    row = compare(table({"baseline": BASE, "arm": BASE}), metrics=[PSNR]).row("baseline")
    assert (row.n, row.runs, row.pairs) == (5, 5, 5)
    assert row.mean == pytest.approx(np.mean(BASE))
    assert (row.verdict, row.diff, row.p, row.wins, row.rho, row.differences) == (None, None, None, None, None, {})


def test_the_log_scale_tells_fractions_of_the_baseline() -> None:
    """Twice as long in every seed but for noise: +100 %, and longer is worse."""
    noise, base = [0.01, -0.01, 0.005, -0.005], [10.0, 11.0, 12.0, 13.0]
    frame = table({"baseline": base, "arm": [2 * t * math.exp(e) for t, e in zip(base, noise, strict=True)]}, "time")
    row = compare(frame, metrics=[SECONDS]).row("arm")
    width = float(stats.t.isf(0.025, 3)) * np.std(noise, ddof=1) / 2
    assert row.verdict is Verdict.WORSE
    assert row.diff == pytest.approx(1.0)
    assert row.percent == pytest.approx(100.0)
    assert row.improvement == pytest.approx(-math.log(2))
    assert (row.ci_low, row.ci_high) == pytest.approx((2 * math.exp(-width) - 1, 2 * math.exp(width) - 1))
    assert row.differences[0] == pytest.approx(2 * math.exp(0.01) - 1)
    assert row.margin == pytest.approx(math.log(1.05))


def test_a_relative_margin_is_a_part_of_the_baselines_mean() -> None:
    metric = MetricSpec("psnr", "max", margin=0.02, relative=True)
    row = compare(table({"baseline": BASE, "arm": plus(0.1, -0.1, 0.2, 0.0, 0.1)}), metrics=[metric]).row("arm")
    assert row.margin == pytest.approx(0.02 * np.mean(BASE))
    assert (row.verdict, row.note) == (Verdict.EQUIVALENT, "within ±2 %")


def test_only_shared_seeds_are_compared() -> None:
    """Seed 0 is missing in the arm and diverged in nothing: n of the difference is 4, of the baseline 5."""
    frame = table({"baseline": BASE, "arm": plus(9.0, 0.1, 0.2, 0.3, 0.4)})
    comparison = compare(frame[~((frame.arm == "arm") & (frame.seed == 0))], metrics=[PSNR])
    row = comparison.row("arm")
    assert (row.n, row.pairs, row.runs) == (4, 4, 4)
    assert row.diff == pytest.approx(0.25)
    assert "other-seeds" in {lint.code for lint in comparison.lints}


def test_an_arm_that_diverged_in_half_of_its_seeds_has_no_mean() -> None:
    row = compare(table({"baseline": BASE, "arm": [*[DIVERGED] * 3, 40.0, 41.0]}), metrics=[PSNR]).row("arm")
    assert (row.mean, row.sd, row.diff, row.p, row.n, row.diverged, row.runs) == (None, None, None, None, 2, 3, 5)
    assert row.values == {3: 40.0, 4: 41.0}


def test_infrastructure_failures_are_not_results() -> None:
    frame = table({"baseline": BASE, "arm": plus(0.5, 0.6, 0.55, 0.52, 0.58)})
    failures = pd.DataFrame(
        [
            {"arm": "arm", "seed": 0, "outcome": outcome, "psnr": np.nan}
            for outcome in ("failed", "lost", "stopped", "out_of_memory")
        ]
    )
    expected = compare(frame, metrics=[PSNR]).row("arm")
    assert compare(pd.concat([failures, frame]), metrics=[PSNR]).row("arm") == expected


def test_pruned_trials_are_shown_and_never_averaged() -> None:
    frame = table({"baseline": BASE, "arm": plus(0.5, 0.6, 0.55, 0.52, 0.58)})
    frame.loc[(frame.arm == "arm") & (frame.seed == 4), "outcome"] = "pruned"
    row = compare(frame, metrics=[PSNR]).row("arm")
    assert (row.n, row.runs, row.note) == (4, 4, "1 pruned")


def test_holm_over_all_tested_arms_of_the_primary_metric_only() -> None:
    rng = np.random.default_rng(3)
    arms = {"baseline": BASE} | {f"arm {k}": [x + 0.1 * k + 0.2 * rng.normal() for x in BASE] for k in range(4)}
    frame = table({**arms, "same": BASE, "dead": [DIVERGED] * 5})
    frame["ssim"] = frame["psnr"] / 40
    comparison = compare(frame, metrics=[PSNR, MetricSpec("ssim", "max")])
    raw = [comparison.row(f"arm {k}").p or 0.0 for k in range(4)]
    order = np.argsort(raw)
    running, expected = 0.0, {}
    for rank, place in enumerate(order):
        running = max(running, (4 - rank) * raw[place])
        expected[int(place)] = min(1.0, running)
    assert comparison.tested == 4
    for place, value in expected.items():
        assert comparison.row(f"arm {place}").p_holm == pytest.approx(value)
        secondary = comparison.row(f"arm {place}", "ssim")
        assert (secondary.p_holm, secondary.exploratory) == (None, True)
        assert "exploratory" in secondary.note


def test_the_thin_interval_excludes_zero_exactly_for_decided_arms() -> None:
    rng = np.random.default_rng(4)
    arms = {"baseline": BASE} | {f"{k}": [x + 0.08 * k + 0.15 * rng.normal() for x in BASE] for k in range(12)}
    comparison = compare(table(arms), metrics=[MetricSpec("psnr", "max")])
    decided = []
    for arm in comparison.arms[1:]:
        row = comparison.row(arm)
        assert row.holm_low is not None
        assert row.holm_high is not None
        assert row.p_holm is not None
        decided.append(row.p_holm <= 0.05)
        assert decided[-1] == (row.holm_low > 0 or row.holm_high < 0)
    assert 2 < sum(decided) < 12


def test_stability_by_exact_tests() -> None:
    """0 of 3 against 3 of 3 is p = .031 by Boschloo's test; 3 of 3 has the exact interval [.292, 1]."""
    arms: dict[str, Sequence[float | None]] = {"baseline": BASE[:3], "dead": [DIVERGED] * 3, "fine": BASE[:3]}
    comparison = compare(table(arms), metrics=[PSNR])
    dead = comparison.stability["dead"]
    assert dead.p == pytest.approx(0.03125, abs=1e-3)
    assert (dead.low, dead.high) == pytest.approx((0.025 ** (1 / 3), 1.0))
    assert comparison.stability["fine"].p == 1.0
    assert comparison.stability["baseline"].p is None


# A baseline that gives nothing to compare with


@pytest.mark.parametrize(
    ("arms", "problem"),
    [
        ({"arm": BASE}, "the baseline 'baseline' has no results; arms with results: arm"),
        ({"baseline": [DIVERGED] * 3, "arm": BASE}, "the baseline 'baseline' diverged in 3 of 3 seeds"),
        ({"baseline": BASE}, "there is no arm other than the baseline 'baseline'"),
    ],
)
def test_nothing_comparable_keeps_the_numbers_and_says_why(
    arms: Mapping[str, Sequence[float | None]], problem: str
) -> None:
    comparison = compare(table(arms), metrics=[PSNR])
    assert comparison.problem == problem
    assert {row.verdict for row in comparison.rows.values()} == {None}
    for arm, values in arms.items():
        assert comparison.row(arm).n == sum(value is not None for value in values)
    with pytest.raises(NothingComparableError) as caught:
        comparison.check_comparable()
    assert caught.value.exit_code is ExitCode.NOTHING_COMPARABLE


def test_an_empty_table_is_nothing_comparable() -> None:
    frame = pd.DataFrame({"arm": [], "seed": [], "outcome": [], "psnr": []})
    assert compare(frame, metrics=[PSNR]).problem == "nothing has been measured yet"


def test_a_comparable_study_has_no_problem() -> None:
    comparison = compare(table({"baseline": BASE, "arm": BASE}), metrics=[PSNR])
    comparison.check_comparable()
    assert comparison.problem is None


def test_arms_can_be_chosen_and_ordered_and_need_no_results() -> None:
    frame = table({"a": BASE, "baseline": BASE, "b": plus(1, 2, 3, 4, 5), "c": BASE})
    comparison = compare(frame, metrics=[PSNR], arms=["planned", "b", "a"])
    assert comparison.arms == ("baseline", "planned", "b", "a")
    row = comparison.row("planned")
    assert (row.n, row.verdict, row.note) == (0, Verdict.UNDECIDED, "not measured yet; needs 2 more seeds")


# Options


def test_welch_for_seeds_that_are_not_shared() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(30, 1, 6), rng.normal(28, 0.3, 5)
    rows = [("arm", 100 + seed, value) for seed, value in enumerate(ours)]
    rows += [("baseline", seed, value) for seed, value in enumerate(theirs)]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "psnr"])
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    row = compare(frame, metrics=[PSNR], test="welch").row("arm")
    assert (row.p, row.df) == pytest.approx((expected.pvalue, expected.df))
    assert row.diff == pytest.approx(ours.mean() - theirs.mean())
    assert (row.verdict, row.pairs, row.wins, row.p_plain) == (Verdict.BETTER, 0, None, None)
    assert compare(frame, metrics=[PSNR]).row("arm").verdict is Verdict.UNDECIDED


def test_permutation_is_the_exact_sign_flip_and_needs_six_seeds() -> None:
    base = [*BASE, 29.2]
    frame = table({"baseline": base, "arm": [x + 0.5 + 0.01 * place for place, x in enumerate(base)]})
    row = compare(frame, metrics=[PSNR], test="permutation").row("arm")
    assert (row.p, row.verdict) == (2 / 64, Verdict.BETTER)
    few = compare(frame[frame.seed < 5], metrics=[PSNR], test="permutation").row("arm")
    assert (few.verdict, few.note) == (Verdict.UNDECIDED, "needs 1 more seed")


def test_permutation_finds_equivalence() -> None:
    base = [*BASE, 29.2]
    frame = table({"baseline": base, "arm": [x + 0.01 * (-1) ** place for place, x in enumerate(base)]})
    row = compare(frame, metrics=[PSNR], test="permutation").row("arm")
    assert (row.p_equivalence, row.verdict) == (1 / 64, Verdict.EQUIVALENT)


def test_pooled_noise_keeps_the_plain_p_beside_it() -> None:
    rng = np.random.default_rng(1)
    arms = {"baseline": BASE[:3]} | {f"{k}": [x + 0.1 * rng.normal() for x in BASE[:3]] for k in range(8)}
    plain, pooled = (compare(table(arms), metrics=[PSNR], noise=noise).row("0") for noise in ("own", "pooled"))
    assert pooled.p_plain == plain.p
    assert pooled.p != plain.p
    assert (plain.df, pooled.df) == (2, 4)


@pytest.mark.parametrize(
    "options",
    [{"test": "anova"}, {"noise": "none"}, {"correct": "bonferroni"}, {"test": "welch", "noise": "pooled"}],
)
def test_unknown_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(AblateError):
        compare(table({"baseline": BASE, "arm": BASE}), metrics=[PSNR], **options)  # type: ignore[arg-type]  # wrong


def test_too_many_seeds_for_exact_flips() -> None:
    values = np.random.default_rng(0).normal(size=(2, 21)).tolist()
    with pytest.raises(AblateError, match="at most 20"):
        compare(table({"baseline": values[0], "arm": values[1]}), metrics=[PSNR], test="permutation")


# Invariances

CHANGES = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=3, max_size=5)


def one(changes: Sequence[float], metric: MetricSpec, shift: float = 0.0, sign: float = 1.0) -> Comparison:
    values = [sign * (x + d + shift) for x, d in zip(BASE, changes, strict=False)]
    return compare(
        table({"baseline": [sign * (x + shift) for x in BASE[: len(changes)]], "arm": values}), metrics=[metric]
    )


FLIPPED = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}


@settings(max_examples=40, deadline=None)
@given(CHANGES)
def test_the_other_direction_flips_the_word_and_nothing_else(changes: list[float]) -> None:
    up = one(changes, PSNR).row("arm")
    down = one(changes, MetricSpec("psnr", "min", margin=0.1, unit="dB")).row("arm")
    assert up.verdict is not None
    assert down.verdict is FLIPPED.get(up.verdict, up.verdict)
    assert (down.diff, down.p, down.p_equivalence, down.more_seeds) == (up.diff, up.p, up.p_equivalence, up.more_seeds)


@settings(max_examples=40, deadline=None)
@given(CHANGES, st.sampled_from([-7.0, 3.0, 16.0]))
def test_adding_a_constant_to_all_values_changes_no_difference(changes: list[float], shift: float) -> None:
    here, there = one(changes, PSNR).row("arm"), one(changes, PSNR, shift).row("arm")
    assert there.diff == pytest.approx(here.diff, abs=1e-9)
    assert there.p == pytest.approx(here.p, rel=1e-6) if here.p is not None else there.p is None


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(15)))
def test_the_order_of_rows_is_irrelevant(order: list[int]) -> None:
    frame = table({"baseline": BASE, "a": plus(0.5, 0.6, 0.4, 0.7, 0.3), "b": plus(0.1, -0.2, 0.3, 0.0, 0.1)})
    shuffled = compare(frame.iloc[order], metrics=[PSNR], arms=["a", "b"])
    assert shuffled == compare(frame, metrics=[PSNR], arms=["a", "b"])


def test_more_arms_never_make_an_arm_more_certain() -> None:
    rng = np.random.default_rng(2)
    arms: dict[str, Sequence[float | None]] = {"baseline": BASE, "arm": plus(0.5, 0.6, 0.4, 0.7, 0.3)}
    before = 0.0
    for number in range(5):
        row = compare(table(arms), metrics=[PSNR]).row("arm")
        assert row.p_holm is not None
        assert row.p_holm >= before
        before = row.p_holm
        arms[f"other {number}"] = [x + rng.normal() for x in BASE]


def test_equal_arms_are_called_different_in_at_most_five_percent_of_studies() -> None:
    """300 whole studies of 6 arms without effect, through the public function."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(300):
        arms = {name: rng.normal(size=4).tolist() for name in ("baseline", *"abcdef")}
        rows = compare(table(arms), metrics=[MetricSpec("psnr", "max")]).rows.values()
        wrong += any(row.verdict in (Verdict.BETTER, Verdict.WORSE) for row in rows)
    assert wrong <= 300 * (0.05 + 4 * math.sqrt(0.05 * 0.95 / 300))


def test_a_thousand_arms_take_seconds() -> None:
    values = np.random.default_rng(0).normal(size=(1001, 10))
    names = ["baseline", *(f"arm {number}" for number in range(1000))]
    rows = [(arm, seed, value) for arm, row in zip(names, values, strict=True) for seed, value in enumerate(row)]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "psnr"])
    began = time.process_time()
    assert compare(frame, metrics=[PSNR]).tested == 1000
    assert time.process_time() - began < 3.0


# Equivalence as a family


def at_the_margin(rng: np.random.Generator) -> pd.DataFrame:
    """Eight arms that all differ from the baseline by exactly the margin, 1, with seed noise 0.5 of their own."""
    base = rng.normal(0, 0.1, 5)
    arms = {f"arm {at}": (base + 1 + rng.normal(0, 0.5, 5)).tolist() for at in range(8)}
    return table({"baseline": base.tolist(), **arms})


@pytest.mark.parametrize(("equivalence", "low", "high"), [("none", 0.12, 0.5), ("holm", 0.0, 0.09)])
def test_equivalent_is_corrected_as_a_family(equivalence: Correction, low: float, high: float) -> None:
    """100 studies: without a correction, one of the eight is called equivalent wrongly in many of them."""
    rng = np.random.default_rng(3)
    metric = MetricSpec("psnr", "max", margin=1.0, primary=True)
    wrong = 0
    for _ in range(100):
        comparison = compare(at_the_margin(rng), metrics=[metric], equivalence=equivalence)
        wrong += any(comparison.row(f"arm {at}").verdict is Verdict.EQUIVALENT for at in range(8))
    assert low <= wrong / 100 <= high


def test_equivalence_is_corrected_as_differences_are_unless_it_says_otherwise() -> None:
    frame = at_the_margin(np.random.default_rng(0))
    assert compare(frame, metrics=[PSNR]).equivalence == "holm"
    assert compare(frame, metrics=[PSNR], correct="none").equivalence == "none"
    plain = compare(frame, metrics=[PSNR], equivalence="none").row("arm 0")
    assert plain.p_equivalence_holm == pytest.approx(plain.p_equivalence)
    held = compare(frame, metrics=[PSNR]).row("arm 0")
    assert held.p_equivalence == plain.p_equivalence
    assert held.p_equivalence is not None
    assert held.p_equivalence_holm is not None
    assert held.p_equivalence_holm >= held.p_equivalence
