"""Task ``restoration``: held-out images are corrupted, restored, and compared with what they were."""

from __future__ import annotations

import time

from torch import Tensor

from ablate.core import grids, metrics
from ablate.core.methods import Method, Models
from ablate.core.restoration import addressed_noise, one_step
from ablate.core.run import Run
from ablate.core.settings import IMAGE_SIZE

CURVE_IMAGES = 8
"""Held-out images restored at every point of a learning curve."""
SHOWN_IMAGES = 8
"""Held-out images kept as pictures."""


class Restoration:
    """Mean PSNR and SSIM of restored held-out images, with those of the input and of the start beside them."""

    def curve(self, run: Run, method: Method, models: Models) -> dict[str, float]:
        """PSNR of the first few held-out images."""
        few = run.observed.first(CURVE_IMAGES)
        restored = method.restore(run, models.first(CURVE_IMAGES), few, run.settings.sample_steps)
        return {"psnr": float(metrics.psnr(restored, few.clean).mean())}

    def evaluate(self, run: Run, method: Method, models: Models) -> str:
        """Restore all held-out images and score them."""
        began = time.perf_counter()
        restored = method.restore(run, models, run.observed, run.settings.sample_steps)
        run.wait_for_device()
        seconds = time.perf_counter() - began
        _score(run, method, restored, models)
        _times(run, models, seconds)
        return _pictures(run, method, restored, models)


def _score(run: Run, method: Method, restored: Tensor, models: Models) -> None:
    observed, found = run.observed, run.found

    def mean_psnr(images: Tensor) -> float:
        return float(metrics.psnr(images, observed.clean).double().mean())

    found["psnr"], found["psnr_input"] = mean_psnr(restored), mean_psnr(observed.noisy)
    found["ssim"] = float(metrics.ssim(restored, observed.clean).double().mean())
    found["ssim_input"] = float(metrics.ssim(observed.noisy, observed.clean).double().mean())
    found["mse"] = float(metrics.mse(restored, observed.clean).double().mean())
    if models.prior is not None:
        found["psnr_start"] = mean_psnr(models.prior)
    if models.denoiser is not None:
        found["psnr_onestep"] = mean_psnr(one_step(models.denoiser, observed, run.settings.noise_sigma))
        found["nfe"] = float(method.evaluations(run, models, run.settings.sample_steps))


def _times(run: Run, models: Models, seconds: float) -> None:
    run.found["seconds_per_image"] = (run.found.get("dip_seconds", 0.0) + seconds) / len(run.observed.clean)
    if models.denoiser is not None:
        # Without a denoiser nothing was sampled: a time of about 0 s has no place on a log scale.
        run.found["sample_seconds"] = seconds


def _pictures(run: Run, method: Method, restored: Tensor, models: Models) -> str:
    """Write ``samples.png``, ``restored.npz`` and, with a denoiser, ``generated.png``; return the first one's name."""
    folder = run.report.folder(run.recipe)
    rows = [("original", run.observed.clean), ("noisy", run.observed.noisy)]
    if models.prior is not None:
        rows.append(("DIP", models.prior))
    if models.denoiser is not None:
        rows.append(("DDPM" if models.prior is None else "DIP+DDPM", restored))
    rows = [(label, images[:SHOWN_IMAGES]) for label, images in rows]
    grids.save_grid(folder / "samples.png", rows)
    arrays = {"original": rows[0][1], "noisy": rows[1][1], "restored": restored[:SHOWN_IMAGES]}
    if models.prior is not None:
        arrays["start"] = models.prior[:SHOWN_IMAGES]
    if models.denoiser is not None and run.settings.generated_images:
        arrays["generated"] = _generated(run, method, models)
        grids.save_grid(folder / "generated.png", [("generated", arrays["generated"])])
    grids.save_arrays(folder / "restored.npz", arrays)
    return "samples.png"


def _generated(run: Run, method: Method, models: Models) -> Tensor:
    """Images from noise that is the same in every trial of every study: different arms are compared one by one."""
    shape = (run.settings.generated_images, 3, IMAGE_SIZE, IMAGE_SIZE)
    noise = addressed_noise(shape, 0, "generation-noise").to(run.device)
    return method.generate(run, models, noise, run.settings.generation_steps)
