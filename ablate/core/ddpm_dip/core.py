"""The built-in core: DDPM, Deep Image Prior, and DDPM started from a Deep Image Prior. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar

from ablate.core.ddpm_dip import batch_rules
from ablate.core.ddpm_dip.evaluation_cost import evaluation_s
from ablate.core.ddpm_dip.metric_list import CLASSES, METRICS, ONLY_IN, ONLY_IN_CHANNELS, VALIDATION_SIGMAS
from ablate.core.ddpm_dip.setting_warnings import setting_warnings
from ablate.core.ddpm_dip.stages.digests import stages_of
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.data_info import LABELLED
from ablate.core.shared.requirements import image_counts, require_data, require_fid
from ablate.errors import AblateError
from ablate.interface import Core, CoreSettings, Fusion, MetricInfo, Stage, TrialContext
from ablate.outcome import Outcome
from ablate.recipe import Recipe, digest_of

NEEDS_LABELS = frozenset(info.name for info in CLASSES)

_NO_MEMORY = frozenset(
    {"noise_schedule", "schedule_power", "zero_terminal_snr", "prediction", "loss_weight", "noise_sigma", "split"}
    | {"lr", "epochs", "warmup_steps", "lr_decay", "ema_decay", "grad_clip", "horizontal_flip", "dropout", "optimizer"}
    | {"sample_steps", "eta", "variance", "start_sigma", "start_fraction", "data_consistency", "generation_steps"}
    | {"dip_steps", "dip_epochs", "dip_lr", "dip_stop", "dip_ema", "dip_patience", "dip_input_noise"}
)
"""Settings that change numbers or durations, not the memory a trial needs."""


def _require_quality(name: str, settings: Any) -> None:
    if settings.quality is None:
        raise AblateError(
            f"metric {name} needs a declared quality",
            hint="set the factor quality, in dB of psnr (restoration) or in gfd78 (generation)",
        )
    setting = "samples" if settings.task == "generation" else "eval_images"
    full = settings.samples if settings.task == "generation" else settings.eval_images * settings.eval_seeds
    if not name.startswith("steps_to_") and settings.uses_ddpm and settings.curve_count != full:
        raise AblateError(
            f"metric {name} reads the learning curve, whose points have {settings.curve_count} images; the declared "
            f"quality means {setting}: {full}",
            hint=f"set curve_images to {full}",
        )


class DdpmDip(Core):
    """Restores held-out noisy images with DDPM, DIP, or both, and measures quality and cost."""

    name: ClassVar[str] = "ddpm-dip"
    version: ClassVar[str] = "2"
    Settings: ClassVar[type[CoreSettings]] = DdpmDipSettings
    metrics: ClassVar[tuple[MetricInfo, ...]] = METRICS
    imports: ClassVar[tuple[str, ...]] = ("ablate.core.ddpm_dip.batch", "torch._dynamo")  # by the first optimizer

    @classmethod
    def check(cls, settings: Any) -> list[str]:
        """Warn about settings that can be computed but hardly mean what was wanted."""
        return list(setting_warnings(settings))

    @classmethod
    def require(cls, settings: Any) -> None:
        """Raise an AblateError when the data set has to be fetched first, or has too few images for `samples`."""
        require_data(settings.data)
        if settings.task == "generation":
            training, held_out = image_counts(settings.data, settings.split, settings.cap_per_image)
            most = min(training // 2, held_out)
            if settings.samples > most:
                raise AblateError(
                    f"samples: {settings.samples} generated images are compared with as many training images, with as "
                    f"many others and with as many held-out ones; {settings.data} has enough for {most}",
                    hint=f"set samples to {most} or less",
                )

    @classmethod
    def require_metrics(cls, settings: Any, names: Collection[str]) -> None:
        """Raise an AblateError for a metric that another task measures, or one that needs a setting."""
        if any(name.startswith("fid") for name in names):
            require_fid()
        for name in names:
            if ONLY_IN.get(name, settings.task) != settings.task:
                raise AblateError(
                    f"metric {name} belongs to task {ONLY_IN[name]}, and an arm of this study has task {settings.task}",
                    hint="name the metrics of the task under 'metrics'",
                )
            if name in NEEDS_LABELS and settings.data not in LABELLED:
                raise AblateError(
                    f"metric {name} needs images with labels, and {settings.data} has none",
                    hint=f"data sets with labels: {', '.join(LABELLED)}",
                )
            channels = settings.image_shape[0]
            if ONLY_IN_CHANNELS.get(name, channels) != channels:
                right = name.replace("gfd78", "gfd26") if channels == 1 else name.replace("gfd26", "gfd78")
                raise AblateError(
                    f"metric {name} is made for images of {ONLY_IN_CHANNELS[name]} channels, and those of "
                    f"{settings.data} have {channels}",
                    hint=f"name {right} instead",
                )
            if name.startswith(("steps_to_", "images_to_", "seconds_to_")):
                _require_quality(name, settings)

    @classmethod
    def stages(cls, recipe: Recipe) -> tuple[Stage, ...]:
        """Return the DIP and denoiser stages the recipe needs."""
        return stages_of(recipe, cls.version)

    @classmethod
    def rest_s(cls, recipe: Recipe, metrics: Collection[str]) -> float:
        """Return what the evaluation takes: all that the denoiser is asked for once it is trained, and on the way."""
        return evaluation_s(recipe, metrics)

    @classmethod
    def memory_key(cls, recipe: Recipe) -> str:
        """Return what decides the memory: networks, batches, images; not schedules, step sizes and durations."""
        settings = {name: value for name, value in recipe.settings.items() if name not in _NO_MEMORY}
        return digest_of({"core": recipe.core, "version": cls.version, "settings": settings})

    @classmethod
    def batch_key(cls, recipe: Recipe) -> str:
        """Networks of one shape in one arithmetic: schedules, targets, step sizes, durations, seeds may differ."""
        return batch_rules.batch_key(recipe)

    @classmethod
    def trainings(cls, recipe: Recipe, device: str, fusion: Fusion) -> dict[str, str | None]:
        """Return DIP fits and denoiser, each with why it is not fused with those of other recipes."""
        return batch_rules.trainings(recipe, device, fusion)

    def run(self, recipes: Sequence[Recipe], context: TrialContext) -> Iterator[tuple[Recipe, Outcome]]:
        """Compute the recipes, their DIPs and denoisers in programs where that was asked for or pays."""
        from ablate.core.ddpm_dip.batch import run_batch

        yield from run_batch(recipes, context, self.batch_key(recipes[0]), self.version, VALIDATION_SIGMAS)

    def measure(self, recipe: Recipe, context: TrialContext) -> Outcome:
        """Measure what `context` asks for from the stage cache."""
        from ablate.core.ddpm_dip.pipeline import measure_kept
        from ablate.core.ddpm_dip.stages.trial import Run

        return measure_kept(Run(recipe, context, self.version, VALIDATION_SIGMAS))
