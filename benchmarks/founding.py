"""The founding report's training loops as it wrote them: the side that the core ``replay`` is measured against.

DataLoader with shuffling, ToTensor and Normalize on PIL images, one level per batch by ``torch.randint(...).item()``,
fresh ``randn_like`` in every block, ``optim.Adam`` with its defaults, ``loss.item()`` at every step. What differs from
the report: images come from memory instead of CIFAR-10's files (the same class of data set: uint8 arrays turned into
PIL images), and the two functions that draw can be replaced, so that its numbers can be compared with ablate's.

    python -m benchmarks.founding dip 60            # JSON: CPU seconds per step after a warm-up
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.frame import clock

TRANSFORM = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
LINEAR = [0.01 * (i / 1000) for i in range(1000)]


class Pictures(Dataset):  # type: ignore[type-arg]
    """What torchvision's CIFAR10 does with its array, for `images` uint8 [N,3,32,32]."""

    def __init__(self, images: Tensor) -> None:
        self.data = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return TRANSFORM(Image.fromarray(self.data[index])), 0


def _net(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
    )


class DIP(nn.Module):
    """The report's DIP."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.net = _net(channels)

    def forward(self, x: Tensor) -> Tensor:
        """As in the report."""
        return self.net(x)


@dataclass
class Draws:
    """Where the loop's random numbers come from."""

    randn_like: Callable[[Tensor], Tensor] = torch.randn_like
    level: Callable[[int], int] = lambda count: torch.randint(0, count, (1,)).item()
    batches: Callable[[Tensor, int], Iterator[Tensor]] | None = None
    """None: a DataLoader."""


class DDPMBlock(nn.Module):
    """The report's block."""

    def __init__(self, channels: int, noise_schedule: list[float], draws: Draws) -> None:
        super().__init__()
        self.net = _net(channels)
        self.sigma_schedule = nn.Parameter(torch.tensor(noise_schedule), requires_grad=False)
        self.draws = draws

    def forward(self, x: Tensor, t: int) -> Tensor:
        """As in the report."""
        sigma_t = self.sigma_schedule[t]
        noise = self.draws.randn_like(x) * sigma_t
        return x + noise - self.net(x)


class DDPM(nn.Module):
    """The report's DDPM."""

    def __init__(self, num_blocks: int, channels: int, noise_schedule: list[float], draws: Draws) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([DDPMBlock(channels, noise_schedule, draws) for _ in range(num_blocks)])

    def forward(self, x: Tensor, t: int) -> Tensor:
        """As in the report."""
        for block in self.blocks:
            x = block(x, t)
        return x


def batches(images: Tensor, size: int, draws: Draws) -> Iterator[Tensor]:
    """One epoch of batches, float32 [B,3,32,32] in [-1,1]."""
    if draws.batches is not None:
        yield from draws.batches(images, size)
    else:
        for inputs, _ in DataLoader(Pictures(images), batch_size=size, shuffle=True):
            yield inputs


def train_dip(
    dip: DIP, images: Tensor, *, lr: float = 1e-3, batch: int = 64, epochs: int = 10, draws: Draws | None = None
) -> Iterator[float]:
    """The report's step 5; yields the loss of every update."""
    draws = draws or Draws()
    criterion, optimizer = nn.MSELoss(), optim.Adam(dip.parameters(), lr=lr)
    for _ in range(epochs):
        dip.train()
        for inputs in batches(images, batch, draws):
            inputs = inputs.to(next(dip.parameters()).device)
            optimizer.zero_grad()
            outputs = dip(inputs)
            loss = criterion(outputs, inputs)
            loss.backward()
            optimizer.step()
            yield loss.item()


def train_ddpm(
    ddpm: DDPM,
    images: Tensor,
    *,
    dip: DIP | None = None,
    lr: float = 1e-3,
    batch: int = 64,
    epochs: int = 10,
    draws: Draws | None = None,
) -> Iterator[float]:
    """The report's step 4 (without `dip`) or 7; yields the loss of every update."""
    draws = draws or Draws()
    criterion, optimizer = nn.MSELoss(), optim.Adam(ddpm.parameters(), lr=lr)
    for param in dip.parameters() if dip is not None else ():
        param.requires_grad = False
    levels = len(ddpm.blocks[0].sigma_schedule)
    for _ in range(epochs):
        ddpm.train()
        for inputs in batches(images, batch, draws):
            inputs = inputs.to(ddpm.blocks[0].sigma_schedule.device)
            optimizer.zero_grad()
            given = inputs
            if dip is not None:
                with torch.no_grad():
                    given = dip(inputs)
            outputs = ddpm(given, t=draws.level(levels))
            loss = criterion(outputs, inputs)
            loss.backward()
            optimizer.step()
            yield loss.item()


def endless(kind: str, images: Tensor, device: str = "cpu") -> Iterator[float]:
    """Losses of the loop `kind` (``dip``, ``ddpm`` or ``dip+ddpm``) without end."""
    torch.manual_seed(0)
    dip = DIP().to(device)
    if kind == "dip":
        return train_dip(dip, images, epochs=10**9)
    ddpm = DDPM(10, 3, LINEAR, Draws()).to(device)
    return train_ddpm(ddpm, images, dip=dip if kind == "dip+ddpm" else None, epochs=10**9)


def main(kind: str, steps: int, device: str = "cpu") -> None:
    """Time `steps` updates after a warm-up."""
    from ablate.core.data import load

    losses = endless(kind, load("skimage-patches").train[:12_800], device)
    for _ in range(10):
        next(losses)
    began = clock(device)
    for _ in range(steps):
        last = next(losses)
    print(json.dumps({"seconds": (clock(device) - began) / steps, "loss": last}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
