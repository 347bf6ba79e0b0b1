"""The core ``replay`` on the founding loop's work: seconds per update, alone or in a fused program.

python -m benchmarks.replay_side ddpm 60            # JSON: CPU seconds per update after a warm-up
"""

from __future__ import annotations

import json
import sys

import torch
from torch import Tensor

from ablate.core.data import load
from ablate.core.replay.network import Autoencoder, ReplayDenoiser, draw
from ablate.core.replay.noise_tables import noise_table
from ablate.core.replay.training import Loss, Training
from benchmarks.frame import clock


def training(kind: str, images: Tensor, *, seed: int = 0, lr: float = 1e-3, batch: int = 64) -> Training:
    """A training of the report's size that goes on as long as it is asked to."""
    dip = Autoencoder().to(images.device)
    draw(dip, torch.Generator().manual_seed(seed))
    name = "dip" if kind == "dip" else "denoiser"
    network: torch.nn.Module = dip
    loss: Loss = lambda x, noise: dip.loss(x)  # noqa: E731
    if kind != "dip":
        table = noise_table("linear")
        denoiser = ReplayDenoiser(10, table)
        draw(denoiser, torch.Generator().manual_seed(seed + 1))
        network, frozen = denoiser, dip.requires_grad_(False)

        def loss(x: Tensor, noise: torch.Generator) -> Tensor:
            t = torch.randint(len(table), (1,), generator=noise, device=x.device)
            return denoiser.loss(frozen(x) if kind == "dip+ddpm" else x, x, t, noise)

    return Training(name, network, loss, images, seed, lr, batch, 1000)


def main(kind: str, steps: int, device: str = "cpu") -> None:
    """Time `steps` updates after a warm-up."""
    one = training(kind, load("skimage-patches").train[:12_800].to(device))
    for _ in range(10):
        one.update()
    began = clock(device)
    for _ in range(steps):
        loss = one.update()
    print(json.dumps({"seconds": (clock(device) - began) / steps, "loss": loss}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
