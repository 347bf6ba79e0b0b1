"""Noise schedules against closed forms and reference values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.beta_tables import table_text
from ablate.core.schedules import SCHEDULE_NAMES, make_schedule, schedule_warnings

Record = Callable[[str, object], None]
"""pytest's `record_property`: (what, (expected, measured)) becomes a row of docs/evidence/acceptance.md."""

# beta_1, beta_T, then alpha-bar at t = 1, 10, 100, 250, 500, 750, 1000, for T = 1000. Computed once in float64 from the
# definitions of the papers, by a program that shares nothing with this package.
AT = (1, 10, 100, 250, 500, 750, 1000)
REFERENCE: dict[tuple[str, float, bool], str] = {
    ("linear", 2, False): "1e-4 .02 .99990000 .9981052 .8970181 .5240854 .07858724 3.350550e-3 4.035830e-5",
    ("quad", 2, False): "1e-4 .02 .9999 .9988772 .9716971 .8215213 .3331878 3.860551e-2 7.334125e-4",
    ("cosine", 2, False): "4.128422e-5 .999 .9999587 .9993687 .9720927 .8470122 .4938436 .1442721 2.428767e-9",
    ("sigmoid", 2, False): "3.002792e-4 .999 .9996997 .9969227 .9605072 .8508535 .5 .1491465 3.002792e-7",
    ("polynomial", 2, False): "1.199996e-5 .2852206 .999988 .99979 .9800904 .8788987 .5624987 .1914124 1.000400e-5",
    ("polynomial", 3, False): "1.0002e-5 .4727074 .99999 .999988 .997991 .9689848 .7656197 .3342318 1.000898e-5",
    ("exponential", 2, False): (
        "1.192829e-2 1.192829e-2 .9880717 .8869204 .3011942 4.978707e-2 2.478752e-3 1.234098e-4 6.144212e-6"
    ),
    ("exponential-beta", 2, False): "1e-4 .02 .9999 .9989762 .9869302 .9493162 .7804075 .3728308 2.279218e-2",
    ("sigmoid-beta", 2, False): (
        "1.492052e-4 1.995079e-2 .9998508 .9984814 .9807493 .9037447 .3019311 5.732199e-3 3.968182e-5"
    ),
    ("ve-geometric", 2, False): (
        "9.999e-5 1.690012e-2 .9999 .9998834 .9994594 .9930672 .6685586 2.762054e-2 3.998401e-4"
    ),
    ("linear", 2, True): "1e-4 1 .9999 .9980937 .8963783 .5215333 .07602875 2.689522e-3 0",
}


@pytest.mark.acceptance("S1")
@pytest.mark.parametrize("key", REFERENCE, ids=str)
def test_reference_values(key: tuple[str, float, bool], record_property: Record) -> None:
    """The printed digits of the reference table, all of them."""
    name, power, zero = key
    schedule = make_schedule(name, 1000, power=power, zero_terminal_snr=zero)
    found = [schedule.betas[0], schedule.betas[-1], *(schedule.alpha_bars[t - 1] for t in AT)]
    expected = np.array([float(text) for text in REFERENCE[key].split()])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    apart = np.abs(found / np.where(expected, expected, 1) - (expected != 0)).max()
    record_property("largest relative deviation, schedule by schedule", ("< 1e-6", apart))


STEP_OF_SIGMA = {
    "linear": (9, 33, 57, 115, 168),
    "cosine": (18, 68, 117, 232, 333),
    "sigmoid": (5, 41, 95, 233, 343),
    "polynomial": (28, 83, 137, 263, 372),
    "exponential-beta": (15, 103, 208, 406, 532),
    "exponential": (1, 1, 3, 12, 25),
}


@pytest.mark.parametrize("name", STEP_OF_SIGMA)
def test_step_of_equal_noise(name: str) -> None:
    """The step whose noise equals pixel noise 5, 15, 25, 50 and 75 of 255."""
    schedule = make_schedule(name, 1000)
    assert tuple(schedule.step_at(sigma) for sigma in (5, 15, 25, 50, 75)) == STEP_OF_SIGMA[name]


@pytest.mark.acceptance("P3")
def test_linear_posterior_variances(record_property: Record) -> None:
    found = make_schedule("linear", 1000).posterior_variances[[1, 9, 99, 499, 999]]
    reference = [5.45318766e-5, 2.38182028e-4, 2.03459626e-3, 1.00313554e-2, 1.99999835e-2]
    np.testing.assert_allclose(found, reference, rtol=1e-8)
    apart = np.abs(found / reference - 1).max()
    record_property("posterior variances at t = 2, 10, 100, 500, 1000: largest relative deviation", ("< 1e-8", apart))


@pytest.mark.acceptance("S2")
@pytest.mark.parametrize(("name", "capped"), [("cosine", 1), ("sigmoid", 1), ("polynomial", 0), ("linear", 0)])
def test_number_of_capped_betas(name: str, capped: int, record_property: Record) -> None:
    found = int(np.sum(make_schedule(name, 1000).betas >= 0.999))
    assert found == capped
    record_property("betas at the cap 0.999: cosine, sigmoid, polynomial, linear", (capped, found))


@pytest.mark.acceptance("S3")
@given(
    name=st.sampled_from(SCHEDULE_NAMES),
    steps=st.integers(25, 4000),
    power=st.sampled_from([1.0, 2.0, 2.5]),
    zero=st.booleans(),
)
def test_every_schedule_is_a_forward_process(name: str, steps: int, power: float, zero: bool) -> None:
    """alpha-bar falls strictly from below 1 to above 0, or to exactly 0 when the terminal SNR is asked to be 0."""
    schedule = make_schedule(name, steps, power=power, zero_terminal_snr=zero)
    alpha_bars = schedule.alpha_bars
    assert alpha_bars.dtype == np.float64
    assert alpha_bars[0] < 1
    assert np.all(np.diff(alpha_bars) < 0)
    assert (alpha_bars[-1] == 0) if zero else (alpha_bars[-1] > 0)
    if not zero:
        np.testing.assert_array_equal(alpha_bars, np.cumprod(1 - schedule.betas))


@pytest.mark.acceptance("S4")
@pytest.mark.parametrize(("steps", "last"), [(250, 3.26e-5), (100, 2.04e-5), (50, 7.74e-6)])
def test_linear_ends_alike_for_every_length(steps: int, last: float, record_property: Record) -> None:
    """Without the factor 1000 / T a chain of 100 steps would end at alpha-bar = 0.36."""
    found = make_schedule("linear", steps).alpha_bars[-1]
    assert found == pytest.approx(last, rel=5e-3)
    record_property("last alpha-bar of linear with T = 250, 100, 50", (last, found))


@pytest.mark.acceptance("S5")
def test_polynomial_is_not_cosine(record_property: Record) -> None:
    difference = make_schedule("polynomial", 1000).alpha_bars - make_schedule("cosine", 1000).alpha_bars
    assert np.abs(difference).max() > 0.05
    record_property("largest difference of alpha-bar, polynomial and cosine", ("> 0.05", np.abs(difference).max()))


def test_all_names_give_different_schedules() -> None:
    curves = [make_schedule(name, 100).alpha_bars for name in SCHEDULE_NAMES]
    for index, curve in enumerate(curves):
        assert all(np.abs(curve - other).max() > 0.01 for other in curves[:index])


@pytest.mark.acceptance("S6")
def test_zero_terminal_snr_keeps_the_first_step(record_property: Record) -> None:
    plain, zero = make_schedule("linear", 1000), make_schedule("linear", 1000, zero_terminal_snr=True)
    assert zero.alpha_bars[0] == pytest.approx(plain.alpha_bars[0], rel=1e-14)
    assert zero.alpha_bars[-1] == 0
    assert zero.betas[-1] == 1
    assert zero.log_snr[-1] == -np.inf
    ends = (float(zero.alpha_bars[0]), float(zero.alpha_bars[-1]), float(zero.betas[-1]))
    record_property("first and last alpha-bar, last beta of linear with zero terminal SNR", ("0.9999 0 1", ends))


@pytest.mark.acceptance("S7")
@pytest.mark.parametrize(("name", "cost"), [("linear", 7e-7), ("cosine", 1.4e-5)])
def test_alpha_bars_are_multiplied_in_float64(name: str, cost: float, record_property: Record) -> None:
    """The product of float32 factors would be off by up to `cost`; ours is the exact one, rounded once at most."""
    schedule = make_schedule(name, 1000)
    exact = Fraction(1)
    for t, beta in enumerate(schedule.betas):
        exact *= 1 - Fraction(float(beta))
        exact = exact.limit_denominator(10**40) if t % 50 == 49 else exact
        if t in (99, 499, 998):
            assert schedule.alpha_bars[t] == pytest.approx(float(exact), rel=1e-13)
    single = np.cumprod(1 - schedule.betas.astype(np.float32), dtype=np.float32)
    found = np.abs(single / schedule.alpha_bars - 1).max()
    assert found == pytest.approx(cost, rel=0.5)
    record_property("what float32 products would cost, relative: linear, cosine", (cost, found))


def test_a_schedule_that_never_reaches_noise_is_pointed_out() -> None:
    assert "0.151" in schedule_warnings(make_schedule("exponential-beta", 1000))[0]
    assert not schedule_warnings(make_schedule("linear", 1000))


@pytest.mark.parametrize(("name", "steps"), [("linear", 10), ("quad", 20), ("unknown", 1000)])
def test_impossible_schedules_are_refused(name: str, steps: int) -> None:
    """k = 1000 / T pushes beta_T to 1 and beyond when T is 20 or less."""
    with pytest.raises(ValueError, match="noise schedule"):
        make_schedule(name, steps)


def test_flat_polynomial_is_refused() -> None:
    with pytest.raises(ValueError, match="beta = 0"):
        make_schedule("polynomial", 1000, power=10)


def test_a_table_gives_the_numbers_it_holds() -> None:
    """A built-in schedule written out as a table is the same schedule to the last bit, under another name."""
    built_in = make_schedule("cosine", 1000)
    table = make_schedule(table_text(built_in.betas.tolist()), 1000)
    np.testing.assert_array_equal(table.alpha_bars, built_in.alpha_bars)
    assert table.name.startswith("table ")


def test_a_table_may_end_at_zero_snr_and_not_before() -> None:
    assert make_schedule("[0.5,1.0]", 2).alpha_bars[-1] == 0
    with pytest.raises(ValueError, match=r"beta = 1.0 at t = 1"):
        make_schedule("[1.0,0.5]", 2)


def test_a_table_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="of 2 betas, but diffusion_steps is 1000"):
        make_schedule("[0.5,0.5]", 1000)


def test_arrays_cannot_be_changed() -> None:
    """Schedules are shared, so nobody may write into one."""
    with pytest.raises(ValueError, match="read-only"):
        make_schedule("linear", 1000).betas[0] = 0.5


def test_importing_needs_no_torch() -> None:
    code = "import ablate.core.schedules, ablate.core.ddpm_dip.core, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
