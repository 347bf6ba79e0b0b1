"""Which parts of a recipe can be shared: each stage's digest covers what the stage reads and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.data_info import FOLDER, KNOWN, folder_digest
from ablate.core.shared.requirements import image_counts
from ablate.errors import DataError
from ablate.interface import Stage
from ablate.recipe import Recipe, digest_of

_DATA = ("data", "split", "cap_per_image")
_DIP = (
    *_DATA,
    "dip_lr",
    "dip_architecture",
    "dip_channels",
    "dip_scales",
    "dip_ema",
    "dip_input_noise",
    "deterministic",
)
_DENOISER = (
    *_DATA,
    "train_images",
    "horizontal_flip",
    "noise_schedule",
    "zero_terminal_snr",
    "diffusion_steps",
    "prediction",
    "loss_weight",
    "step_law",
    "lr",
    "batch_size",
    "warmup_steps",
    "lr_decay",
    "ema_decay",
    "grad_clip",
    "channels",
    "channel_mults",
    "blocks",
    "attention",
    "dropout",
    "precision",
    "deterministic",
)

_SHAPE = (*_DATA, "channels", "channel_mults", "blocks", "attention", "precision", "deterministic")


_WARM = ("warm_source", "warm_steps", "warm_images", "dip_input_noise")


def _values(settings: DdpmDipSettings) -> dict[str, Any]:
    """The settings by name; a folder of images by what is in it and what is made of that, wherever it lies."""
    values: dict[str, Any] = settings.resolved()
    if settings.data.startswith(FOLDER):
        content = folder_digest(settings.data) or settings.data
        values["data"] = f"{FOLDER}{content} {'x'.join(map(str, settings.image_shape))}"
    return values


def _digest(kind: str, version: str, seed: int | None, values: Mapping[str, Any]) -> str:
    return digest_of({"stage": kind, "version": version, "seed": seed, "settings": dict(values)})


def dip_stage(settings: DdpmDipSettings, seed: int, version: str) -> Stage:
    """The DIP fits of the held-out noisy images.

    A short fit is the beginning of a long one, and fewer images are the first of more: neither number is in the digest.
    """
    values = _values(settings)
    names = [*_DIP, "noise_sigma", "dip_stop"]
    if settings.dip_stop == "wmv":
        names += ["dip_window", "dip_patience"]
    if settings.corruption != "noise":
        names += ["corruption"]
    if settings.corruption == "inpainting":
        names += ["mask_fraction"]
    if settings.eval_seeds > 1:  # the second evaluation of an image stands behind the first of all
        names += ["eval_seeds", "eval_images"]
    cost = _dip_seconds(settings) * settings.eval_images * settings.eval_seeds
    return Stage("dip", _digest("dip", version, seed, {name: values[name] for name in names}), cost, settings.dip_steps)


def dip_train_stage(settings: DdpmDipSettings, seed: int, version: str) -> Stage:
    """The DIP fits of the images that the denoiser is trained on; `dip_steps` is not in the digest here either."""
    values = _values(settings)
    names = [*_DIP, "train_images"]
    cost = _dip_seconds(settings) * images_of(settings)
    return Stage(
        "dip-train",
        _digest("dip-train", version, seed, {name: values[name] for name in names}),
        cost,
        settings.dip_steps,
    )


def _dip_seconds(settings: DdpmDipSettings) -> float:
    """About 2.5 ms per image and iteration for 16 channels and 3 scales."""
    return float(0.0025 * size_factor(settings) * settings.dip_steps * (settings.dip_channels / 16) ** 1.5)


def size_factor(settings: DdpmDipSettings) -> float:
    """Return what an image costs a network, in images of 32x32 pixels: by its pixels, and a little in any case."""
    return 0.05 + 0.95 * (settings.image_shape[1] / 32) ** 2


def network_factor(settings: DdpmDipSettings) -> float:
    """Return what an update costs per image, in updates of 16 channels and 1 block on 32x32 pixels."""
    light = (0.35 + 0.08 * settings.blocks) if settings.unet == "light" else settings.blocks
    return float((settings.channels / 16) ** 1.5 * light) * size_factor(settings)


def images_of(settings: DdpmDipSettings) -> int:
    """Return how many images the denoiser is trained on."""
    if settings.train_images:
        return settings.train_images
    if settings.data in KNOWN:
        return KNOWN[settings.data].training
    try:
        return image_counts(settings.data, settings.split, settings.cap_per_image)[0]
    except DataError:  # the folder of a stored study is gone: listings, which read estimates only, go on
        return settings.batch_size


def denoiser_stage(settings: DdpmDipSettings, seed: int, version: str) -> Stage:
    """The training of the denoiser.

    With a constant step size a short training is the beginning of a long one, so the duration is left out; a step size
    that decays over the whole training makes every duration a stage of its own.
    """
    values = _values(settings)
    names = list(_DENOISER)
    if settings.noise_schedule in ("polynomial", "cosine-tau"):
        names.append("schedule_power")
    names += _combined(settings) + _unusual(settings)
    if settings.lr_decay != "constant":
        names.append("epochs")
        if settings.budget == "compute":  # how much is left to train then depends on all that costs something
            names += ["budget", "method", "task", "eval_images", "eval_seeds", "dip_steps", *_DIP]
    cost = 0.005 * settings.epochs * images_of(settings) * network_factor(settings)
    updates = settings.epochs * -(-images_of(settings) // settings.batch_size)
    digest = _digest("denoiser", version, seed, {name: values[name] for name in names})
    return Stage("denoiser", digest, cost, updates, denoiser_program(settings))


def denoiser_program(settings: DdpmDipSettings) -> str:
    """Return what denoisers have in common that one compiled program trains; empty with dropout.

    Dropout draws at an address of each update, which a compiled program would not do.
    """
    if settings.dropout:
        return ""
    values = _values(settings)
    # A smaller set of images than a batch makes the batch smaller.
    batch = min(settings.batch_size, images_of(settings))
    shape = {name: values[name] for name in (*_SHAPE, *(["unet"] if settings.unet != "standard" else []))}
    return digest_of({"program": "denoiser", "settings": shape, "batch": batch, "guided": settings.is_guided})


def _unusual(settings: DdpmDipSettings) -> list[str]:
    """What an ordinary training was computed without: named where it differs, so that older stages stay valid."""
    return [name for name, usual in (("optimizer", "adam"), ("unet", "standard")) if getattr(settings, name) != usual]


def _combined(settings: DdpmDipSettings) -> list[str]:
    """What a combination of DIP and DDPM reads besides an ordinary training."""
    names: list[str] = []
    if settings.method in ("dip_target", "truncated", "dip_warm"):
        names.append("method")
    if settings.method == "dip_target":
        names += [*_DIP, "dip_steps", "dip_target_form", "dip_target_source"]
    if settings.method == "truncated":
        names.append("start_sigma" if settings.start_fraction is None else "start_fraction")
    if settings.method == "dip_warm":
        names += _WARM
    return names


def warm_stage(settings: DdpmDipSettings, seed: int, version: str) -> Stage:
    """The updates before a training proper; as a DIP does them or by denoising."""
    values = _values(settings)
    names = [*_DENOISER, *_WARM, *_unusual(settings)]
    if settings.noise_schedule in ("polynomial", "cosine-tau"):
        names.append("schedule_power")
    cost = 0.005 * settings.warm_steps * settings.warm_images * network_factor(settings)
    return Stage("warm", _digest("warm", version, seed, {name: values[name] for name in names}), cost)


def wiener_stage(settings: DdpmDipSettings, version: str) -> Stage:
    """Mean and covariance of the training images, for the linear-Gaussian bound; the same for all seeds."""
    values = _values(settings)
    return Stage("wiener", _digest("wiener", version, None, {name: values[name] for name in _DATA}), 15.0)


def reference_stage(settings: DdpmDipSettings, seed: int, version: str) -> Stage:
    """The reference of generated images; of the seed only when it chooses which images are trained on."""
    names = (*_DATA, "samples", "train_images")
    values = _values(settings)
    own = seed if settings.train_images else None
    cost = 2.0 + 0.02 * settings.samples
    return Stage("reference", _digest("reference", version, own, {name: values[name] for name in names}), cost)


def classifier_stage(settings: DdpmDipSettings, version: str) -> Stage:
    """The classifier of a data set with labels; the same for all seeds and settings."""
    values = _values(settings)
    return Stage("classifier", _digest("classifier", version, None, {name: values[name] for name in _DATA}))


def fid_stage(settings: DdpmDipSettings, weights: str, version: str) -> Stage:
    """The reference by Inception features; `weights` is the network's digest. The same for all seeds."""
    values = {**_values(settings), "weights": weights}
    return Stage("fid", _digest("fid", version, None, {name: values[name] for name in (*_DATA, "samples", "weights")}))


def curve_digest(recipe: Recipe, version: str) -> str:
    """Name of the folder that keeps a recipe's learning curve."""
    return digest_of({"stage": "curve", "version": version, "recipe": recipe.digest})


@lru_cache(maxsize=20_000)
def stages_of(recipe: Recipe, version: str) -> tuple[Stage, ...]:
    """Every stage that `recipe` needs whatever is measured of it, in order of computation."""
    settings = DdpmDipSettings.model_validate(dict(recipe.settings))
    found = []
    if settings.uses_dip:
        found.append(dip_stage(settings, recipe.seed, version))
    if settings.smooths_training:
        found.append(dip_train_stage(settings, recipe.seed, version))
    if settings.method == "dip_warm":
        found.append(warm_stage(settings, recipe.seed, version))
    starts_gaussian = settings.method == "truncated" and settings.truncated_start == "gaussian"
    if settings.method == "gaussian" or (settings.task == "generation" and starts_gaussian):
        found.append(wiener_stage(settings, version))
    if settings.uses_ddpm:
        found.append(denoiser_stage(settings, recipe.seed, version))
    if settings.task == "generation":
        found.append(reference_stage(settings, recipe.seed, version))
    return tuple(found)
