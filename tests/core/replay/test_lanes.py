"""Trainings of the founding report's networks in lanes: as alone, whatever the companions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ablate.core.data import ImageSet
from ablate.core.programs.lanes import AdamMoments
from ablate.core.replay.core import Replay
from ablate.core.replay.lanes import ReplayLane, ReplayLanes
from ablate.core.replay.settings import ReplaySettings
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import StoppedError
from ablate.interface import EAGER, SERIAL, Compilation, Fusion
from ablate.outcome import Outcome, OutcomeKind
from ablate.recipe import Recipe
from tests.core.whose import OneArm

TOLERANCE = 1e-5
"""Relative, between a training in lanes and the same training alone, on losses and scores after some epochs."""
FOUR = Fusion(width=4, forced=True)


@dataclass
class Listener(OneArm):
    """A report that keeps the cache in a folder and stops after a number of looks."""

    root: Path
    fusion: Fusion = FOUR
    stop_after: int = 10**9
    looked: int = 0
    device: str = "cpu"
    threads: int = 1
    wanted: frozenset[str] = frozenset()
    checkpoint_due: bool = False
    saved: int = 0
    compilation: Compilation = EAGER

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def stop_requested(self) -> bool:
        self.looked += 1
        return self.looked > self.stop_after

    def checkpointed(self) -> None:
        self.saved += 1

    def folder(self, recipe: Recipe) -> Path:
        path = self.root / recipe.digest[:16]
        path.mkdir(parents=True, exist_ok=True)
        return path

    def progress(self, recipe: Recipe, stage: str, done: int, total: int, **numbers: float) -> None:
        assert 0 < done <= total

    def curve(self, recipe: Recipe, images: int, **values: float) -> None: ...

    def log(self, recipe: Recipe, text: str) -> None: ...


@pytest.fixture(autouse=True)
def few_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty smooth images: three full batches of eight and one of six."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(34, 3, 4, 4, generator=generator) * 255
    images = torch.nn.functional.interpolate(coarse, size=32, mode="bicubic").clamp(0, 255).to(torch.uint8)
    few = ImageSet("skimage-patches", images[:30], images[30:], images[30:], "0" * 64)
    monkeypatch.setattr("ablate.core.replay.trial.load", lambda name: few)


def _recipe(seed: int = 0, **settings: Any) -> Recipe:
    small: dict[str, Any] = {"batch_size": 8, "epochs": 2, "dip_epochs": 2, "num_blocks": 2, "test_images": 2}
    return Recipe("replay", ReplaySettings(**{**small, "eval_draws": 2, **settings}).resolved(), seed)


ARMS = (
    _recipe(),
    _recipe(1),
    _recipe(lr=0.01),
    _recipe(noise_schedule="cosine"),
    _recipe(noise_schedule="polynomial"),
    _recipe(epochs=4),
    _recipe(dip_epochs=3, dip_lr=0.01),
)


def _run(recipes: Sequence[Recipe], context: Listener) -> dict[str, Outcome]:
    return {recipe.digest: outcome for recipe, outcome in Replay().run(recipes, context)}


def _numbers(outcome: Outcome) -> dict[str, float]:
    """All metrics that are not times."""
    return {name: value for name, value in outcome.metrics.items() if "seconds" not in name}


def test_every_arm_is_what_it_is_alone(tmp_path: Path) -> None:
    """Other step sizes, tables, durations and seeds in one program: the numbers of each alone, within the tolerance."""
    together = _run(ARMS, Listener(tmp_path / "together"))
    alone = _run(ARMS, Listener(tmp_path / "alone", SERIAL))
    assert list(alone) == [recipe.digest for recipe in ARMS]
    for digest, outcome in alone.items():
        found, expected = _numbers(together[digest]), _numbers(outcome)
        assert found.pop("psnr") == pytest.approx(expected.pop("psnr"), abs=1e-5)  # near 0 dB here
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=1e-6)
        assert together[digest].images_seen == outcome.images_seen
        assert (together[digest].environment["lanes"], outcome.environment["lanes"]) == ("4", "1")


@pytest.mark.parametrize("method", ["ddpm", "dip"])
def test_methods_with_one_stage(method: str, tmp_path: Path) -> None:
    recipes = [_recipe(seed, method=method) for seed in range(3)]
    together = _run(recipes, Listener(tmp_path / "together"))
    for digest, outcome in _run(recipes, Listener(tmp_path / "alone", SERIAL)).items():
        found, expected = _numbers(together[digest]), _numbers(outcome)
        assert found.pop("psnr") == pytest.approx(expected.pop("psnr"), abs=1e-5)  # near 0 dB here
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=1e-6)


def test_companions_change_no_bit(tmp_path: Path) -> None:
    """Other neighbours, another lane, fewer trainings than lanes: bitwise the same at one width."""
    all_of_them = _run(ARMS, Listener(tmp_path / "all"))
    backwards = _run(ARMS[::-1], Listener(tmp_path / "backwards"))
    single = _run(ARMS[2:3], Listener(tmp_path / "single"))
    assert {digest: _numbers(one) for digest, one in all_of_them.items()} == {
        digest: _numbers(one) for digest, one in backwards.items()
    }
    assert _numbers(single[ARMS[2].digest]) == _numbers(all_of_them[ARMS[2].digest])


def test_a_lane_is_refilled_with_the_next_training(tmp_path: Path) -> None:
    """More trainings than lanes give the bits of a lane for each that is fresh."""
    seeds = [_recipe(seed, method="ddpm", epochs=1 + seed % 3) for seed in range(6)]
    queued = _run(seeds, Listener(tmp_path / "queued"))
    apart = {
        digest: outcome
        for seed in seeds
        for digest, outcome in _run([seed], Listener(tmp_path / str(seed.seed))).items()
    }
    assert {digest: _numbers(one) for digest, one in queued.items()} == {
        digest: _numbers(one) for digest, one in apart.items()
    }


def test_a_diverging_companion_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes an outcome of its own with the images it had seen; the others are what they are without it."""
    healthy = [_recipe(seed, method="ddpm") for seed in (0, 1)]
    expected = _run(healthy, Listener(tmp_path / "healthy"))
    feed = ReplayLane.feed

    def poisoned(self: ReplayLane, lanes: ReplayLanes, lane: int) -> None:
        feed(self, lanes, lane)
        if self.recipe.seed == 9 and self.step == 2:
            lanes.sigma[lane] = math.inf

    monkeypatch.setattr(ReplayLane, "feed", poisoned)
    ill = _recipe(9, method="ddpm")
    found = _run([healthy[0], ill, healthy[1]], Listener(tmp_path / "mixed"))
    assert found[ill.digest].kind is OutcomeKind.DIVERGED
    assert found[ill.digest].images_seen == 24
    for recipe in healthy:
        assert _numbers(found[recipe.digest]) == _numbers(expected[recipe.digest])


@pytest.mark.parametrize("stop_after", [2, 6, 11, 15])
def test_stopped_and_continued_is_undisturbed(stop_after: int, tmp_path: Path) -> None:
    """Every lane has its checkpoint, and goes on from it bit for bit."""
    expected = _run(ARMS[:3], Listener(tmp_path / "undisturbed"))
    context = Listener(tmp_path / "stopped", stop_after=stop_after)
    with pytest.raises(StoppedError):
        _run(ARMS[:3], context)
    context.stop_after = 10**9
    found = _run(ARMS[:3], context)
    assert {digest: _numbers(one) for digest, one in found.items()} == {
        digest: _numbers(one) for digest, one in expected.items()
    }


def test_shared_stages_are_charged_once(tmp_path: Path) -> None:
    """Of trials that share a stage one pays for it; the others name it as reused. All together is what was spent."""
    context = Listener(tmp_path)
    found = _run(ARMS, context)
    shared = [_recipe(), ARMS[2], ARMS[3], ARMS[4], ARMS[5]]
    payers = [recipe for recipe in shared if "dip" not in found[recipe.digest].reused]
    assert len(payers) == 1
    assert all(outcome.seconds > outcome.metrics["train_seconds"] for outcome in found.values())


def test_alone_after_lanes_reuses_them(tmp_path: Path) -> None:
    """What lanes leave in the stage cache is what a training alone continues from."""
    context = Listener(tmp_path)
    _run(ARMS[:2], context)
    context.fusion = SERIAL
    longer = _recipe(epochs=4)
    outcome = _run([longer], context)[longer.digest]
    assert set(outcome.reused) == {"dip", "denoiser"}
    alone = _run([longer], Listener(tmp_path / "alone", SERIAL))[longer.digest]
    assert _numbers(outcome) == pytest.approx(_numbers(alone), rel=TOLERANCE, abs=1e-6)


def test_put_and_take_are_inverse(tmp_path: Path) -> None:
    """Weights and Adam's state come back as they went in, and a cleared lane is empty."""
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3))
    adam = torch.optim.Adam(network.parameters(), fused=True)
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    adam.step()
    lanes = ReplayLanes(network, torch.zeros(4, 3, 8, 8, dtype=torch.uint8), 3, 2, dips=False)
    lanes.put(1, network, AdamMoments(adam))
    kept = [parameter.clone() for parameter in network.parameters()]
    states = [{name: value.clone() for name, value in adam.state[own].items()} for own in network.parameters()]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    adam.state.clear()
    lanes.take(1, network, AdamMoments(adam))
    assert all(torch.equal(a, b) for a, b in zip(kept, network.parameters(), strict=True))
    for own, before in zip(network.parameters(), states, strict=True):
        assert all(torch.equal(adam.state[own][name], before[name]) for name in before)
    assert int((lanes.flat != 0).sum()) == 168
    lanes.clear(1)
    assert not lanes.flat.any()


def test_batch_keys(tmp_path: Path) -> None:
    """What changes the program's shape keeps recipes apart; numbers do not."""
    key = Replay.batch_key(_recipe())
    same = (_recipe(5), _recipe(lr=0.1), _recipe(noise_schedule="cosine"), _recipe(epochs=9), _recipe(dip_epochs=9))
    assert {Replay.batch_key(recipe) for recipe in same} == {key}
    other = (_recipe(batch_size=9), _recipe(num_blocks=3), _recipe(method="ddpm"), _recipe(train_images=9))
    assert key not in {Replay.batch_key(recipe) for recipe in other}
    identity = _recipe(network="identity")
    assert Replay.batch_key(identity) == identity.digest
    assert StageFolder(tmp_path, "x").steps("epoch") == []
