"""Every metric of the core ``ddpm-dip``: name, direction, unit, and one line on what it is. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from ablate.interface import MetricInfo

VALIDATION_SIGMAS = (15, 25, 50, 100, 200, 400, 1000)
"""Noise levels (0..255 scale) at which every schedule's validation loss is taken: nearly the same log-SNR in all arms.

For images of variance 1 on the [-1, 1] scale these are log-SNR 4.3, 3.3, 1.9, 0.5, -0.9, -2.3 and -4.1.
The lowest is the least noise that every schedule has a step for (``exponential`` begins at 14/255 for T = 1000).
"""

SAMPLING_TIMES = frozenset({"seconds_per_image", "images_per_second"})
"""Metrics for which the reverse process is timed on its own."""

_KNOWN_SETS = {
    "real": "for other training images: what a perfect generator scores at this N",
    "heldout": "for held-out images",
    "gaussian": "for samples of a Gaussian with the training images' pixel mean and covariance",
}


def _seconds(name: str, doc: str) -> MetricInfo:
    return MetricInfo(name, "min", unit="s", scale="log", margin=0.05, doc=doc)


def _loss(name: str, doc: str) -> MetricInfo:
    return MetricInfo(name, "min", scale="log", digits=4, doc=doc)


def _beside(infos: tuple[MetricInfo, ...], *sets: str) -> tuple[MetricInfo, ...]:
    """Return each metric followed by the same metric of sets whose quality is known."""
    return tuple(
        replace(info, name=f"{info.name}_{known}", doc=f"{info.name} {_KNOWN_SETS[known]}") if known else info
        for info in infos
        for known in ("", *sets)
    )


def _until(name: str, unit: str, doc: str) -> tuple[MetricInfo, ...]:
    """Return a metric that may be censored, whether it was reached, and the last value tried."""
    return (
        MetricInfo(name, "min", unit=unit, scale="log", doc=f"{doc}; left out if never reached"),
        MetricInfo(f"{name}_reached", "max", digits=0, doc=f"1 when {name} was reached, 0 when it is censored"),
        MetricInfo(f"{name}_limit", "max", unit=unit, digits=0, doc=f"the last value tried for {name}"),
    )


RESTORATION = (
    MetricInfo("psnr", "max", unit="dB", margin=0.1, doc="mean PSNR of the restored held-out images, on [0, 1]"),
    MetricInfo(
        "ssim",
        "max",
        margin=0.005,
        digits=4,
        doc="mean SSIM of the restored held-out images (Gaussian window 1.5, range 1)",
    ),
    MetricInfo(
        "mse", "min", scale="log", digits=5, doc="mean squared error of the restored held-out images, on [0, 1]"
    ),
    MetricInfo("psnr_input", "max", unit="dB", doc="PSNR of the corrupted images: what doing nothing scores"),
    MetricInfo("ssim_input", "max", digits=4, doc="SSIM of the corrupted images: what doing nothing scores"),
    MetricInfo("gpd", "min", scale="log", digits=5, doc="mean squared difference of Gabor moduli to the originals"),
    MetricInfo("gpd_input", "min", scale="log", digits=5, doc="gpd of the corrupted images: what doing nothing scores"),
    MetricInfo("psnr_start", "max", unit="dB", doc="PSNR of the DIP output, before any reverse diffusion"),
    MetricInfo(
        "psnr_onestep",
        "max",
        unit="dB",
        doc="PSNR of a single network evaluation on the noisy image (corruption noise only)",
    ),
    MetricInfo("aulc_psnr", "max", unit="dB", doc="mean of the learning curve of psnr over log images"),
)
"""Quality of restored images."""
_COPIES = "share of samples nearer to a training image than 99 % of held-out images are, by the distances to the"
_QUALITY = (
    MetricInfo(
        "gfd78",
        "min",
        scale="log",
        digits=2,
        doc="Gabor-Fréchet distance of N samples to N training images; not FID; comparable only at equal N",
    ),
    MetricInfo(
        "gfd26",
        "min",
        scale="log",
        digits=2,
        doc="gfd78 of images with one channel, by 26 features; not comparable with gfd78",
    ),
    MetricInfo("kid_gabor", "min", digits=4, doc="unbiased kernel distance of the Gabor features; may be negative"),
    MetricInfo("precision", "max", doc="share of samples that lie among training images (5th neighbour)"),
    MetricInfo("recall", "max", doc="share of training images that lie among samples (5th neighbour)"),
    MetricInfo(
        "density", "max", doc="number of training images' balls that a sample lies in, divided by 5; may exceed 1"
    ),
    MetricInfo("coverage", "max", doc="share of training images with a sample in their ball"),
    MetricInfo("pairwise_distance", "max", doc="mean distance of two samples' features: how different they are"),
    MetricInfo("effective_rank", "max", doc="number of directions in which the samples' features vary"),
)
_CLASSES = (
    MetricInfo(
        "classifier_confidence",
        "max",
        doc="mean of the largest class probability, by a small classifier that ablate trains on the data set's labels",
    ),
    MetricInfo("class_balance", "max", doc="how evenly samples fall into its classes: 1 for evenly, 1/K for one class"),
)
CLASSES = _beside(_CLASSES, "real", "heldout", "gaussian")
"""Of data sets with labels."""
_NOVELTY = (
    MetricInfo("nn_copies", "min", doc=f"{_COPIES} nearest two; 0.01 is usual"),
    MetricInfo("carlini_copies", "min", doc=f"{_COPIES} nearest fifty; 0.01 is usual"),
    MetricInfo("nn_distance", "max", unit="/255", doc="median distance to the nearest training image, per pixel"),
)
GENERATION = (
    *_beside(_QUALITY, "real", "heldout", "gaussian"),
    *_beside(_NOVELTY, "heldout", "gaussian"),
    *CLASSES,
    *(
        MetricInfo(
            f"aulc_{name}", "min", scale="log", digits=2, doc=f"mean of the learning curve of {name} over log images"
        )
        for name in ("gfd78", "gfd26")
    ),
)
"""Quality, variety and novelty of generated images, each with the same of sets whose quality is known."""
_FID = MetricInfo("fid", "min", scale="log", digits=2, doc="Fréchet Inception Distance of N images to N others")
FID = _beside((_FID,), "real", "heldout", "gaussian")
"""Only with the Inception weights and where a study asks for it. Restored images are compared with the originals."""
EVALUATION = (
    MetricInfo("eval_sd", "min", digits=4, doc="standard deviation of psnr or gfd78 over evaluations (eval_seeds)"),
)
TRAINING = (
    _loss(
        "val_loss", "error of the predicted noise, mean over steps spread over 1..T; NOT comparable between schedules"
    ),
    _loss("wiener_loss", "the same for the best linear denoiser: the bound for val_loss"),
    _loss("val_loss_low", "mean of val_loss_s15 and val_loss_s25: the low-noise steps"),
    _loss("wiener_low", "the same for the best linear denoiser: the bound for val_loss_low"),
    _loss("val_ratio_low", "val_loss_low / wiener_low; below 1 is more than second-order statistics"),
    *(
        info
        for sigma in VALIDATION_SIGMAS
        for info in (
            _loss(
                f"val_loss_s{sigma}",
                f"error of the predicted noise at pixel noise {sigma}/255; comparable between schedules",
            ),
            _loss(f"wiener_s{sigma}", f"the same for the best linear denoiser: the bound for val_loss_s{sigma}"),
            _loss(
                f"val_ratio_s{sigma}",
                f"val_loss_s{sigma} / wiener_s{sigma}; below 1 is more than second-order statistics",
            ),
        )
    ),
)
"""Losses on fixed (x_0, t, eps) triples."""
CONVERGENCE = (
    *_until(
        "steps_to_quality", "steps", "smallest number of sampling steps from which on the declared quality is kept"
    ),
    *_until("images_to_quality", "images", "training images after which the declared quality is kept"),
    *_until("seconds_to_quality", "s", "training seconds after which the declared quality is kept"),
)
"""How fast the declared quality comes."""
COST = (
    _seconds("train_seconds", "time to train the denoiser"),
    _seconds("dip_seconds", "time to fit the DIPs of all observed images"),
    _seconds("dip_train_seconds", "time to fit the DIPs of the training images"),
    _seconds("warm_seconds", "time for the warm-up updates (dip_warm)"),
    _seconds("total_seconds", "total time of a method: training, warm-up, DIP fits, and all images once"),
    _seconds("sample_seconds", "time for the reverse process of all images, once"),
    _seconds("seconds_per_image", "time per image without training: DIP fit, and the reverse process timed in batches"),
    MetricInfo("images_per_second", "max", unit="/s", scale="log", doc="the inverse of seconds_per_image"),
    _seconds("seconds_per_epoch", "training time per pass over the training images"),
    MetricInfo("updates", "min", digits=0, doc="number of updates of the denoiser"),
    MetricInfo("nfe", "min", digits=0, doc="counted network evaluations per image"),
    MetricInfo("dip_stopped_at", "min", digits=1, doc="iteration at which the DIP stopped, mean over images"),
    MetricInfo(
        "blur_sigma_matched",
        "min",
        unit="pixels",
        doc="width of the blur that has the same error as the DIP's outputs (dip_target)",
    ),
)
"""Time and work."""
METRICS = (*RESTORATION, *GENERATION, *FID, *EVALUATION, *TRAINING, *CONVERGENCE, *COST)
"""In the order in which listings show them; the first is a study's primary metric unless it names another."""

ONLY_IN = {
    **dict.fromkeys((info.name for info in RESTORATION), "restoration"),
    **dict.fromkeys((info.name for info in (*GENERATION, *FID[1:])), "generation"),
}
"""Task of each metric that the other task does not measure."""

ONLY_IN_CHANNELS = {
    info.name: 3 if "gfd78" in info.name else 1 for info in GENERATION if "gfd78" in info.name or "gfd26" in info.name
}
"""Channels of the images that a metric is made for, where it is made for a number of them."""
