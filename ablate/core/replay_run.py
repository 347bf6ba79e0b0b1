"""One trial of the core ``replay``: train the autoencoder, train the denoiser on its output, score."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ablate.core.cache import StageFolder
from ablate.core.data import as_unit, load
from ablate.core.grids import save_grid
from ablate.core.metrics import psnr_seed
from ablate.core.numerics import device_name
from ablate.core.replay_network import Autoencoder, Denoiser, draw
from ablate.core.replay_score import Restore, denoise, score
from ablate.core.replay_settings import ReplaySettings
from ablate.core.replay_tables import noise_table
from ablate.core.replay_train import Predict, Training, train
from ablate.core.seeding import generator
from ablate.errors import DataError
from ablate.interface import Report, Stage
from ablate.outcome import Outcome, OutcomeKind
from ablate.paths import TrialPaths
from ablate.recipe import Recipe

CHOICE_SEED = 0
"""The images are the same for all seeds: trials differ in initialisation, order and noise only."""
CURVE_DRAWS = 2
SAMPLES = 8


@dataclass
class Trial:
    """What one trial has so far."""

    settings: ReplaySettings
    recipe: Recipe
    report: Report
    train_images: Tensor
    """uint8 [N,3,H,W] on the device."""
    test: Tensor
    """float32 [M,3,H,W] in [-1,1] on the device."""
    stages: dict[str, Stage]
    metrics: dict[str, float] = field(default_factory=dict)
    reused: dict[str, float] = field(default_factory=dict)
    images_seen: int = 0
    data_note: str = ""

    @property
    def first(self) -> Tensor:
        """The first training image, float32 [1,3,H,W] in [-1,1]."""
        return as_unit(self.train_images[:1])

    def generator(self, purpose: str, device: str) -> torch.Generator:
        """A stream of this trial's seed on `device`."""
        return generator(self.recipe.seed, purpose, device=device)


def run_recipe(recipe: Recipe, report: Report, stages: Sequence[Stage]) -> Outcome:
    """Compute one recipe with its `stages`.

    Raises DivergedError at the first non-finite loss or score, StoppedError when asked to stop.
    """
    start = time.perf_counter()
    trial = _prepare(recipe, report, stages)
    dip = _train_dip(trial) if trial.settings.trains_dip else None
    restore = _restore_by_dip(dip) if trial.settings.method == "dip" and dip else _restore_by_denoiser(trial, dip)
    before = time.perf_counter()
    draws = trial.settings.eval_draws
    scores = score(restore, trial.test, trial.first, seed=recipe.seed, draws=draws, images_seen=trial.images_seen)
    trial.metrics |= scores.metrics | {"score_seconds": time.perf_counter() - before}
    samples = _save_samples(trial, dip, restore)
    return Outcome(
        kind=OutcomeKind.MEASURED,
        recipe_digest=recipe.digest,
        metrics=trial.metrics,
        seconds=time.perf_counter() - start + sum(trial.reused.values()),
        images_seen=trial.images_seen,
        device=report.device,
        device_name=device_name(trial.test.device),
        reused=trial.reused,
        samples=samples,
        environment={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": str(report.threads),
        },
        notes=tuple(note for note in (trial.data_note, *scores.notes) if note),
    )


def _prepare(recipe: Recipe, report: Report, stages: Sequence[Stage]) -> Trial:
    """Bring the images to the device: a fixed subset of the training images, and a fixed choice of held-out ones."""
    settings = ReplaySettings.model_validate(dict(recipe.settings))
    images = load(settings.data)
    count = settings.train_images or len(images.train)
    train_images = _choose(images.train, count, "train_images", settings.data).to(report.device)
    test = _choose(images.test, settings.test_images, "test_images", settings.data).to(report.device)
    by_name = {stage.name: stage for stage in stages}
    return Trial(settings, recipe, report, train_images, as_unit(test), by_name, data_note=images.note)


def _choose(images: Tensor, count: int, setting: str, data: str) -> Tensor:
    """Return `count` of `images` (uint8 [N,3,H,W]), the same in every trial; DataError when there are fewer."""
    if count > len(images):
        raise DataError(f"{setting} is {count}, but {data} has only {len(images)}")
    return images[torch.randperm(len(images), generator=generator(CHOICE_SEED, f"replay-{setting}"))[:count]]


def _train_dip(trial: Trial) -> Autoencoder:
    """Train the autoencoder and freeze it."""
    settings = trial.settings
    network = Autoencoder()
    draw(network, trial.generator("replay-dip-init", "cpu"))
    curve = _curve_score(_restore_by_dip(network), trial) if settings.method == "dip" else None
    _train(trial, "dip", network, lambda x, noise: network(x), curve, lr=settings.dip_lr, epochs=settings.dip_epochs)
    return network.requires_grad_(False)


def _restore_by_denoiser(trial: Trial, dip: Autoencoder | None) -> Restore:
    """Train the denoiser, on the autoencoder's output where there is one, and return the report's evaluation of it."""
    settings = trial.settings
    table = noise_table(settings.noise_schedule)
    identity = settings.network == "identity"
    network = Denoiser(settings.num_blocks, table, identity=identity).to(trial.test.device)
    restore: Restore = lambda images, noise: denoise(network, images, noise, settings.eval_steps)  # noqa: E731
    if identity:
        return restore
    draw(network, trial.generator("replay-denoiser-init", "cpu"))

    def predict(x: Tensor, noise: torch.Generator) -> Tensor:
        # One level for the whole batch, as in the report.
        t = torch.randint(len(table), (1,), generator=noise, device=x.device)
        output: Tensor = network(x if dip is None else dip(x), t, noise)
        return output

    curve = _curve_score(restore, trial)
    _train(trial, "denoiser", network, predict, curve, lr=settings.lr, epochs=settings.epochs)
    return restore


def _restore_by_dip(network: Autoencoder) -> Restore:
    """The autoencoder's output itself."""

    @torch.no_grad()
    def restore(images: Tensor, noise: torch.Generator) -> Tensor:
        output: Tensor = network(images)
        return output

    return restore


def _train(
    trial: Trial,
    name: str,
    network: nn.Module,
    predict: Predict,
    curve: Callable[[], float] | None,
    *,
    lr: float,
    epochs: int,
) -> None:
    """Train one network in its stage folder and record what it cost, whoever paid."""
    training = Training(
        name=name,
        network=network,
        predict=predict,
        images=trial.train_images,
        seed=trial.recipe.seed,
        lr=lr,
        batch=trial.settings.batch_size,
        epochs=epochs,
        score=curve,
    )
    folder = StageFolder(trial.report.cache, trial.stages[name].digest)
    before = train(training, folder, trial.report, trial.recipe)
    if before:
        trial.reused[name] = before
    trial.images_seen += training.images_seen
    prefix, seconds = ("", "train_seconds") if name == "denoiser" else ("dip_", "dip_seconds")
    trial.metrics[seconds] = training.seconds
    trial.metrics[f"{prefix}seconds_per_epoch"] = training.seconds / epochs
    trial.metrics["train_loss" if name == "denoiser" else "dip_loss"] = training.curve[-1][1]


def _curve_score(restore: Restore, trial: Trial) -> Callable[[], float]:
    """The learning curve's PSNR: few draws of every test image, with the same noise at every point."""

    def once() -> float:
        noise = trial.generator("replay-curve", trial.report.device)
        return (
            torch.stack([psnr_seed(restore(trial.test, noise), trial.test).mean() for _ in range(CURVE_DRAWS)])
            .mean()
            .item()
        )

    return once


def _save_samples(trial: Trial, dip: Autoencoder | None, restore: Restore) -> str:
    """Write the trial's sample grid and return its file name."""
    clean = trial.test[:SAMPLES]
    noise = trial.generator("replay-samples", trial.report.device)
    rows = [("original", clean)]
    if dip is not None:
        rows.append(("DIP as the report had it", _restore_by_dip(dip)(clean, noise)))
    if trial.settings.method != "dip":
        rows.append(("scored by the report", restore(clean, noise)))
    paths = TrialPaths(trial.report.folder(trial.recipe))
    save_grid(paths.samples, rows)
    return paths.samples.name
