"""The core ``replay``: the founding report's own program as it stands, so that its claims can be tested. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from ablate.core.replay.noise_tables import noise_table
from ablate.core.replay.settings import ReplaySettings
from ablate.core.shared.requirements import require_data
from ablate.interface import Core, CoreSettings, MetricInfo, Stage, TrialContext
from ablate.outcome import Outcome
from ablate.recipe import Recipe, digest_of

_DATA = ("data", "train_images", "test_images")
_PROGRAM = (*_DATA, "method", "batch_size", "num_blocks")
"""What recipes must have in common to be trained as one program."""
_MEMORY = (*_PROGRAM, "network", "eval_draws", "eval_steps")
"""What decides how much memory a trial needs: data, networks, batches, and how it is scored."""


class Replay(Core):
    """A residual denoiser of 1,680 parameters and an autoencoder of 168, scored the way the report scored them.

    Neither is what the report calls it (the core ``ddpm-dip`` has the real methods). Its PSNR is almost wholly the
    noise that the denoiser adds to a clean image while being scored: compare every arm with ``network: identity``.
    """

    name: ClassVar[str] = "replay"
    version: ClassVar[str] = "4"
    imports: ClassVar[tuple[str, ...]] = (
        *("ablate.core.replay.fused", "ablate.core.replay.trial"),
        "torch._dynamo",  # imported by the first optimizer
    )
    Settings: ClassVar[type[CoreSettings]] = ReplaySettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = (
        MetricInfo("psnr", "max", unit="dB", margin=0.1, doc="PSNR on [-1,1] with range 2, mean over images and draws"),
        MetricInfo("ssim", "max", margin=0.005, digits=4, doc="SSIM on [-1,1], 7x7 uniform window, range 2, same mean"),
        MetricInfo("psnr_eval_sd", "min", unit="dB", doc="standard deviation of one evaluation of one image"),
        MetricInfo("ssim_eval_sd", "min", digits=4, doc="standard deviation of one evaluation of one image"),
        MetricInfo("psnr_first_image", "max", unit="dB", doc="the report's protocol: first training image, one draw"),
        MetricInfo("ssim_first_image", "max", digits=4, doc="the report's protocol: first training image, one draw"),
        MetricInfo("train_loss", "min", scale="log", digits=6, doc="mean training loss of the denoiser's last epoch"),
        MetricInfo("dip_loss", "min", scale="log", digits=6, doc="mean training loss of the autoencoder's last epoch"),
        MetricInfo("train_seconds", "min", unit="s", scale="log", margin=0.05, doc="time to train the denoiser"),
        MetricInfo("dip_seconds", "min", unit="s", scale="log", margin=0.05, doc="time to train the autoencoder"),
        MetricInfo(
            "seconds_per_epoch", "min", unit="s", scale="log", margin=0.05, doc="time per epoch of the denoiser"
        ),
        MetricInfo(
            "dip_seconds_per_epoch", "min", unit="s", scale="log", margin=0.05, doc="time per epoch of the autoencoder"
        ),
        MetricInfo("score_seconds", "min", unit="s", scale="log", margin=0.05, doc="time for all evaluations"),
    )

    @classmethod
    def check(cls, settings: Any) -> list[str]:
        """Warn about what the report got wrong, and about settings that change nothing."""
        warnings = []
        if settings.noise_schedule == "polynomial":
            warnings.append(
                "noise_schedule polynomial is the report's table of that name, which equals its cosine table: this "
                "arm repeats cosine; polynomial-real is a real polynomial"
            )
        if settings.network == "identity":
            warnings.append("network identity is not trained: lr, batch_size and epochs have no effect")
        return warnings

    @classmethod
    def require(cls, settings: Any) -> None:
        """Raise DataError when the data set has to be fetched first."""
        require_data(settings.data)

    @classmethod
    def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
        """Return the autoencoder's and the denoiser's training. Durations are left out: a short one begins a long one.

        Noise tables count by their entries, not their names.
        """
        settings = ReplaySettings.model_validate(dict(recipe.settings))
        images = settings.train_images or (48_000 if settings.data == "cifar10" else 19_148)
        per_epoch = -(-images // settings.batch_size)
        found = []
        read: dict[str, Any] = {name: recipe.settings[name] for name in _DATA} | {"batch_size": settings.batch_size}
        if settings.trains_dip:
            # A learning curve with PSNR is kept only where the autoencoder itself is scored.
            values = read | {"dip_lr": settings.dip_lr, "scored": settings.method == "dip"}
            cost = 0.000055 * images * settings.dip_epochs
            found.append(_stage("dip", values, recipe.seed, cost, settings.dip_epochs * per_epoch))
        if settings.trains_denoiser:
            values = read | {
                "lr": settings.lr,
                "num_blocks": settings.num_blocks,
                "eval_steps": settings.eval_steps,
                "table": digest_of(noise_table(settings.noise_schedule)),
                "dip": [found[0].digest, settings.dip_epochs] if found else None,
            }
            cost = 0.000036 * images * settings.epochs * settings.num_blocks
            found.append(_stage("denoiser", values, recipe.seed, cost, settings.epochs * per_epoch))
        return tuple(found)

    @classmethod
    def batch_key(cls, recipe: Recipe) -> str:
        """Trainings of one shape on the same images: step sizes, tables, durations and seeds may differ."""
        if recipe.settings["network"] == "identity":
            return recipe.digest
        return digest_of({name: recipe.settings[name] for name in _PROGRAM})

    @classmethod
    def memory_key(cls, recipe: Recipe) -> str:
        """Networks are tiny: images and batches decide."""
        return digest_of({"core": cls.name} | {name: recipe.settings[name] for name in _MEMORY})

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterator[tuple[Recipe, Outcome]]:
        """Compute the recipes in one program where that was asked for or pays, else one after another."""
        from ablate.core.replay.fused import run_fused
        from ablate.core.replay.trial import run_recipe
        from ablate.core.replay.width import width_for

        width = width_for(recipes, context, self.batch_key(recipes[0]), self.stages(recipes[0]))
        if width:
            yield from run_fused(recipes, context, self.stages, width)
            return
        for recipe in recipes:
            yield recipe, run_recipe(recipe, context, self.stages(recipe))


def _stage(name: str, values: dict[str, Any], seed: int, cost: float, steps: int) -> Stage:
    whole = {"core": Replay.name, "version": Replay.version, "stage": name, "seed": seed, "settings": values}
    return Stage(name, digest_of(whole), cost, steps)
