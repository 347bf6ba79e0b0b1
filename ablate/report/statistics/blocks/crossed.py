"""Differences crossed by block and seed: do they depend on the block, and what do the blocks share through a seed?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ablate.report.statistics.significance import Floats


@dataclass(frozen=True)
class Crossed:
    """The analysis of variance of d[block, seed] = effect + block + seed + rest, one value per cell."""

    blocks: int
    seeds: int
    of_blocks: float
    """Mean square of the blocks: `blocks` - 1 degrees of freedom."""
    of_seeds: float
    """Mean square of the seeds: `seeds` - 1 degrees of freedom."""
    rest: float
    """Mean square of what is left: the product of both."""

    @property
    def p_same(self) -> float | None:
        """p of the F test that the difference is the same in every block; None where there is no noise to test with."""
        if self.blocks < 2 or self.seeds < 2 or self.rest <= 0:
            return None
        above, below = self.blocks - 1, (self.blocks - 1) * (self.seeds - 1)
        return float(stats.f.sf(self.of_blocks / self.rest, above, below))

    @property
    def shared(self) -> tuple[float, float]:
        """What a seed adds to the variance of a mean over blocks and seeds, and the degrees of freedom with it in.

        A t over block means sees how blocks differ and how seeds scatter within them, but not what a seed does in
        every block alike (the same initialisation, say). That is (MS_seeds - MS_rest) / (B S), or 0 where it is
        negative; then the degrees of freedom are B - 1, else Satterthwaite's.
        """
        if self.blocks < 2 or self.seeds < 2 or self.of_seeds <= self.rest:
            return 0.0, float(max(1, self.blocks - 1))
        cells = self.blocks * self.seeds
        whole = self.of_blocks + self.of_seeds - self.rest
        parts = (
            self.of_blocks**2 / (self.blocks - 1)
            + self.of_seeds**2 / (self.seeds - 1)
            + self.rest**2 / ((self.blocks - 1) * (self.seeds - 1))
        )
        return (self.of_seeds - self.rest) / cells, float(min(self.blocks - 1, whole**2 / parts))


def crossed(differences: Floats) -> Crossed:
    """Return the mean squares of `differences` [blocks, seeds]; seeds with a gap in any block are left out."""
    whole = differences[:, np.isfinite(differences).all(axis=0)]
    blocks, seeds = whole.shape
    if not blocks or not seeds:
        return Crossed(blocks, seeds, np.nan, np.nan, np.nan)
    middle = whole.mean()
    by_block, by_seed = whole.mean(axis=1), whole.mean(axis=0)
    rest = whole - by_block[:, None] - by_seed[None, :] + middle
    return Crossed(
        blocks,
        seeds,
        _over(seeds * float(((by_block - middle) ** 2).sum()), blocks - 1),
        _over(blocks * float(((by_seed - middle) ** 2).sum()), seeds - 1),
        _over(float((rest**2).sum()), (blocks - 1) * (seeds - 1)),
    )


def _over(total: float, freedom: int) -> float:
    return total / freedom if freedom else 0.0
