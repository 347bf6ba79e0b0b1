"""A realistic study with fabricated results, for every test of tables, pages and figures."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.outcome import OutcomeKind
from ablate.paths import StudyPaths
from ablate.recipe import Recipe, Scalar
from ablate.report.build import gather
from ablate.report.data.material import Material
from ablate.storage.rows import TrialRow
from ablate.study.spec import Arm, MetricSpec, Study

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
SETTINGS: dict[str, Scalar] = {
    "method": "dip+ddpm",
    "data": "skimage-patches",
    "noise_schedule": "linear",
    "schedule_power": 2.0,
    "zero_terminal_snr": False,
    "diffusion_steps": 1000,
    "lr": 0.001,
    "dip_lr": 0.01,
    "batch_size": 64,
    "dip_epochs": 10,
}
METRICS = (
    MetricSpec("psnr", "max", margin=0.1, primary=True, unit="dB"),
    MetricSpec("ssim", "max", margin=0.005, digits=4),
    MetricSpec("train_seconds", "min", scale="log", margin=0.05, relative=True, unit="s", digits=1),
)
# arm -> (mean PSNR difference, noise of the difference, time ratio, diverged seeds)
EFFECTS: dict[str, tuple[float, float, float, tuple[int, ...]]] = {
    "baseline": (0.0, 0.0, 1.0, ()),
    "noise_schedule=cosine": (-0.31, 0.09, 1.0, ()),
    "noise_schedule=exponential": (0.005, 0.03, 1.0, ()),
    "dip_epochs=5": (-0.12, 0.25, 0.8, ()),
    "dip_epochs=20": (0.58, 0.06, 1.93, ()),
    "both lr 0.03": (0.0, 0.1, 1.0, (0, 1, 3, 4)),
}


def arm(name: str, factor: str | None = None, **levels: Scalar) -> Arm:
    return Arm(name=name, levels=levels, settings={**SETTINGS, **levels}, factor=factor)


def make_study(**changes: Any) -> Study:
    arms = (
        arm("baseline"),
        arm("noise_schedule=cosine", "noise_schedule", noise_schedule="cosine"),
        arm("noise_schedule=exponential", "noise_schedule", noise_schedule="exponential"),
        arm("dip_epochs=5", "dip_epochs", dip_epochs=5),
        arm("dip_epochs=20", "dip_epochs", dip_epochs=20),
        arm("both lr 0.03", lr=0.03, dip_lr=0.03),
    )
    study = Study(
        name="schedules",
        question="Does the noise schedule matter, with DIP as initial prior?",
        core="ddpm-dip",
        arms=arms,
        factors=("noise_schedule", "dip_epochs", "lr", "dip_lr"),
        metrics=METRICS,
        looks=(5,),
        text="question: Does the noise schedule matter?\nbaseline: {noise_schedule: linear}\n",
        file="studies/example.yaml",
    )
    return replace(study, **changes)


def make_row(
    study: Study, arm: Arm, seed: int, number: int, effect: tuple[float, float, float, tuple[int, ...]]
) -> TrialRow:
    """One fabricated trial: the seed moves every arm alike, the arm adds its effect and a little noise."""
    difference, spread, ratio, lost = effect
    shared = np.random.default_rng(seed).normal(0, 0.12)
    own = np.random.default_rng([seed, *arm.name.encode()])
    psnr = 27.36 + shared + difference + spread * own.normal()
    seconds = 12.0 * ratio * float(np.exp(0.01 * own.normal()))
    diverged = seed in lost
    curve = tuple((images, float(psnr - 4 * np.exp(-images / 3000))) for images in range(0, 12001, 2000))
    metrics = {"psnr": float(psnr), "ssim": float(0.8 + psnr / 300), "train_seconds": seconds, "nfe": 5.0}
    kind = OutcomeKind.DIVERGED if diverged else OutcomeKind.MEASURED
    error = {"error": "loss is nan"} if diverged else {}
    return TrialRow(
        number=number,
        arm=arm.name,
        seed=seed,
        state="FAIL" if diverged else "COMPLETE",
        outcome=kind,
        metrics={} if diverged else metrics,
        seconds=seconds + 3.0,
        device="cpu",
        recipe_digest=Recipe(study.core, arm.settings, seed).digest,
        curve=curve[:2] if diverged else curve,
        attributes={
            "device_name": "Example CPU",
            "commit": "c" * 40,
            "environment": {"torch": "2.14.0", "threads": "1"},
            **error,
        },
        started_at=f"2026-03-01T10:{number % 60:02d}:00+00:00",
        finished_at=f"2026-03-01T11:{number % 60:02d}:00+00:00",
    )


def make_rows(study: Study, seeds: int = 5) -> list[TrialRow]:
    cells = [(seed, one) for seed in range(seeds) for one in study.arms]
    quiet = (0.0, 0.1, 1.0, ())
    return [make_row(study, one, seed, at, EFFECTS.get(one.name, quiet)) for at, (seed, one) in enumerate(cells)]


def add_images(paths: StudyPaths, study: Study, *, seed: int = 0) -> None:
    """Write a restored.npz and a training.npz for every arm but the diverged one."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:32, 0:32] / 31.0
    waves = [[np.sin(6 * x * (k + 1) + c) * np.cos(4 * y + k) for c in range(3)] for k in range(8)]
    original = (127.5 + 100 * np.array(waves)).astype(np.uint8)
    noise = rng.normal(0, 25, original.shape)

    def noisy(share: float) -> Any:
        return np.clip(original + share * noise, 0, 255).astype(np.uint8)

    for at, one in enumerate(study.arms[:-1]):
        folder = paths.trial(one.name, seed).folder
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / "restored.npz",
            original=original,
            noisy=noisy(1.0),
            start=noisy(0.5),
            restored=noisy(0.2 + 0.03 * at),
            generated=noisy(2.0)[::-1],
        )
        points = {str(images): noisy(2000 / images)[:4] for images in (1000, 400, 560, 2000, 2800)}
        np.savez_compressed(folder / "training.npz", **points)


@dataclass(frozen=True)
class Case:
    """A study with results in a folder of its own."""

    study: Study
    rows: list[TrialRow]
    paths: StudyPaths

    def material(self) -> Material:
        return gather(self.study, self.rows, self.paths, now=NOW)


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., Case]:
    """Return a builder: `make_case(seeds=3, looks=(3,))`."""

    def build(*, seeds: int = 5, images: bool = False, **changes: Any) -> Case:
        study = make_study(**changes)
        paths = StudyPaths(tmp_path / study.name)
        if images:
            add_images(paths, study)
        return Case(study, make_rows(study, seeds), paths)

    return build


@pytest.fixture
def case(make_case: Callable[..., Case]) -> Case:
    return make_case()


@pytest.fixture
def now() -> datetime.datetime:
    return NOW
