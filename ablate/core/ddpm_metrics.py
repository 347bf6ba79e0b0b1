"""Every metric of the core ``ddpm-dip``: name, direction, unit, and one line on what it is. Imports no torch."""

from __future__ import annotations

from ablate.interface import MetricInfo

VALIDATION_SIGMAS = (15, 25, 50, 100, 200)
"""Noise levels (0..255 scale) at which every schedule's validation loss is taken: nearly the same log-SNR in all arms.

The lowest is the least noise that every schedule has a step for (``exponential`` begins at 14/255 for T = 1000).
"""


def _seconds(name: str, doc: str) -> MetricInfo:
    return MetricInfo(name, "min", unit="s", scale="log", margin=0.05, doc=doc)


def _loss(name: str, doc: str) -> MetricInfo:
    return MetricInfo(name, "min", scale="log", digits=4, doc=doc)


_LEVEL_METRICS = tuple(
    info
    for sigma in VALIDATION_SIGMAS
    for info in (
        _loss(f"val_loss_s{sigma}", f"noise-prediction error at pixel noise {sigma}/255; comparable across schedules"),
        _loss(f"wiener_s{sigma}", f"the same of the best linear denoiser: the bar for val_loss_s{sigma}"),
        _loss(
            f"val_ratio_s{sigma}", f"val_loss_s{sigma} / wiener_s{sigma}: below 1 is more than second-order statistics"
        ),
    )
)

RESTORATION = (
    MetricInfo("psnr", "max", unit="dB", margin=0.1, doc="mean PSNR of the restored held-out images, on [0, 1]"),
    MetricInfo("ssim", "max", margin=0.005, digits=4, doc="mean SSIM (Gaussian window 1.5, range 1) of the same"),
    MetricInfo("mse", "min", scale="log", digits=5, doc="mean squared error of the same, on [0, 1]"),
    MetricInfo("psnr_input", "max", unit="dB", doc="PSNR of the noisy images: what doing nothing scores"),
    MetricInfo("ssim_input", "max", digits=4, doc="SSIM of the noisy images: what doing nothing scores"),
    MetricInfo("psnr_start", "max", unit="dB", doc="PSNR of the DIP output, before any reverse diffusion"),
    MetricInfo("psnr_onestep", "max", unit="dB", doc="PSNR of one network evaluation on the noisy image (1 NFE)"),
)  # fmt: skip
"""Quality of restored images."""
TRAINING = (
    _loss("val_loss", "noise-prediction error, mean over steps spread over 1..T; NOT comparable across schedules"),
    _loss("wiener_loss", "the same of the best linear denoiser: the bar for val_loss"),
    _loss("val_loss_low", "mean of val_loss_s15 and val_loss_s25: the low-noise steps"),
    _loss("wiener_low", "the same of the best linear denoiser: the bar for val_loss_low"),
    _loss("val_ratio_low", "val_loss_low / wiener_low: below 1 is more than second-order statistics"),
    *_LEVEL_METRICS,
)  # fmt: skip
"""Losses on fixed (x_0, t, eps) triples."""
COST = (
    _seconds("train_seconds", "training of the denoiser"),
    _seconds("dip_seconds", "DIP fits of all held-out images together"),
    _seconds("sample_seconds", "reverse process of all held-out images together"),
    _seconds("seconds_per_image", "time to restore one image: DIP and reverse process, without training"),
    _seconds("seconds_per_epoch", "training time per pass over the training images"),
    MetricInfo("updates", "min", digits=0, doc="updates of the denoiser"),
    MetricInfo("nfe", "min", digits=0, doc="network evaluations per restored image"),
    MetricInfo("dip_stopped_at", "min", digits=1, doc="iteration at which the DIP stopped, mean over images"),
)  # fmt: skip
"""Time and work."""
METRICS = (*RESTORATION, *TRAINING, *COST)
"""In the order in which listings show them; the first is a study's primary metric unless it names another."""
