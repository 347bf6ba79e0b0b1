"""How fast a task's quality comes: over training images and seconds (the learning curve), and over sampling steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.scores.time_to_quality import Direction, QualityReached, mean_over_log, reached


def record_curve(run: Run, metric: str, direction: Direction, *, complete: bool) -> None:
    """Record what the learning curve of `metric` gives.

    `complete` says that its points were scored on as many images as the final value: only then does the declared
    quality mean the same on the curve, and the images and seconds to it are recorded.
    """
    points = [point for _, point in sorted(run.points.items()) if metric in point.values]
    if not points:
        return
    images = [float(point.images) for point in points]
    values = [point.values[metric] for point in points]
    if len(points) > 1:
        run.found[f"aulc_{metric}"] = mean_over_log(images, values)
    if run.settings.quality is not None and complete:
        _record(run, "images_to_quality", reached(images, values, run.settings.quality, direction))
        seconds = [point.seconds for point in points]
        _record(run, "seconds_to_quality", reached(seconds, values, run.settings.quality, direction))


def record_steps(
    run: Run, denoiser: Denoiser, direction: Direction, score: Callable[[int], float], *, images: int
) -> None:
    """Record the least sampling steps with the declared quality; `score` gives that of `images` images.

    Steps count as the network evaluations that were really done: a start near the end of the process allows fewer.
    Done only when the study asks for it, because every number of steps samples all images anew.
    """
    if run.settings.quality is None or not any(name.startswith("steps_to_quality") for name in run.context.wanted):
        return
    tried: dict[int, float] = {}
    for done, steps in enumerate(grid := run.settings.steps_grid):
        run.context.progress(run.recipe, "steps", done, len(grid))
        before = denoiser.evaluated
        value = score(steps)
        tried.setdefault((denoiser.evaluated - before) // images, value)
    _record(run, "steps_to_quality", _reached_at(tried, run.settings.quality, direction))


def _reached_at(tried: dict[int, float], quality: float, direction: Direction) -> QualityReached:
    places: Sequence[int] = sorted(tried)
    return reached(places, [tried[place] for place in places], quality, direction)


def _record(run: Run, name: str, found: QualityReached) -> None:
    run.found[f"{name}_reached"] = float(found.at is not None)
    run.found[f"{name}_limit"] = found.limit
    if found.at is None:
        run.notes.append(f"{name} censored: the declared quality is not reached by {found.limit:g}, or not kept")
        return
    run.found[name] = found.at
    if found.first:
        run.notes.append(f"{name}: at {found.at:g} or before, the first value tried has the quality")
