"""When trainings are fused: asked for, or measured to pay, and then for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import torch

from ablate.core.programs.fusion_choice import ALONE, GATE, choose_width
from ablate.core.programs.lane_losses import LossReader
from ablate.interface import Fusion, TrialContext
from tests.core.replay.test_lanes import Listener

if TYPE_CHECKING:
    from collections.abc import Callable


def _measured(gain: float, asked: list[int]) -> Callable[[int], float]:
    """A measurement in which lanes are `gain` times faster per training."""

    def measure(width: int) -> float:
        asked.append(width)
        return 1.0 if width == ALONE else 1.0 / gain

    return measure


def _context(root: Path, fusion: Fusion) -> TrialContext:
    return cast(TrialContext, Listener(root, fusion))


def test_width_one_is_alone_and_measures_nothing(tmp_path: Path) -> None:
    asked: list[int] = []
    assert choose_width(_context(tmp_path, Fusion()), "key", _measured(9, asked)) == ALONE
    assert asked == []


def test_a_width_that_was_asked_for_is_taken(tmp_path: Path) -> None:
    asked: list[int] = []
    assert choose_width(_context(tmp_path, Fusion(8, forced=True)), "key", _measured(0.1, asked)) == 8
    assert asked == []


@pytest.mark.parametrize(("gain", "width"), [(GATE["cpu"] + 0.01, 8), (GATE["cpu"] - 0.01, ALONE)])
def test_otherwise_it_must_pay(gain: float, width: int, tmp_path: Path) -> None:
    """Measured once; the record holds for every later batch, whatever would be measured then."""
    asked: list[int] = []
    context = _context(tmp_path, Fusion(8))
    assert choose_width(context, "key", _measured(gain, asked)) == width
    assert choose_width(context, "key", _measured(1 / gain, asked)) == width
    assert sorted(asked) == [ALONE, 8]
    choose_width(context, "other key", _measured(gain, asked))
    assert len(asked) == 4


def test_losses_come_at_once_and_in_order_on_cpu() -> None:
    """Each with whose it is and the step it belongs to; nothing is left to drain."""
    reader: LossReader[str] = LossReader(torch.device("cpu"))
    assert reader.add(torch.tensor([1.0, 2.0, 3.0]), {0: ("a", 7), 2: ("c", 1)}) == [("a", 7, 1.0), ("c", 1, 3.0)]
    assert reader.drain() == []


def test_late_losses_are_read_in_order() -> None:
    """As on a GPU: a few steps later, and all of them when drained."""
    reader: LossReader[str] = LossReader(torch.device("cpu"))
    reader._every = 2
    found = [entry for step in range(5) for entry in reader.add(torch.tensor([float(step)]), {0: ("a", step)})]
    assert found == [("a", 0, 0.0), ("a", 1, 1.0)]
    assert reader.drain() == [("a", step, float(step)) for step in (2, 3, 4)]
