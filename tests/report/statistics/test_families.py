"""Contrasts of several arms: closed forms, invariances, and sentences that say no more than was found."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.outcome import OutcomeKind
from ablate.recipe import Scalar
from ablate.report.data.frames import CheckedResults
from ablate.report.data.planned_contrasts import factorial_plans, families_of
from ablate.report.statistics.families import Family, FamilyPlan, family
from ablate.report.statistics.model import Verdict
from ablate.report.text.family_sentences import effect_sentences
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, Design, MetricSpec, Study
from tests.sentences import SENTENCES

PSNR = MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB")
BASE = np.array([29.0, 29.4, 28.8, 29.1, 29.3])
NOISE = np.array([0.01, -0.02, 0.02, 0.005, -0.01])


def table(arms: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    rows = [(arm, seed, value) for arm, values in arms.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["arm", "seed", "psnr"])


def two_by_two(both: float) -> dict[str, Sequence[float]]:
    """Factor a is worth 0.5, b 0.3, and both together 0.8 + `both`."""
    return {
        "baseline": list(BASE),
        "a": list(BASE + 0.5 + NOISE),
        "b": list(BASE + 0.3 + NOISE[::-1]),
        "ab": list(BASE + 0.8 + both + np.roll(NOISE, 1)),
    }


CELLS: dict[str, dict[str, Scalar]] = {
    "baseline": {"a": 0, "b": 0},
    "a": {"a": 1, "b": 0},
    "b": {"a": 0, "b": 1},
    "ab": {"a": 1, "b": 1},
}


def analysed(values: Mapping[str, Sequence[float]]) -> Family:
    plans = tuple(factorial_plans(CELLS, "baseline"))
    return family(table(values), PSNR, plans, kind="factorial", baseline="baseline", cells=CELLS)


def test_the_interaction_is_the_difference_of_differences_per_seed() -> None:
    values = two_by_two(0.4)
    found = analysed(values).effects[2]
    a, b, ab = (np.array(values[name]) for name in ("a", "b", "ab"))
    per_seed = (ab - b) - (a - BASE)
    assert (found.kind, found.name, found.n) == ("interaction", "a=1 x b=1", 5)
    assert found.diff == pytest.approx(per_seed.mean())
    assert found.p == pytest.approx(stats.ttest_1samp(per_seed, 0).pvalue)
    interval = stats.ttest_1samp(per_seed, 0).confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(interval))
    assert list(found.values.values()) == pytest.approx(list(per_seed))


def test_main_effects_are_averaged_over_the_other_factor() -> None:
    values = two_by_two(0.4)
    found = {effect.name: effect.diff for effect in analysed(values).effects}
    assert found["a=1"] == pytest.approx(0.7, abs=0.02)
    assert found["b=1"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("both", "verdict"), [(0.4, Verdict.BETTER), (-0.4, Verdict.WORSE), (0.0, Verdict.EQUIVALENT)])
def test_an_interaction_gets_a_word(both: float, verdict: Verdict) -> None:
    assert analysed(two_by_two(both)).effects[2].verdict is verdict


def test_holm_counts_the_family() -> None:
    found = analysed(two_by_two(0.4))
    assert found.tested == 3
    smallest = min(effect.p or 1 for effect in found.effects)
    assert min(effect.p_corrected or 1 for effect in found.effects) == pytest.approx(3 * smallest)


def test_contrasts_of_three_factors_are_those_of_least_squares() -> None:
    """In the +-1 coding a coefficient is half of a main effect, a quarter of a pair, an eighth of all three."""
    rng = np.random.default_rng(3)
    names = ["".join(map(str, bits)) for bits in itertools.product((0, 1), repeat=3)]
    cells: dict[str, dict[str, Scalar]] = {
        name: {factor: int(bit) for factor, bit in zip("xyz", name, strict=True)} for name in names
    }
    values = {name: list(rng.normal(size=4)) for name in names}
    plans = tuple(factorial_plans(cells, "000"))
    found = family(table(values), PSNR, plans, kind="factorial", baseline="000", cells=cells)
    codes = np.array([[2 * int(bit) - 1 for bit in name] for name in names])
    means = np.array([np.mean(values[name]) for name in names])
    assert len(found.effects) == 7
    for effect in found.effects:
        columns = ["xyz".index(factor) for factor in effect.factors]
        coefficient = codes[:, columns].prod(axis=1) @ means / 8
        assert effect.diff == pytest.approx(2 ** len(columns) * coefficient)


def test_a_grid_has_an_interaction_per_pair_of_levels() -> None:
    cells: dict[str, dict[str, Scalar]] = {f"{a}{b}": {"a": a, "b": b} for a in (0, 1, 2) for b in (0, 1)}
    plans = list(factorial_plans(cells, "00"))
    assert [plan.name for plan in plans] == ["a=1", "a=2", "b=1", "a=1 x b=1", "a=2 x b=1"]
    assert plans[3].weights == {"00": 1.0, "01": -1.0, "10": -1.0, "11": 1.0}


def test_a_grid_with_a_hole_has_no_contrasts() -> None:
    assert list(factorial_plans({name: CELLS[name] for name in ("baseline", "a", "ab")}, "baseline")) == []


def test_a_cell_that_diverged_leaves_its_contrasts_untold() -> None:
    frame = table(two_by_two(0.0))
    lost = (frame.arm == "ab") & (frame.seed < 3)
    frame = frame.assign(outcome=np.where(lost, "diverged", "measured"), psnr=frame.psnr.where(~lost))
    plans = tuple(factorial_plans(CELLS, "baseline"))
    found = family(frame, PSNR, plans, kind="factorial", baseline="baseline", cells=CELLS)
    assert [effect.verdict for effect in found.effects] == [None] * 3
    assert found.effects[2].note == "ab diverged in 3 of 5 seeds"
    assert found.effects[2].diff is None


def test_a_log_scale_multiplies() -> None:
    """Two factors that each double the time and together take it times four add up on the log scale."""
    seconds = MetricSpec("psnr", "min", "log", 0.05)
    values = {"baseline": BASE, "a": 2 * BASE + NOISE, "b": 2 * BASE - NOISE, "ab": 4 * BASE + NOISE}
    frame = table({name: list(row) for name, row in values.items()})
    plans = tuple(factorial_plans(CELLS, "baseline"))
    found = family(frame, seconds, plans, kind="factorial", baseline="baseline", cells=CELLS).effects
    assert found[0].diff == pytest.approx(1.0, abs=0.01)
    assert found[2].diff == pytest.approx(0.0, abs=0.01)
    assert (found[0].verdict, found[2].verdict) == (Verdict.WORSE, Verdict.EQUIVALENT)


@given(
    shift=st.floats(-5, 5),
    values=st.lists(st.lists(st.floats(20, 40), min_size=4, max_size=4), min_size=3, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_what_all_arms_share_and_the_order_of_seeds_change_nothing(
    shift: float, values: list[list[float]], order: object
) -> None:
    names = list(CELLS)
    frame = pd.DataFrame(
        [(name, seed, row[at]) for seed, row in enumerate(values) for at, name in enumerate(names)],
        columns=["arm", "seed", "psnr"],
    )
    plan = FamilyPlan("interaction", "ab", {"baseline": 1.0, "a": -1.0, "b": -1.0, "ab": 1.0}, ("a", "b"))

    def effect(shown: pd.DataFrame) -> float:
        found = family(shown, PSNR, [plan], kind="factorial", baseline="baseline", cells=CELLS)
        assert found.effects[0].diff is not None
        return found.effects[0].diff

    moved = frame.assign(psnr=frame.psnr + shift)
    turned = frame.assign(seed=len(values) - 1 - frame.seed)
    assert effect(moved) == pytest.approx(effect(frame), abs=1e-9)
    assert effect(turned) == pytest.approx(effect(frame), abs=1e-9)


def study(kind: str, cells: Mapping[str, Mapping[str, Scalar]], values: Mapping[str, Sequence[float]]) -> Family:
    arms = tuple(Arm(name, dict(cell), dict(cell)) for name, cell in cells.items())
    found = Study("s", "", "toy", arms, (), (PSNR,), (5,), designs=(Design(kind, cells),))
    rows = [
        TrialRow(at, arm, seed, "COMPLETE", OutcomeKind.MEASURED, {"psnr": value}, 1.0, "cpu", "")
        for at, (arm, seed, value) in enumerate(
            (arm, seed, value) for arm, row in values.items() for seed, value in enumerate(row)
        )
    ]
    return families_of(CheckedResults.of(found, rows))[0]


def test_components_left_out_together_are_compared_with_the_sum_of_their_losses() -> None:
    cells: dict[str, dict[str, Scalar]] = {
        "baseline": {"ema": True, "dropout": True},
        "without ema": {"ema": False, "dropout": True},
        "without dropout": {"ema": True, "dropout": False},
        "without all": {"ema": False, "dropout": False},
    }
    values = {
        "baseline": list(BASE),
        "without ema": list(BASE - 0.5 + NOISE),
        "without dropout": list(BASE - 0.3 + NOISE[::-1]),
        "without all": list(BASE - 1.5 + np.roll(NOISE, 1)),
    }
    found = study("leave-one-out", cells, values)
    assert found.effects[0].weights == {
        "without all": 1.0,
        "without ema": -1.0,
        "without dropout": -1.0,
        "baseline": 1.0,
    }
    assert found.effects[0].diff == pytest.approx(-0.7, abs=0.03)
    said = effect_sentences([found], PSNR)
    assert said[0].startswith(SENTENCES["components left out together"])
    assert said[1] == SENTENCES["components left out together 2"]


def test_every_step_of_a_path_is_compared_with_the_one_before() -> None:
    cells: dict[str, dict[str, Scalar]] = {
        "baseline": {"lr": False, "ema": False},
        "+ lr": {"lr": True, "ema": False},
        "+ ema": {"lr": True, "ema": True},
    }
    values = {"baseline": list(BASE), "+ lr": list(BASE + 0.5 + NOISE), "+ ema": list(BASE + 0.2 + NOISE[::-1])}
    found = study("path", cells, values)
    assert [(effect.name, effect.verdict) for effect in found.effects] == [
        ("baseline -> + lr", Verdict.BETTER),
        ("+ lr -> + ema", Verdict.WORSE),
    ]
    assert found.effects[1].factors == ("ema",)


def test_sentences_put_the_decided_first() -> None:
    said = effect_sentences([analysed(two_by_two(0.4))], PSNR)
    assert said[0].startswith(SENTENCES["sentences put decided first"])
    assert said[1].startswith("Averaged over the other factors, a=1 is better: +0.")
