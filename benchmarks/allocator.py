"""What it is worth that workers let glibc keep freed memory: the same updates without and with, in turn.

    python -m benchmarks.allocator               # 3 rounds of 3 networks, about two minutes on one idle core
    python -m benchmarks.allocator --rounds 6

Each side is a process of its own, because glibc reads its settings when a process starts. Times are CPU time per
update, system time included (that is where giving memory back and asking for it again is spent); losses must be equal
bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable

from benchmarks.frame import Row, clock, in_process, in_turn, machine, plain_environment, table, worker_environment

WARM, UPDATES = 3, 12
PREDICTED = {"replay": "1.8x", "unet": "1.1x", "dip": "none named"}
LABELS = {
    "replay": "report's network, batch 64",
    "unet": "U-Net of 16 channels, batch 16",
    "dip": "DIP of 16 images at once",
}


def work(name: str) -> Callable[[], float]:
    """Return one update of the network `name`, which gives its loss."""
    import torch

    from ablate.core.data import as_unit
    from ablate.core.diffusion.training import Trainer
    from ablate.core.dip.fit import DipSettings, Fitting
    from ablate.core.replay.network import ReplayDenoiser, draw
    from ablate.core.replay.noise_tables import noise_table
    from ablate.core.settings import DdpmDipSettings

    torch.set_num_threads(1)
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (640, 3, 32, 32), dtype=torch.uint8, generator=source)
    if name == "unet":
        trainer = Trainer(DdpmDipSettings(epochs=10), images, 0)

        def update() -> float:
            trainer.update()
            return trainer.settle()

        return update
    if name == "dip":
        fitting = Fitting(as_unit(images[:16]) / 2 + 0.5, DipSettings(steps=10_000, stop="fixed"), 0, list(range(16)))
        going = fitting.run()
        return lambda: next(going)[1]
    network = ReplayDenoiser(10, noise_table("linear"))
    draw(network, source)
    network.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step() -> float:
        batch = as_unit(images[torch.randperm(len(images), generator=source)[:64]])
        batch = batch.contiguous(memory_format=torch.channels_last)
        loss = (network(batch, torch.tensor([500]), source) - batch).square().mean()
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
        return loss.detach().item()

    return step


def measure(name: str) -> dict[str, float | str]:
    """CPU milliseconds per update after a few unmeasured ones, and the last loss to the bit."""
    update = work(name)
    for _ in range(WARM):
        update()
    began = clock()
    for _ in range(UPDATES):
        loss = update()
    return {"ms": 1000 * (clock() - began) / UPDATES, "loss": loss.hex()}


def compare(name: str, rounds: int) -> Row:
    """Both sides in turn."""
    kept = {key: value for key, value in worker_environment().items() if key.startswith("MALLOC_")}
    plain = {key: value for key, value in plain_environment(1).items() if not key.startswith("MALLOC_")}
    losses: set[str] = set()

    def side(environment: dict[str, str]) -> float:
        found = in_process("allocator", ["--work", name], environment)
        losses.add(found["loss"])
        return float(found["ms"])

    without, with_it, done = in_turn(lambda: side(plain), lambda: side({**plain, **kept}), rounds)
    return Row(
        name=LABELS[name],
        unit="CPU ms per update",
        theirs="glibc as it comes",
        theirs_took=without,
        ours="worker's settings",
        ours_took=with_it,
        agreement=f"loss after {WARM + UPDATES} updates: {'equal' if len(losses) == 1 else 'different'} bits",
        agrees=len(losses) == 1,
        predicted=PREDICTED[name],
        rounds=done,
    )


def main() -> None:
    """Print the table, or (in a process of its own) one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=sorted(LABELS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        print(json.dumps(measure(asked.work)))
        return
    print(", ".join(f"{key}: {value}" for key, value in machine().items()))
    print(table([compare(name, asked.rounds) for name in LABELS]))
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
