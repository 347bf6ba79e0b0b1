"""Task ``generation``: images from noise, compared as a set with training images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ablate.core.data import as_unit, image_grids, to_uint8
from ablate.core.ddpm_dip.methods import Method, Models
from ablate.core.ddpm_dip.stages.reference_statistics import (
    classifier,
    fid_scores,
    gallery,
    gaussian_pictures,
    known_values,
    reference,
    usual_nearness,
)
from ablate.core.ddpm_dip.stages.sampling_time import SAMPLING_TIMES, batch_seconds
from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.ddpm_dip.tasks.convergence import record_curve, record_steps
from ablate.core.diffusion.generation import generate, start_noise, step_noise
from ablate.core.diffusion.samplers import Reverse
from ablate.core.scores.classifier import SCORES
from ablate.core.scores.fid import convention
from ablate.core.scores.reference_set import DISTANCES, SHOWN, reference_images
from ablate.errors import StoppedError

EXTRACTORS = {
    "gfd78": "Gabor features of 3 scales and 4 orientations on Y, Cb, Cr: 78 numbers",
    "gfd26": "Gabor features of 3 scales and 4 orientations on one channel: 26 numbers",
}
SHOWN_ROWS = 5
"""Rows of generated images in the sample grid."""
KEPT = 8
"""Generated images kept for the report."""


class Generation:
    """Distances of N samples to N training images, with the scores of known sets beside them."""

    def curve(self, run: Run, method: Method, models: Models) -> tuple[dict[str, float], Tensor]:
        """Gabor-Fréchet distance of the first few samples to as many training images."""
        samples = _sampled(run, method, models, run.settings.curve_count)
        return {_distance(run): reference(run).distance(samples)}, samples

    def score(self, run: Run, method: Method, models: Models) -> Tensor:
        """Generate, score and time; the samples are those of the first evaluation."""
        settings = run.settings
        began = time.perf_counter()
        counted = models.denoiser.evaluated if models.denoiser is not None else 0
        first = _sampled(run, method, models, settings.samples)
        run.wait_for_device()
        run.found["sample_seconds"] = time.perf_counter() - began
        if models.denoiser is not None:
            run.found["nfe"] = (models.denoiser.evaluated - counted) / settings.samples
        scores = [_scores(run, first)]
        for evaluation in range(1, settings.eval_seeds):
            scores.append(_scores(run, _sampled(run, method, models, settings.samples, evaluation=evaluation)))
        _record(run, scores)
        if run.fid_extractor is not None:
            run.found.update(fid_scores(run, run.fid_extractor, first))
            run.environment["fid"] = convention(settings.samples)
        if run.asks(*SAMPLING_TIMES):
            _time(run, method, models)
        _converge(run, method, models)
        return first

    def show(self, run: Run, method: Method, models: Models, images: Tensor) -> str:
        """Write ``samples.png`` and ``restored.npz``; return the first one's name. The first samples, never picked."""
        return _pictures(run, images)


def _scores(run: Run, samples: Tensor) -> dict[str, float]:
    """The distance to the reference, always, and what else was asked for."""
    scores = reference(run).quality(samples, {_distance(run), *run.context.wanted})
    if any(run.asks(name) for name in ("nn_copies", "carlini_copies", "nn_distance")):
        scores |= usual_nearness(run).copying(samples, gallery(run), run.context.wanted)
    if run.asks(*SCORES):
        scores |= classifier(run).scores(samples, run.context.wanted)
    return scores


def _distance(run: Run) -> str:
    """What the distance to the reference is called for images of so many channels."""
    return DISTANCES[run.settings.image_shape[0]]


def _sampled(
    run: Run, method: Method, models: Models, count: int, *, steps: int | None = None, evaluation: int = 0
) -> Tensor:
    """Return `count` generated images as uint8 [N,3,H,W], as a file would hold them."""
    how = _how(run, steps)
    parts = generate(
        lambda start, noise: method.generate(run, models, start, how, noise),
        count,
        run.settings.image_shape,
        run.seed,
        run.device,
        evaluation=evaluation,
    )
    return torch.cat([to_uint8(part) for part in _watched(run, parts, count)])


def _how(run: Run, steps: int | None = None) -> Reverse:
    settings = run.settings
    asked = steps or settings.generation_steps
    return Reverse(settings.sampler, asked, settings.eta, settings.variance, grid=settings.sample_grid)


def _watched(run: Run, parts: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """Pass the batches on, tell how far it is, and stop when asked to."""
    done = 0
    for part in parts:
        done += len(part)
        run.context.progress(run.recipe, "samples", done, count)
        yield part
        if run.context.stop_requested:
            raise StoppedError("stopped while sampling, which starts again from the trained denoiser")


def _record(run: Run, scores: Sequence[Mapping[str, float]]) -> None:
    count, distance = run.settings.samples, _distance(run)
    run.found.update(known_values(run))
    run.found.update({name: statistics.fmean(score[name] for score in scores) for name in scores[0]})
    if len(scores) > 1:
        run.found["eval_sd"] = statistics.stdev(score[distance] for score in scores)
    run.environment |= {distance: f"{EXTRACTORS[distance]}; N = {count} generated and {count} training images"}


def _time(run: Run, method: Method, models: Models) -> None:
    batch, how = run.settings.timing_batch, _how(run)
    start = start_noise(batch, run.settings.image_shape, run.seed, run.device)
    noise = step_noise(start, run.seed, "timing-noise")
    seconds = batch_seconds(run, models.denoiser, lambda: method.generate(run, models, start, how, noise), batch)
    run.found["seconds_per_image"] = seconds / batch
    run.found["images_per_second"] = batch / seconds


def _converge(run: Run, method: Method, models: Models) -> None:
    settings, against = run.settings, reference(run)
    record_curve(run, _distance(run), "min", complete=settings.curve_count == settings.samples)
    if models.denoiser is None:
        return
    record_steps(
        run,
        models.denoiser,
        "min",
        lambda steps: against.distance(_sampled(run, method, models, settings.samples, steps=steps)),
        images=settings.samples,
    )


def _pictures(run: Run, samples: Tensor) -> str:
    folder = run.context.folder(run.recipe)
    rows = [
        ("training", reference_images(run.images.train, SHOWN)),
        ("Gaussian", gaussian_pictures(run)),
        *(("generated", samples[first : first + SHOWN]) for first in range(0, SHOWN * SHOWN_ROWS, SHOWN)),
    ]
    image_grids.save_grid(folder / "samples.png", [(label, as_unit(images)) for label, images in rows if len(images)])
    image_grids.save_arrays(folder / "restored.npz", {"generated": as_unit(samples[:KEPT])})
    return "samples.png"
