from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from ablate.report.statistics.blocks.crossed import crossed

TABLE = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])


def test_mean_squares_of_a_small_table_are_those_worked_out_by_hand() -> None:
    """Block means 2 and 4, seed means 1.5, 3, 4.5, mean 3; what is left is -0.5, 0, 0.5 and its opposite."""
    found = crossed(TABLE)
    assert found.of_blocks == pytest.approx(3 * 2 * 1.0)
    assert found.of_seeds == pytest.approx(2 * 2 * 1.5**2 / 2)
    assert found.rest == pytest.approx(4 * 0.25 / 2)
    assert found.p_same == pytest.approx(stats.f.sf(6 / 0.5, 1, 2))


def test_what_seeds_share_is_added_only_where_they_share_something() -> None:
    variance, df = crossed(TABLE).shared
    assert variance == pytest.approx((4.5 - 0.5) / 6)
    assert df == pytest.approx(min(1, (6 + 4.5 - 0.5) ** 2 / (6**2 + 4.5**2 / 2 + 0.5**2 / 2)))
    opposite = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.5, 0.5, 0.2]])
    assert crossed(opposite).shared == (0.0, 2.0)


def test_seeds_with_a_gap_are_left_out() -> None:
    holed = np.column_stack([TABLE, [9.0, np.nan]])
    assert crossed(holed) == crossed(TABLE)
    assert crossed(np.full((3, 2), np.nan)).p_same is None
    assert crossed(np.ones((3, 2))).p_same is None


@given(arrays(float, (4, 3), elements=st.floats(-100, 100)), st.permutations(range(4)), st.permutations(range(3)))
def test_order_of_blocks_and_seeds_does_not_matter(values: np.ndarray, rows: list[int], columns: list[int]) -> None:
    one, other = crossed(values), crossed(values[rows][:, columns])
    assert (one.of_blocks, one.of_seeds, one.rest) == pytest.approx((other.of_blocks, other.of_seeds, other.rest))
    total = ((values - values.mean()) ** 2).sum()
    assert 3 * one.of_blocks + 2 * one.of_seeds + 6 * one.rest == pytest.approx(total, abs=1e-6)
