"""Whole runs of the founding report, one after another: training as in ``founding``, then its score of one image.

python -m benchmarks.founding_runs 640 '[{"method": "dip+ddpm", "lr": 0.001, ...}]'       # JSON on the last line
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from ablate.core.data import as_unit, load
from ablate.core.replay.noise_tables import noise_table
from benchmarks.founding import DDPM, DIP, Draws, train_ddpm, train_dip


def main(images: int, runs: list[dict[str, Any]]) -> None:
    """Train and score every run."""
    train = load("skimage-patches").train[:images]
    torch.manual_seed(0)
    print(json.dumps({"psnr": [run(settings, train) for settings in runs]}))


def run(settings: Mapping[str, Any], images: Tensor) -> float:
    """One run; returns its PSNR in dB."""
    size = settings["batch_size"]
    dip = DIP() if settings["method"] != "ddpm" else None
    if dip is not None:
        for _ in train_dip(dip, images, lr=settings["dip_lr"], batch=size, epochs=settings["dip_epochs"]):
            pass
    ddpm = DDPM(settings["num_blocks"], 3, list(noise_table(settings["noise_schedule"])), Draws())
    for _ in train_ddpm(ddpm, images, dip=dip, lr=settings["lr"], batch=size, epochs=settings["epochs"]):
        pass
    return _scored(ddpm, as_unit(images[:1]), len(ddpm.blocks[0].sigma_schedule))


@torch.no_grad()
def _scored(ddpm: nn.Module, image: Tensor, levels: int) -> float:
    """The report's evaluation: ten applications to a training image, each at a level of its own."""
    x = image
    for _ in range(10):
        x = ddpm(x, t=int(torch.randint(0, levels, (1,)).item()))
    clean, restored = (np.moveaxis(picture[0].numpy(), 0, -1) for picture in (image, x))
    structural_similarity(clean, restored, channel_axis=-1, data_range=2.0)
    return float(peak_signal_noise_ratio(clean, restored, data_range=2.0))


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
