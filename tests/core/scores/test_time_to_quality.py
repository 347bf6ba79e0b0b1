"""When a quality is reached: for good, interpolated, or never; and the area under a learning curve."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.core.scores.time_to_quality import QualityReached, mean_over_log, reached


def test_between_two_points_the_place_is_log_linear() -> None:
    """Half way in the value is the geometric mean of the places."""
    assert reached([10, 1000], [20.0, 30.0], 25.0, "max").at == pytest.approx(100.0)
    assert reached([10, 1000], [30.0, 20.0], 25.0, "min").at == pytest.approx(100.0)


def test_the_quality_counts_from_where_it_is_kept() -> None:
    """One good value followed by a bad one is luck."""
    found = reached([5, 10, 20, 40], [90.0, 40.0, 80.0, 30.0], 50.0, "min")
    assert found.at is not None
    assert 20 < found.at < 40
    assert found.at == pytest.approx(20 * 2**0.6)


def test_what_is_never_reached_is_censored_at_the_last_place() -> None:
    assert reached([5, 10, 20], [1.0, 3.0, 1.9], 2.0, "max") == QualityReached(None, 20.0)


def test_what_is_reached_at_once_says_so() -> None:
    assert reached([5, 10], [2.0, 3.0], 2.0, "max") == QualityReached(5.0, 10.0, first=True)


def test_a_value_that_is_not_finite_is_bad() -> None:
    assert reached([5, 10], [math.nan, 3.0], 2.0, "max").at == pytest.approx(10.0)
    assert reached([5, 10], [3.0, math.inf], 2.0, "min").at is None


@pytest.mark.parametrize(("places", "values"), [([], []), ([1.0], [])])
def test_a_grid_needs_places_and_values(places: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="a value at every one"):
        reached(places, values, 1.0, "max")


@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=8),
    st.floats(-50, 50),
    st.sampled_from(["max", "min"]),
)
def test_all_values_beyond_the_place_have_the_quality(values: list[float], quality: float, direction: str) -> None:
    places = [2.0**k for k in range(len(values))]
    found = reached(places, values, quality, "max" if direction == "max" else "min")
    sign = 1 if direction == "max" else -1
    good = [sign * (value - quality) >= 0 for value in values]
    if found.at is None:
        assert not good[-1]
        return
    later = [index for index, place in enumerate(places) if place >= found.at * (1 - 1e-12)]
    assert later
    assert all(good[index] for index in later[1:])
    assert found.first == all(good)


def test_area_under_a_line_in_log_images_is_its_middle() -> None:
    assert mean_over_log([1, 10, 100], [10.0, 20.0, 30.0]) == pytest.approx(20.0)
    # Points need not be even: the long stretch counts more.
    assert mean_over_log([1, 10, 10_000], [0.0, 0.0, 8.0]) == pytest.approx(3.0)
    assert math.isnan(mean_over_log([10], [3.0]))
