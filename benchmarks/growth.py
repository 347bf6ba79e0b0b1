"""How cost grows with images, image size, arms and seeds: curves, and the exponent each of them follows.

    python -m benchmarks.growth [--figure FILE.png] [--json FILE]

Times are processor seconds of one thread (the same whatever else the machine does), the median of three. The exponent
is the slope of log time over log size between the two largest sizes: 1 is proportional, 2 quadratic.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch

from ablate.core.diffusion.build_unet import build_unet
from ablate.core.dip.fit import DipSettings, fit
from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.kid import kernel_distance
from ablate.core.scores.prdc import prdc
from ablate.report import compare

REPEATS = 3
FEATURES = 78


@dataclass(frozen=True)
class Curve:
    """Time of one piece of work over one size."""

    what: str
    over: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """Slope of the last piece in logarithms."""
        (a, b), (x, y) = self.sizes[-2:], self.seconds[-2:]
        return math.log(y / x) / math.log(b / a)


def curve(what: str, over: str, sizes: Sequence[int], make: Callable[[int], Callable[[], object]]) -> Curve:
    """Measure the work that `make` returns for every size, after one round that is not counted."""
    return Curve(what, over, tuple(sizes), tuple(_seconds(make(size)) for size in sizes))


def _seconds(work: Callable[[], object]) -> float:
    work()
    took = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return median(took)


def training_step(batch: int, side: int) -> Callable[[], object]:
    """One forward and backward pass of the first study's U-Net (16 channels, mults 1-2)."""
    network = build_unet(
        channels=16, mults=(1, 2), blocks=1, attention="none", dropout=0.0, image_size=side, seed=0
    ).train()
    images, steps = torch.randn(batch, 3, side, side), torch.ones(batch, dtype=torch.int64)
    return lambda: network(images, steps).square().mean().backward()


def dip(count: int, side: int) -> Callable[[], object]:
    """Ten DIP iterations on `count` images."""
    images = torch.rand(count, 3, side, side)
    return lambda: fit(images, DipSettings(steps=10, stop="fixed"), seed=0)


def features(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of random features."""
    drawn = torch.Generator().manual_seed(0)
    first, second = (torch.randn(count, FEATURES, generator=drawn, dtype=torch.float64) for _ in range(2))
    return first, second


def comparison(arms: int, seeds: int) -> Callable[[], object]:
    """All verdicts on one metric."""
    scores = np.random.default_rng(0).normal(size=(arms, seeds))
    names = ["baseline", *(f"arm {number}" for number in range(1, arms))]
    rows = [(name, seed, scores[place, seed]) for place, name in enumerate(names) for seed in range(seeds)]
    frame = pd.DataFrame(rows, columns=["arm", "seed", "score"])
    return lambda: compare(frame, baseline="baseline", metrics=["score:max"])


def curves() -> Iterator[Curve]:
    """Measure everything, cheapest first."""
    for name, metric in (("Frechet distance", frechet_distance), ("kernel distance", kernel_distance), ("PRDC", prdc)):
        pairs = {count: features(count) for count in (500, 1000, 2000, 4000)}
        yield curve(
            f"{name}, {FEATURES} features", "images", tuple(pairs), lambda n, f=metric, p=pairs: lambda: f(*p[n])
        )
    yield curve("verdicts, 5 seeds", "arms", (10, 100, 1000), lambda arms: comparison(arms, 5))
    yield curve("verdicts, 10 arms", "seeds", (5, 50, 500), lambda seeds: comparison(10, seeds))
    yield curve("U-Net step, 32x32", "images per batch", (4, 16, 64), lambda batch: training_step(batch, 32))
    yield curve("U-Net step, batch 4", "pixels per side", (16, 32, 64, 128), lambda side: training_step(4, side))
    yield curve("10 DIP iterations, 32x32", "images", (1, 4, 16, 64), lambda count: dip(count, 32))
    yield curve("10 DIP iterations, 1 image", "pixels per side", (32, 64, 128, 256), lambda side: dip(1, side))


def table(found: Sequence[Curve]) -> str:
    """Return the curves as a Markdown table."""
    lines = ["| work | over | sizes | processor ms | exponent at the end |", "|---|---|---|---|---:|"]
    for one in found:
        sizes = " / ".join(f"{size:,}" for size in one.sizes)
        took = " / ".join(f"{1000 * value:.3g}" for value in one.seconds)
        lines.append(f"| {one.what} | {one.over} | {sizes} | {took} | {one.exponent:.2f} |")
    return "\n".join(lines)


def draw(found: Sequence[Curve], path: Path) -> None:
    """Draw every curve on logarithmic axes, with the line of proportional growth."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 3, figsize=(10, 8.5), layout="constrained")
    for axis, one in zip(axes.flat, found, strict=True):
        axis.loglog(one.sizes, one.seconds, "o-", color="#0072B2")
        first = one.seconds[0]
        axis.loglog(one.sizes, [first * size / one.sizes[0] for size in one.sizes], ":", color="#767676")
        axis.set_title(f"{one.what}\nexponent {one.exponent:.2f}", fontsize=9)
        axis.set_xlabel(one.over, fontsize=9)
        axis.set_ylabel("processor s", fontsize=9)
        axis.set_xticks(one.sizes, [f"{size:,}" for size in one.sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, help="draw the curves into this file")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    words = parser.parse_args()
    torch.set_num_threads(1)
    found = list(curves())
    print(table(found))
    if words.figure is not None:
        draw(found, words.figure)
    if words.json is not None:
        words.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
