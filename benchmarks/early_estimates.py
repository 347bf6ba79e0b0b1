"""Estimates after stopping early, side by side: the plain mean, stage-wise ordering, and conditional on the look.

    python -m benchmarks.early_estimates            # some minutes on one core

Eight arms of one effect, looks at 3, 4, 6, 8, 10 and 12 seeds, run as ``--until decided`` does. The unit is the
standard deviation of a paired difference. An estimate is median-unbiased if it is above the truth in half of all cases.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablate.report.statistics.sequential.boundaries import LookLevels
from ablate.report.statistics.sequential.expected_seeds import Courses, run_studies
from ablate.report.statistics.sequential.futility import drawn_variance
from ablate.report.statistics.significance import Floats
from ablate.study.verdict_method import Method
from benchmarks.verdict_statistics import ALPHA, ARMS, eight_arms, normal, table

LOOKS = (3, 4, 6, 8, 10, 12)
GRID: Floats = np.arange(-1.0, 8.01, 0.25)
"""Effects that courses are drawn for; every other effect gets its share of them by likelihood ratios."""
_COURSES = 800
"""Drawn per effect of the grid."""
_HALVINGS = 22


@dataclass(frozen=True)
class _Stage:
    """Courses at one look: sums of differences, and logarithms of their density under the mixture of the grid."""

    n: int
    total: Floats
    t: Floats
    density: Floats
    limit: float
    """t beyond which the look decides."""
    earlier: tuple[Floats, Floats, Floats]
    """n, sum and density of the courses that were called better at an earlier look."""

    def above(self, effect: float, mean: float) -> float:
        """Chance, but for a factor, of a decision for better before, or of a mean above `mean` now."""
        n, total, density = self.earlier
        before = np.exp(effect * total - n * effect**2 / 2 - density).sum()
        here = self.total / self.n >= mean
        now = np.exp(effect * self.total[here] - self.n * effect**2 / 2 - self.density[here]).sum()
        return float(before + now)

    def share(self, effect: float, t: float) -> float:
        """Chance of a t above `t` among the courses that are decided at this look."""
        decided = self.t >= min(self.limit, t)
        weights = effect * self.total[decided] - self.n * effect**2 / 2 - self.density[decided]
        weights = np.exp(weights - weights.max())
        return float(weights[self.t[decided] >= t].sum() / weights.sum())


def stages(rng: np.random.Generator) -> list[_Stage]:
    """Draw courses of one arm that is tested at alpha / arms; stopping for other reasons does not count."""
    levels = LookLevels(LOOKS, ALPHA, "spending")
    nominal = levels.nominal(np.full(len(LOOKS), ALPHA / ARMS), np.arange(len(LOOKS)))
    limits = -special.stdtrit(np.array(LOOKS) - 1, nominal / 2)
    drawn = rng.standard_normal((len(GRID) * _COURSES, LOOKS[-1])) + np.repeat(GRID, _COURSES)[:, None]
    total, squares = np.cumsum(drawn, axis=1), np.cumsum(drawn**2, axis=1)
    going = np.ones(len(drawn), dtype=np.bool_)
    found: list[_Stage] = []
    earlier = (np.zeros(0), np.zeros(0), np.zeros(0))
    for n, limit in zip(LOOKS, limits, strict=True):
        own, mean = total[:, n - 1], total[:, n - 1] / n
        t = mean * np.sqrt(n) / np.sqrt((squares[:, n - 1] - n * mean**2) / (n - 1))
        exponent = GRID * own[:, None] - n * GRID**2 / 2
        most = exponent.max(axis=1)
        density = np.log(np.exp(exponent - most[:, None]).mean(axis=1)) + most
        found.append(_Stage(n, own[going], t[going], density[going], float(limit), earlier))
        up = going & (t > limit)
        more = (np.full(up.sum(), float(n)), own[up], density[up])
        earlier = tuple(np.concatenate(pair) for pair in zip(earlier, more, strict=True))  # type: ignore[assignment]
        going &= np.abs(t) <= limit
    return found


def _solve(chance: object, target: float, low: float = GRID[0], high: float = GRID[-1]) -> float:
    """The effect at which a rising `chance` is `target`."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) < target else (low, middle)  # type: ignore[operator]
    return (low + high) / 2


def estimates(drawn: list[_Stage], courses: Courses, differences: Floats, early: Floats) -> tuple[Floats, Floats]:
    """Return the stage-wise estimate of every arm, and the conditional one of those decided early (NaN elsewhere)."""
    shape = courses.seeds.shape
    stagewise, conditional = np.zeros(shape), np.full(shape, np.nan)
    sd = np.zeros(shape)
    for place in np.ndindex(*shape):
        sd[place] = differences[place][: courses.seeds[place]].std(ddof=1)
    noise = np.sqrt(drawn_variance(sd**2, courses.seeds - 1.0))
    whole = float(len(GRID) * _COURSES)
    for place in np.ndindex(*shape):
        stage, mean = drawn[LOOKS.index(int(courses.seeds[place]))], float(courses.estimate[place])
        size, sign = abs(mean), np.sign(mean)
        found = _solve(lambda effect, s=stage, m=size / noise[place]: s.above(effect, m) / whole, 0.5)
        stagewise[place] = sign * found * noise[place]
        if early[place]:
            t = size * np.sqrt(stage.n) / sd[place]
            if (stage.t >= t).sum() >= 5:
                found = max(0.0, _solve(lambda effect, s=stage, t=t: s.share(effect, t), 0.5))
                conditional[place] = sign * found * sd[place]
    return stagewise, conditional


def _shown(found: Floats, effect: float) -> str:
    found = found[np.isfinite(found)]
    if len(found) < 20:
        return "-"
    error = np.sqrt(np.mean((found - effect) ** 2))
    return f"{np.median(found):.2f} / {np.mean(found > effect):.2f} / {error:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--studies", type=int, default=150)
    parser.add_argument("--seed", type=int, default=20261129)
    arguments = parser.parse_args()
    rng, began = np.random.default_rng(arguments.seed), time.monotonic()
    drawn = stages(rng)
    cells = []
    for effect in (0.5, 1.0, 1.5, 2.5):
        differences = eight_arms(rng, arguments.studies, LOOKS[-1], (effect,) * ARMS, normal)
        courses = run_studies(differences, LOOKS, ALPHA, Method())
        early = courses.decided & (courses.seeds < LOOKS[-1])
        stagewise, conditional = estimates(drawn, courses, differences, early)
        cells.append(
            (
                f"{effect:g}",
                _shown(courses.estimate.ravel(), effect),
                _shown(stagewise.ravel(), effect),
                f"{early.mean():.2f}",
                _shown(courses.estimate[early], effect),
                _shown(stagewise[early], effect),
                _shown(conditional[early], effect),
            )
        )
    title = "Estimates after stopping: median / share above the truth / root mean square error"
    early_head = ("decided early", "of those: plain", "stage-wise", "conditional on the look")
    table(title, ("effect", "all arms: plain", "stage-wise", *early_head), cells)
    print(f"\n{arguments.studies} studies of eight arms, seed {arguments.seed}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
