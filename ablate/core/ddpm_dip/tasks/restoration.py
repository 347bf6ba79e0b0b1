"""Task ``restoration``: held-out images are corrupted, restored, and compared with what they were."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from ablate.core.data import image_grids, to_uint8
from ablate.core.ddpm_dip.methods import Method, Models
from ablate.core.ddpm_dip.stages.sampling_time import SAMPLING_TIMES, batch_seconds
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.ddpm_dip.tasks.convergence import record_curve, record_steps
from ablate.core.diffusion.generation import start_noise
from ablate.core.diffusion.restoration import one_step
from ablate.core.diffusion.samplers import Reverse
from ablate.core.scores import psnr_ssim
from ablate.core.scores.fid import convention, fid_features
from ablate.core.scores.frechet import frechet_distance
from ablate.core.scores.gpd import gpd

SHOWN_IMAGES = 8
"""Held-out images kept as pictures."""
LABELS = {"ddpm": "DDPM", "dip+ddpm": "DIP+DDPM", "gaussian": "Gaussian", "nl-means": "NL-means", "tv": "TV"}
"""What the row of restored images is called; other methods by their own name."""


class Restoration:
    """Mean PSNR and SSIM of restored held-out images, with those of the input and of the start beside them."""

    def curve(self, run: Run, method: Method, models: Models) -> tuple[dict[str, float], Tensor]:
        """PSNR of the first few held-out images."""
        count = run.settings.curve_count
        few = run.observed.first(count)
        restored = method.restore(run, models.first(count), few, run.settings.sample_steps)
        return {"psnr": float(psnr_ssim.psnr(restored, few.clean).mean())}, to_uint8(restored)

    def score(self, run: Run, method: Method, models: Models) -> Tensor:
        """Restore all held-out images and score them."""
        counted = models.denoiser.evaluated if models.denoiser is not None else 0
        began = time.perf_counter()
        restored = method.restore(run, models, run.observed, run.settings.sample_steps)
        run.wait_for_device()
        seconds = time.perf_counter() - began
        if models.denoiser is not None:
            run.found["nfe"] = (models.denoiser.evaluated - counted) / len(restored)
        _score(run, restored, models)
        _time(run, method, models, seconds)
        _converge(run, method, models)
        return restored

    def show(self, run: Run, method: Method, models: Models, images: Tensor) -> str:
        """Write ``samples.png``, ``restored.npz`` and, with a denoiser, ``generated.png``; name the first one."""
        return _pictures(run, method, images, models)


def _score(run: Run, restored: Tensor, models: Models) -> None:
    """Record PSNR of what went in and what came out, always; whatever takes longer where it was asked for."""
    observed, found = run.observed, run.found
    run.environment["psnr"] = psnr_ssim.CONVENTION_PSNR
    found["psnr"], found["psnr_input"] = (_mean_psnr(images, observed.clean) for images in (restored, observed.noisy))
    found["mse"] = float(psnr_ssim.mse(restored, observed.clean).double().mean())
    for suffix, images in (("", restored), ("_input", observed.noisy)):
        if run.asks(f"ssim{suffix}"):
            side = run.settings.image_shape[1]
            taps = psnr_ssim.ssim_taps(side)
            found[f"ssim{suffix}"] = float(psnr_ssim.ssim(images, observed.clean, taps).double().mean())
            run.environment["ssim"] = psnr_ssim.ssim_convention(side)
        if run.asks(f"gpd{suffix}"):
            found[f"gpd{suffix}"] = float(gpd(images, observed.clean).mean())
    _record_spread(run, restored)
    if run.fid_extractor is not None:
        features = (fid_features(to_uint8(images), run.fid_extractor) for images in (restored, observed.clean))
        found["fid"] = frechet_distance(*features)
        run.environment["fid"] = convention(len(restored))
    if models.prior is not None:
        found["psnr_start"] = _mean_psnr(models.prior, observed.clean)
    if models.denoiser is not None and observed.only_noisy and run.asks("psnr_onestep"):
        found["psnr_onestep"] = _mean_psnr(
            one_step(models.denoiser, observed, run.settings.noise_sigma), observed.clean
        )


def _record_spread(run: Run, restored: Tensor) -> None:
    """Record the standard deviation of the mean PSNR over evaluations."""
    evaluations = run.settings.eval_seeds
    if evaluations > 1:
        scores = psnr_ssim.psnr(restored, run.observed.clean).double().reshape(evaluations, -1).mean(1)
        run.found["eval_sd"] = float(scores.std())


def _time(run: Run, method: Method, models: Models, seconds: float) -> None:
    """Record seconds per image where asked for: the DIP's as measured in its fit, the reverse process's in batches.

    Of a DIP alone nothing is sampled: a time of about 0 s has no place on a log scale, and the DIP's is known.
    """
    settings, found = run.settings, run.found
    per_image = found.get("dip_seconds", 0.0) / len(run.observed.clean)
    if models.denoiser is not None or models.prior is None:
        found["sample_seconds"] = seconds
        if not run.asks(*SAMPLING_TIMES):
            return
        few = run.observed.first(settings.timing_batch)
        own = models.first(settings.timing_batch)

        def work() -> Tensor:
            return method.restore(run, own, few, settings.sample_steps)

        per_image += batch_seconds(run, models.denoiser, work, len(few.clean)) / len(few.clean)
    found["seconds_per_image"], found["images_per_second"] = per_image, 1.0 / per_image


def _converge(run: Run, method: Method, models: Models) -> None:
    settings, observed = run.settings, run.observed
    record_curve(run, "psnr", "max", complete=settings.curve_count == len(observed.clean))
    if models.denoiser is not None:

        def score(steps: int) -> float:
            return _mean_psnr(method.restore(run, models, observed, steps), observed.clean)

        record_steps(run, models.denoiser, "max", score, images=len(observed.clean))


def _mean_psnr(images: Tensor, clean: Tensor) -> float:
    return float(psnr_ssim.psnr(images, clean).double().mean())


def _pictures(run: Run, method: Method, restored: Tensor, models: Models) -> str:
    folder = run.context.folder(run.recipe)
    rows = [("original", run.observed.clean), ("noisy" if run.observed.only_noisy else "input", run.observed.noisy)]
    if models.prior is not None:
        rows.append(("DIP", models.prior))
    if run.settings.method != "dip":  # whose output is the row above
        rows.append((LABELS.get(run.settings.method, run.settings.method), restored))
    rows = [(label, images[:SHOWN_IMAGES]) for label, images in rows]
    image_grids.save_grid(folder / "samples.png", rows)
    arrays = {"original": rows[0][1], "noisy": rows[1][1], "restored": restored[:SHOWN_IMAGES]}
    if models.prior is not None:
        arrays["start"] = models.prior[:SHOWN_IMAGES]
    if run.settings.generated_images and method.generates(run):
        arrays["generated"] = _generated(run, method, models)
        image_grids.save_grid(folder / "generated.png", [("generated", arrays["generated"])])
    image_grids.save_arrays(folder / "restored.npz", arrays)
    return "samples.png"


def _generated(run: Run, method: Method, models: Models) -> Tensor:
    """Images from noise that is the same in every trial of every study: different arms are compared one by one."""
    start = start_noise(run.settings.generated_images, run.settings.image_shape, 0, run.device)
    how = Reverse("ddim", run.settings.generation_steps)
    return method.generate(run, models, start, how, lambda t: torch.zeros_like(start))
