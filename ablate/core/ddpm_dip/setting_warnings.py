"""Settings that can be computed but can hardly mean what was wanted. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from ablate.core.ddpm_dip.stages.digests import images_of
from ablate.core.diffusion.training_course import TrainingCourse
from ablate.core.schedules import Schedule, make_schedule, schedule_warnings
from ablate.core.settings import DdpmDipSettings

_LATE_SIDE, _LATE_STEPS = 32, 400
"""Small images peak after 31 to 141 iterations (measured: 32x32 patches, noise 25/255); by 400 the noise is fitted."""
_NOT_MIRRORED = ("digits", "mnist", "svhn")


def setting_warnings(settings: DdpmDipSettings) -> Iterator[str]:
    """Yield a sentence for everything in `settings` that deserves one."""
    yield from _dip_warnings(settings)
    if not settings.uses_ddpm:
        return
    schedule = make_schedule(
        settings.noise_schedule,
        settings.diffusion_steps,
        power=settings.schedule_power,
        zero_terminal_snr=settings.zero_terminal_snr,
    )
    yield from schedule_warnings(schedule)
    yield from _training_warnings(settings)
    yield from _start_warnings(settings, schedule)
    yield from _step_warnings(settings, schedule)


def _dip_warnings(settings: DdpmDipSettings) -> Iterator[str]:
    if not settings.uses_dip:
        return
    if settings.dip_stop == "oracle":
        yield "dip_stop oracle uses the clean image: it is an upper bound, not a method to compare with"
    late = settings.image_shape[1] <= _LATE_SIDE and settings.dip_steps >= _LATE_STEPS
    if settings.dip_stop == "fixed" and late and settings.corruption == "noise":
        yield (
            f"dip_steps {settings.dip_steps} with dip_stop fixed runs past the peak: images this small are best after "
            "some 100 iterations, and then their noise is fitted; use fewer, or dip_stop wmv"
        )


def _training_warnings(settings: DdpmDipSettings) -> Iterator[str]:
    images = images_of(settings)
    updates = TrainingCourse(images, min(settings.batch_size, images), settings.epochs).total
    if settings.warmup_steps >= updates:
        yield (
            f"warmup_steps {settings.warmup_steps} is as long as the training or longer ({updates} updates): lr "
            f"{settings.lr:g} is reached at its end or never"
        )
    if settings.ema_decay and 1 / (1 - settings.ema_decay) > updates:
        yield (
            f"ema_decay {settings.ema_decay:g} averages over more updates than there are ({updates}): its ramp ends at "
            f"{(1 + updates) / (10 + updates):.3g}, and any higher decay gives the same"
        )
    if settings.horizontal_flip and settings.data in _NOT_MIRRORED:
        yield f"horizontal_flip mirrors the digits of {settings.data}: mirrored ones are drawn, too"
    literal = settings.method == "dip_target" and settings.dip_target_form == "literal"
    if literal and settings.loss_weight == "simple" and settings.prediction != "x0":
        yield (
            "dip_target_form literal asks for x_0 from a smoothed image; loss_weight simple weights its error by "
            "the SNR, so only the first steps count; use prediction x0, or loss_weight min-snr"
        )


def _start_warnings(settings: DdpmDipSettings, schedule: Schedule) -> Iterator[str]:
    from_data = settings.method != "dip+ddpm"
    asked = settings.noise_sigma if from_data else settings.start_sigma
    least = float(schedule.pixel_sigmas[0])
    if from_data and (settings.corruption != "noise" or settings.task != "restoration"):
        return
    if asked < 0.9 * least and (from_data or settings.start_fraction is None):
        yield f"noise schedule {schedule.name} begins at pixel noise {least:.3g}; a start at {asked:g} is moved there"


def _step_warnings(settings: DdpmDipSettings, schedule: Schedule) -> Iterator[str]:
    """More sampling steps than the schedule has."""
    name = "sample_steps" if settings.task == "restoration" else "generation_steps"
    steps: int = getattr(settings, name)
    if steps > schedule.steps:
        yield f"{name} {steps} is more than the schedule has: {schedule.steps} are done"
