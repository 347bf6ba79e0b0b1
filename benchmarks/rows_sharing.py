"""One computation once: the trials of ``sharing.yaml`` in one stage cache against each in an empty one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.core.ddpm_dip.core import DdpmDip
from ablate.core.shared.registry import core_class
from ablate.interface import EAGER, SERIAL, Compilation, Fusion
from ablate.recipe import Recipe
from ablate.study.plan import make_plan, replicates
from ablate.study.reading.load_study import load_study
from benchmarks.frame import ROOT, Row, clock, in_turn
from benchmarks.lanes_side import Silent

ROUNDS = 1
_TIMES = ("seconds", "_time", "_ms", "images_per")
"""Parts of the names of metrics that are times: they differ from run to run."""


@dataclass
class Quiet(Silent):
    """A report whose trials keep their stages below `cache`."""

    cache: Path
    device: str = "cpu"
    threads: int = 1
    fusion: Fusion = SERIAL
    compilation: Compilation = EAGER
    wanted: frozenset[str] = frozenset({"psnr", "ssim"})

    def folder(self, recipe: Recipe) -> Path:
        """The trial's own folder."""
        folder = self.cache.parent / recipe.digest
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def rows(deadline: float) -> Iterator[Row]:
    """All trials, in the order in which a run takes them: the longest first."""
    torch.set_num_threads(1)
    study = load_study(ROOT / "benchmarks" / "sharing.yaml", resolve_core=core_class)
    recipes = sorted((study.recipe(arm, 0) for arm in study.arms), key=_cost, reverse=True)
    metrics: dict[bool, list[dict[str, float]]] = {}

    def side(shared: bool) -> float:
        with tempfile.TemporaryDirectory() as folder:
            began = clock()
            metrics[shared] = list(_outcomes(recipes, Path(folder), shared=shared))
            return clock() - began

    apart, together, rounds = in_turn(lambda: side(shared=False), lambda: side(shared=True), ROUNDS, deadline)
    plan = make_plan(study, DdpmDip, replicates(study), {})
    same = metrics[False] == metrics[True]
    yield Row(
        name=f"{len(recipes)} trials with DIP durations and two schedules",
        unit="CPU s",
        theirs=f"each by itself: {_in_words({stage.name: stage.planned_steps for stage in plan.stages})}",
        theirs_took=apart,
        ours=f"sharing stages: {_in_words({stage.name: stage.executed_steps for stage in plan.stages})}",
        ours_took=together,
        agreement=f"{sum(map(len, metrics[True]))} metrics {'bitwise equal' if same else 'differ'}",
        agrees=same,
        predicted=f"{plan.planned_cost / plan.cost:.1f}x from the costs of stages",
        rounds=rounds,
        left_out="starts of processes",
    )


def _outcomes(recipes: Sequence[Recipe], folder: Path, *, shared: bool) -> Iterator[dict[str, float]]:
    for number, recipe in enumerate(recipes):
        cache = folder / ("shared" if shared else str(number)) / "cache"
        for _, outcome in DdpmDip().run([recipe], Quiet(cache)):
            yield {name: value for name, value in outcome.metrics.items() if not any(part in name for part in _TIMES)}


def _cost(recipe: Recipe) -> float:
    return sum(stage.cost for stage in DdpmDip.stages(recipe))


def _in_words(updates: dict[str, int]) -> str:
    return " + ".join(f"{count} steps of {name}" for name, count in updates.items() if count)
