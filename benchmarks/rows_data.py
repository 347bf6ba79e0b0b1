"""One epoch of batches: DataLoader with ToTensor and Normalize against resident bytes, a permutation and a table."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ablate.core.data import as_unit, load
from benchmarks.founding import Pictures
from benchmarks.frame import Row, clock, in_turn

IMAGES, BATCH, ROUNDS = 6400, 64, 5


def rows(deadline: float) -> Iterator[Row]:
    """All batches of one epoch."""
    images = load("skimage-patches").train[:IMAGES]
    theirs, ours, rounds = in_turn(
        lambda: _time(loader_epoch(images)), lambda: _time(resident_epoch(images)), ROUNDS, deadline
    )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(IMAGES, generator=generator)
    pictures = Pictures(images)
    same = all(
        torch.equal(torch.stack([pictures[int(i)][0] for i in chosen]), as_unit(images[chosen]))
        for chosen in order.split(BATCH)
    )
    batches = IMAGES // BATCH
    yield Row(
        name=f"batch of {BATCH} images",
        unit="CPU ms",
        theirs="DataLoader, ToTensor, Normalize",
        theirs_took=1e3 * theirs / batches,
        ours="resident bytes and a table",
        ours_took=1e3 * ours / batches,
        agreement=f"{IMAGES} images bitwise equal" if same else "images differ",
        agrees=same,
        predicted="10-40x",
        rounds=rounds,
    )


def loader_epoch(images: Tensor) -> Iterator[Tensor]:
    """The founding loop's batches."""
    for inputs, _ in DataLoader(Pictures(images), batch_size=BATCH, shuffle=True):
        yield inputs


def resident_epoch(images: Tensor) -> Iterator[Tensor]:
    """The same images as ablate's cores take them."""
    for chosen in torch.randperm(len(images)).split(BATCH):
        yield as_unit(images[chosen])


def _time(batches: Iterator[Tensor]) -> float:
    began = clock()
    for _ in batches:
        pass
    return clock() - began
