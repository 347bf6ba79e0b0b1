"""Which ``ddpm-dip`` recipes can be computed as one program, part by part, and why others cannot. Imports no torch."""

from __future__ import annotations

from ablate.core.settings import DdpmDipSettings
from ablate.core.settings.prior import IMAGES_AT_ONCE
from ablate.interface import Fusion
from ablate.recipe import Recipe, digest_of

_TRAINED_IN_LANES = ("ddpm", "dip+ddpm")
_DENOISER = (
    *("data", "image_size", "greyscale", "split", "cap_per_image", "precision", "deterministic"),
    *("unet", "channels", "channel_mults", "blocks", "attention"),
)
"""What denoisers must have in common to be trained as one program."""
_DIP = ("dip_architecture", "dip_channels", "dip_scales", "precision", "deterministic")
"""What DIP fits must have in common; the number of images, which decides how wide a program is, comes to it."""


def batch_key(recipe: Recipe) -> str:
    """Return the key that recipes of one program share; the recipe's digest when no part of it can share one."""
    settings = DdpmDipSettings.model_validate(dict(recipe.settings))
    if settings.uses_ddpm and why_denoiser_alone(settings) is None:
        # A smaller set of images than a batch makes the batch smaller.
        sizes = [settings.batch_size, settings.train_images or 0]
        values = settings.resolved()
        # Adam is left out, so that keys of earlier decisions do not change.
        optimizer = {} if settings.optimizer == "adam" else {"optimizer": settings.optimizer}
        shape = {name: values[name] for name in _DENOISER}
        return digest_of(shape | {"batch": min(filter(None, sizes))} | optimizer)
    return dip_key(settings) if settings.uses_dip else recipe.digest


def dip_key(settings: DdpmDipSettings) -> str:
    """Return what DIP fits of one program have in common, as a key."""
    values = settings.resolved()
    return digest_of(
        {name: values[name] for name in _DIP} | {"images": images(settings), "shape": list(settings.image_shape)}
    )


def images(settings: DdpmDipSettings) -> int:
    """Return how many images a trial fits a DIP to."""
    return settings.eval_images * settings.eval_seeds


def most_rows(count: int, width: int, device: str) -> int:
    """Return how many networks a program for `width` trials of `count` images has at most; 0 when one trial fills it.

    A multiple of `count`, so that no row is empty for want of a trial that fits.
    """
    rows = min(width, IMAGES_AT_ONCE[device] // count) * count
    return rows if rows >= 2 * count else 0


def trainings(recipe: Recipe, device: str, fusion: Fusion) -> dict[str, str | None]:
    """Return the parts of `recipe` that train, each with why it stays alone on a `device`; None where it can fuse."""
    settings = DdpmDipSettings.model_validate(dict(recipe.settings))
    found: dict[str, str | None] = {}
    if settings.uses_dip:
        found["DIP"] = why_dip_alone(settings, device, fusion)
    if settings.smooths_training:
        found["DIP of training images"] = "its images already fill programs of their own"
    if settings.uses_ddpm:
        off = "on a CPU, auto fuses only DIP fits" if device == "cpu" and not fusion.forced else None
        found["denoiser"] = why_denoiser_alone(settings) or off
    return found


def why_denoiser_alone(settings: DdpmDipSettings) -> str | None:
    """Why a denoiser does not train beside others, None when it does."""
    if settings.method not in _TRAINED_IN_LANES:
        return f"method {settings.method} has its own training"
    if settings.dropout:
        return "with dropout, the masks of all lanes would come from one stream"
    if settings.precision == "bf16":
        return "bf16 (autocast) does not work under vmap"
    if settings.budget == "compute":
        return "with budget compute, its length depends on the work of the DIP"
    return None


def why_dip_alone(settings: DdpmDipSettings, device: str, fusion: Fusion) -> str | None:
    """Why DIP fits share no program with those of other trials, None when they do."""
    if not most_rows(images(settings), fusion.width, device):
        return f"{images(settings)} images of one trial fill a program"
    if device == "cpu" and not fusion.forced and settings.uses_ddpm:
        return "on a CPU, auto fuses only trials that are nothing but DIP fits"
    return None
