"""What one DIP iteration costs beside one update of the denoiser: CPU seconds and operations, side by side.

    python benchmarks/dip_price.py

Prints the seconds of both, their ratio, the ratio of operations, and the quotient of the two ratios: the constant
DIP_SECONDS_PER_OPERATION of ablate/core/ddpm_dip/stages/compute_budget.py.
One thread; CPU time, so a busy machine does not matter much.
"""

from __future__ import annotations

import time

import torch

from ablate.core.ddpm_dip.stages.compute_budget import dip_operations, unet_operations
from ablate.core.ddpm_dip.stages.dip import fit_settings
from ablate.core.diffusion.training import Trainer
from ablate.core.dip.fit import Fitting
from ablate.core.settings import DdpmDipSettings

REPEATS, IMAGES, STEPS = 5, 16, 10


def main() -> None:
    """Measure both in turn and print the medians."""
    torch.set_num_threads(1)
    settings = DdpmDipSettings(epochs=1000)
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    trainer = Trainer(settings, images, 0)
    fits = fit_settings(settings)
    fitting = Fitting(images[:IMAGES].float() / 255, fits, 0, list(range(IMAGES)))
    fit = fitting.run()
    pairs = []
    for _ in range(REPEATS + 1):
        began = time.process_time()
        for _ in range(STEPS):
            trainer.update()
        middle = time.process_time()
        for _ in range(STEPS):
            next(fit)
        pairs.append(((middle - began) / STEPS, (time.process_time() - middle) / STEPS / IMAGES))
    update, iteration = (sorted(column)[len(column) // 2] for column in zip(*pairs[1:], strict=True))
    seconds = iteration / update
    operations = dip_operations(fits) / (unet_operations(settings) * settings.batch_size)
    print(f"update {update * 1e3:.1f} ms, DIP iteration of one image {iteration * 1e3:.2f} ms: {seconds:.4f} updates")
    print(f"operations: {operations:.4f} updates; seconds per operation, DIP over update: {seconds / operations:.2f}")


if __name__ == "__main__":
    main()
