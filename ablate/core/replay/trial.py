"""One trial of the core ``replay``: train the autoencoder, train the denoiser on its output, score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata

import torch
from torch import Tensor, nn

from ablate.core.data import as_unit, load
from ablate.core.data.image_grids import save_grid
from ablate.core.programs.fusion_choice import charge
from ablate.core.replay.network import Autoencoder, ReplayDenoiser, draw
from ablate.core.replay.noise_tables import noise_table
from ablate.core.replay.score import Restore, denoise, score
from ablate.core.replay.settings import ReplaySettings
from ablate.core.replay.training import Loss, Training, train
from ablate.core.scores.psnr_ssim import CONVENTION_PSNR_SEED, CONVENTION_SSIM_SEED, psnr_seed
from ablate.core.shared.numerics import Plain, apply_numerics, device_name, environment
from ablate.core.shared.seeding import generator
from ablate.core.shared.stage_cache import StageFolder
from ablate.errors import DataError, DivergedError
from ablate.interface import Stage, TrialContext
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
    context: TrialContext
    train_images: Tensor
    """uint8 [N,3,H,W] on the device."""
    test: Tensor
    """float32 [M,3,H,W] in [-1,1] on the device."""
    stages: dict[str, Stage]
    spent: dict[str, float]
    """Stage digest -> seconds that it has cost in a program of several recipes and nobody is charged for yet."""
    charged: float = 0.0
    """Of them, the seconds charged to this trial."""
    lanes: int = 1
    """Width of the widest program that trained a part of it."""
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


def run_recipe(
    recipe: Recipe, context: TrialContext, stages: Sequence[Stage], spent: dict[str, float] | None = None
) -> Outcome:
    """Compute one recipe with its `stages`; a divergence is an outcome too. Raises StoppedError when asked to stop.

    `spent` says what stages (by digest) have cost this recipe just now, in a program of several recipes; what is
    charged to it is taken out.
    """
    start = time.perf_counter()
    trial = prepare(recipe, context, stages, spent=spent)
    try:
        restore, dip = _trained(trial)
        before = time.perf_counter()
        scores = score(
            restore,
            trial.test,
            trial.first,
            seed=recipe.seed,
            draws=trial.settings.eval_draws,
            images_seen=trial.images_seen,
        )
    except DivergedError as error:
        return diverged(trial, error, time.perf_counter() - start)
    trial.metrics |= scores.metrics | {"score_seconds": time.perf_counter() - before}
    samples = _save_samples(trial, dip, restore)
    outcome = _outcome(trial, OutcomeKind.MEASURED, time.perf_counter() - start, trial.images_seen)
    notes = tuple(note for note in (trial.data_note, *scores.notes) if note)
    return replace(outcome, samples=samples, notes=notes)


def diverged(trial: Trial, error: DivergedError, seconds: float) -> Outcome:
    """Return the outcome of a trial whose loss or score was not finite."""
    trial.context.log(trial.recipe, f"diverged: {error}")
    outcome = _outcome(trial, OutcomeKind.DIVERGED, seconds, error.images_seen)
    return replace(outcome, error=str(error), metrics={})


def _outcome(trial: Trial, kind: OutcomeKind, seconds: float, images_seen: int) -> Outcome:
    return Outcome(
        kind=kind,
        recipe_digest=trial.recipe.digest,
        metrics=trial.metrics,
        seconds=seconds + trial.charged + sum(trial.reused.values()),
        images_seen=images_seen,
        device=trial.context.device,
        device_name=device_name(trial.test.device),
        reused=trial.reused,
        environment={
            **environment(Plain(), trial.context.threads),
            "lanes": str(trial.lanes),
            "numba": metadata.version("numba"),
            "psnr": CONVENTION_PSNR_SEED,
            "ssim": CONVENTION_SSIM_SEED,
        },
    )


def prepare(
    recipe: Recipe,
    context: TrialContext,
    stages: Sequence[Stage],
    *,
    spent: dict[str, float] | None = None,
    like: Trial | None = None,
) -> Trial:
    """Bring the images to the device: a fixed subset of the training images, and a fixed choice of held-out ones.

    A trial on the same data, `like`, gives its own instead.
    """
    apply_numerics(Plain())
    settings = ReplaySettings.model_validate(dict(recipe.settings))
    by_name = {stage.name: stage for stage in stages}
    spent = {} if spent is None else spent
    if like is not None:
        return Trial(settings, recipe, context, like.train_images, like.test, by_name, spent, data_note=like.data_note)
    images = load(settings.data)
    count = settings.train_images or len(images.train)
    train_images = _choose(images.train, count, "train_images", settings.data).to(context.device)
    test = _choose(images.test, settings.test_images, "test_images", settings.data).to(context.device)
    return Trial(settings, recipe, context, train_images, as_unit(test), by_name, spent, data_note=images.note)


def _choose(images: Tensor, count: int, setting: str, data: str) -> Tensor:
    """Return `count` of `images` (uint8 [N,3,H,W]), the same in every trial; DataError when there are fewer."""
    if count > len(images):
        raise DataError(f"{setting} is {count}, but {data} has only {len(images)}")
    return images[torch.randperm(len(images), generator=generator(CHOICE_SEED, f"replay-{setting}"))[:count]]


def _trained(trial: Trial) -> tuple[Restore, Autoencoder | None]:
    """Train what the method trains; return the report's evaluation of it, and the autoencoder."""
    dip = frozen_dip(trial) if trial.settings.trains_dip else None
    if dip is not None and trial.settings.method == "dip":
        return _restore_by_dip(dip), dip
    if trial.settings.network == "identity":
        return _restore_by_denoiser(untrained_denoiser(trial), trial), dip
    training = denoiser_training(trial, dip)
    _finish(trial, training, trial.settings.epochs)
    assert isinstance(training.network, ReplayDenoiser)
    return _restore_by_denoiser(training.network, trial), dip


def frozen_dip(trial: Trial) -> Autoencoder:
    """Train the autoencoder, as far as the cache does not hold it, and freeze it."""
    training = dip_training(trial)
    _finish(trial, training, trial.settings.dip_epochs)
    assert isinstance(training.network, Autoencoder)
    return training.network.requires_grad_(False)


def dip_training(trial: Trial) -> Training:
    """The autoencoder's training from its beginning."""
    network = Autoencoder()
    draw(network, trial.generator("replay-dip-init", "cpu"))
    curve = _curve_score(_restore_by_dip(network), trial) if trial.settings.method == "dip" else None
    loss: Loss = lambda x, noise: network.loss(x)  # noqa: E731
    return _training(trial, "dip", network, loss, curve, lr=trial.settings.dip_lr, epochs=trial.settings.dip_epochs)


def untrained_denoiser(trial: Trial) -> ReplayDenoiser:
    """The denoiser with the trial's noise table; its weights are not drawn yet."""
    settings = trial.settings
    table = noise_table(settings.noise_schedule)
    return ReplayDenoiser(settings.num_blocks, table, identity=settings.network == "identity").to(trial.test.device)


def denoiser_training(trial: Trial, dip: Autoencoder | None) -> Training:
    """The denoiser's training from its beginning, on the autoencoder's output where there is one."""
    network = untrained_denoiser(trial)
    draw(network, trial.generator("replay-denoiser-init", "cpu"))

    def loss(x: Tensor, noise: torch.Generator) -> Tensor:
        # One level for the whole batch, as in the report.
        t = torch.randint(len(network.table), (1,), generator=noise, device=x.device)
        return network.loss(x if dip is None else dip(x), x, t, noise)

    curve = _curve_score(_restore_by_denoiser(network, trial), trial)
    settings = trial.settings
    return _training(trial, "denoiser", network, loss, curve, lr=settings.lr, epochs=settings.epochs)


def _restore_by_denoiser(network: ReplayDenoiser, trial: Trial) -> Restore:
    """The report's evaluation of a denoiser."""
    return lambda images, noise: denoise(network, images, noise, trial.settings.eval_steps)


def _restore_by_dip(network: Autoencoder) -> Restore:
    """The autoencoder's output itself."""

    @torch.no_grad()
    def restore(images: Tensor, noise: torch.Generator) -> Tensor:
        output: Tensor = network(images)
        return output

    return restore


def _training(
    trial: Trial,
    name: str,
    network: nn.Module,
    loss: Loss,
    curve: Callable[[], float] | None,
    *,
    lr: float,
    epochs: int,
) -> Training:
    return Training(
        name=name,
        network=network,
        loss=loss,
        images=trial.train_images,
        seed=trial.recipe.seed,
        lr=lr,
        batch=trial.settings.batch_size,
        epochs=epochs,
        score=curve,
    )


def _finish(trial: Trial, training: Training, epochs: int) -> None:
    """Train one network to its end in its stage folder and record what it cost, whoever paid."""
    name, digest = training.name, trial.stages[training.name].digest
    before = train(training, StageFolder(trial.context.cache, digest), trial.context, trial.recipe)
    charged = charge(trial.spent, digest, before)
    trial.charged += charged
    if before > charged:
        trial.reused[name] = before - charged
    trial.lanes = max(trial.lanes, training.lanes)
    trial.images_seen += training.images_seen
    prefix, seconds = ("", "train_seconds") if name == "denoiser" else ("dip_", "dip_seconds")
    trial.metrics[seconds] = training.seconds
    trial.metrics[f"{prefix}seconds_per_epoch"] = training.seconds / epochs
    trial.metrics["train_loss" if name == "denoiser" else "dip_loss"] = training.curve[-1][1]


def _curve_score(restore: Restore, trial: Trial) -> Callable[[], float]:
    """The learning curve's PSNR: few draws of every test image, with the same noise at every point."""

    def once() -> float:
        noise = trial.generator("replay-curve", trial.context.device)
        return (
            torch.stack([psnr_seed(restore(trial.test, noise), trial.test).mean() for _ in range(CURVE_DRAWS)])
            .mean()
            .item()
        )

    return once


def _save_samples(trial: Trial, dip: Autoencoder | None, restore: Restore) -> str:
    """Write the trial's sample grid and return its file name."""
    clean = trial.test[:SAMPLES]
    noise = trial.generator("replay-samples", trial.context.device)
    rows = [("original", clean)]
    if dip is not None:
        rows.append(("DIP as the report had it", _restore_by_dip(dip)(clean, noise)))
    if trial.settings.method != "dip":
        rows.append(("scored by the report", restore(clean, noise)))
    paths = TrialPaths(trial.context.folder(trial.recipe))
    save_grid(paths.samples, rows)
    return paths.samples.name
