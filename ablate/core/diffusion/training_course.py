"""How updates, epochs, images and the points of the learning curve follow from each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

CURVE_START, CURVE_RATIO = 25, math.sqrt(2.0)
"""Learning curves have a point every factor of sqrt(2) in updates, from 25 on, whatever the duration."""


@dataclass(frozen=True)
class TrainingCourse:
    """How updates follow from images: sizes of batches, epochs and the whole training."""

    images: int
    batch: int
    epochs: int
    spent: int = 0
    """Updates that are left out, because their work was spent elsewhere."""

    @property
    def per_epoch(self) -> int:
        """Updates per epoch; the last batch of an epoch may be smaller."""
        return math.ceil(self.images / self.batch)

    @property
    def total(self) -> int:
        """Updates in all."""
        return self.epochs * self.per_epoch - self.spent

    def images_seen(self, updates: int) -> int:
        """Training images seen in the first `updates` updates."""
        epochs, rest = divmod(updates, self.per_epoch)
        return epochs * self.images + rest * self.batch

    def curve_steps(self) -> list[int]:
        """Updates after which the learning curve has a point: a geometric grid and the end."""
        count = max(0, math.ceil(math.log(self.total / CURVE_START, CURVE_RATIO))) if self.total > CURVE_START else 0
        grid = {round(CURVE_START * CURVE_RATIO**k) for k in range(count)}
        return sorted({step for step in grid if step < self.total} | {self.total})
