"""Time of the reverse process alone on its device: same batch again and again, warmed up, the median taken.

What is left out: training, DIP fits, scoring, and moving images to and from the device.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from ablate.core.ddpm_dip.stages.trial import Run
from ablate.core.diffusion.denoiser import Denoiser
from ablate.core.programs.cuda_graphs import FIRST_CALLS
from ablate.core.shared.numerics import device_name

WARM_UPS = 2
"""Batches before the clock starts: allocators and kernels settle in them."""
WARM_UPS_GPU = FIRST_CALLS + 1
"""By then a GPU has recorded what each batch asks for but once, and records nothing while the clock runs."""
TIMED = 5


SAMPLING_TIMES = ("seconds_per_image", "images_per_second")
"""The metrics that the timing is for."""


def batch_seconds(run: Run, denoiser: Denoiser | None, work: Callable[[], object], images: int) -> float:
    """Return the median seconds of `work`, which makes `images` images; record what was timed.

    The device is waited for before and after each batch, so that no work is left out or charged to another batch.
    """
    warm_ups = WARM_UPS if run.device.type == "cpu" else WARM_UPS_GPU
    for _ in range(warm_ups):
        work()
    taken = []
    for _ in range(TIMED):
        run.wait_for_device()
        began = time.perf_counter()
        work()
        run.wait_for_device()
        taken.append(time.perf_counter() - began)
    run.environment |= {
        "timing": f"median of {TIMED} batches after {warm_ups} warm-ups",
        "timing_batch": str(images),
        "timing_dtype": run.settings.precision,
        "timing_device": device_name(run.device),
        "timing_program": "CUDA graphs" if denoiser is not None and denoiser.recorded else "eager",
    }
    return statistics.median(taken)
