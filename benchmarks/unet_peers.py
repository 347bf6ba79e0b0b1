"""ablate's diffusion core against what one would pick instead, on one thread of a CPU: updates, sampling, DIP.

    pip install 'ablate[peers]'
    python -m benchmarks.unet_peers                              # diffusers and denoising-diffusion-pytorch
    git clone https://github.com/DmitryUlyanov/deep-image-prior /tmp/deep-image-prior
    python -m benchmarks.unet_peers --dip /tmp/deep-image-prior  # the authors' Deep Image Prior too (not on PyPI)

The first study's U-Net (16 and 32 channels, one block per resolution, no attention, 32x32) and batch (16). diffusers'
UNet2DModel is set up as the same network; that of denoising-diffusion-pytorch differs (below the table). Each side is
timed in processes of its own, in turn: ablate's with the environment it gives its workers, the others' with none.
`--bare` leaves ablate's environment out too. Five rounds take some ten minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks import unet_agreement as agreement
from benchmarks.frame import Row, in_process, machine, plain_environment, table, worker_environment

ASKED = 1.5
PARTS = {"update": "update, batch 16", "sample": "16 images by 50 DDIM steps"}
PEERS = {
    "diffusers": "diffusers, accelerate's loop",
    "lucidrains": "denoising-diffusion-pytorch, least attention",
    "lucidrains-default": "denoising-diffusion-pytorch, its attention",
}
OURS = {
    "update": "Trainer.update",
    "sample": "its sampler",
    "dip": "16 networks in one program",
    "dip-alone": "image by image",
}
PREDICTED = {
    ("diffusers", "update"): "1.2-1.4x: convolutions are the same",
    ("diffusers", "sample"): "1.2-1.4x",
    ("lucidrains", "update"): "2-3x",
    ("lucidrains", "sample"): "2-3x",
    ("lucidrains-default", "update"): "4-6x",
    ("lucidrains-default", "sample"): "4-6x",
    ("dip-authors", "dip"): "2-2.5x",
    ("dip-authors", "dip-alone"): "0.9-1.1x",
}
"""Written down after a look at the bare networks (`lucidrains` and its default: after the sizes), before any loop."""
LEFT_OUT = {
    ("diffusers", "update"): "its logging to trackers",
    ("lucidrains", "update"): "theirs: the processes that load and decode its images",
}
Took = dict[str, dict[str, list[float]]]
"""Side -> part -> seconds of every round."""


class Compared(NamedTuple):
    """One row of the table."""

    peer: str
    part: str
    """What the peer measured."""
    own: str
    """The side and part of ablate beside it, as ``side/part``."""
    name: str
    unit: str
    asked: float | None


def measure(sides: Sequence[str], rounds: int, *, bare: bool, dip: Path | None) -> Took:
    """Run every side once per round, one after the other."""
    took: Took = {side: {} for side in sides}
    options = [] if dip is None else ["--dip", str(dip.resolve())]
    for done in range(rounds):
        for side in sides:
            own = side.startswith("ablate") and not bare
            environment = worker_environment(1) if own else plain_environment(1)
            for part, seconds in in_process("unet_sides", [side, *options], environment).items():
                took[side].setdefault(part, []).append(seconds)
        print(f"round {done + 1} of {rounds}", flush=True)
    return took


def agreements(dip: Path | None) -> dict[tuple[str, str], agreement.Agreement]:
    """How the numbers of each peer and part were compared."""
    mine, theirs = agreement.prepared()
    found = {
        ("diffusers", "update"): agreement.diffusers_updates(mine, theirs),
        ("diffusers", "sample"): agreement.diffusers_samples(mine, theirs),
    }
    losses, samples = agreement.lucidrains(mine)
    for peer in ("lucidrains", "lucidrains-default"):
        found |= {(peer, "update"): losses, (peer, "sample"): samples}
    if dip is not None:
        restored = agreement.dip(dip.resolve())
        found |= {("dip-authors", "dip"): restored, ("dip-authors", "dip-alone"): restored}
    return found


def compared(peers: Sequence[str], dip: bool) -> Iterator[Compared]:
    """The rows."""
    for peer in peers:
        for part, name in PARTS.items():
            unit = "CPU ms" if part == "update" else "CPU s"
            yield Compared(peer, part, f"ablate/{part}", name, unit, None if peer.endswith("default") else ASKED)
    if dip:
        yield Compared("dip-authors", "dip", "ablate-dip/dip", "DIP iteration, of 16 images", "CPU ms per image", ASKED)
        yield Compared("dip-authors", "dip", "ablate-dip/dip-alone", "DIP iteration, of one image", "CPU ms", None)


def rows(asked_for: Sequence[Compared], took: Took, said: dict[tuple[str, str], agreement.Agreement]) -> Iterator[Row]:
    """Medians of all rounds, side by side."""
    for peer, part, own, name, unit, asked in asked_for:
        side, own_part = own.split("/")
        scale = 1e3 if "ms" in unit else 1.0
        key = (peer, own_part)
        yield Row(
            name=name,
            unit=unit,
            theirs=PEERS.get(peer, "the authors' code"),
            theirs_took=scale * median(took[peer][part]),
            ours=OURS[own_part],
            ours_took=scale * median(took[side][own_part]),
            agreement=said[key][0],
            agrees=said[key][1],
            predicted=PREDICTED[key],
            reach=asked,
            rounds=len(took[peer][part]),
            left_out=LEFT_OUT.get(key, ""),
        )


def spread(asked_for: Sequence[Compared], took: Took) -> Iterator[str]:
    """The ratios round by round."""
    for peer, part, own, name, *_ in asked_for:
        side, own_part = own.split("/")
        ratios = sorted(a / b for a, b in zip(took[peer][part], took[side][own_part], strict=True))
        yield f"* {name}, {peer}: ratios of the rounds {' '.join(f'{ratio:.2f}' for ratio in ratios)}"


def main() -> None:
    """Measure all sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dip", type=Path, help="checkout of the authors' Deep Image Prior")
    parser.add_argument("--only", choices=PEERS, nargs="+", default=list(PEERS), help="networks to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help="ablate without the environment of its workers")
    parser.add_argument("--json", type=Path, default=Path("unet_peers.json"), help="where the numbers go")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began, dip = time.monotonic(), options.dip is not None
    said = agreements(options.dip)
    asked_for = list(compared(options.only, dip))
    sides = ["ablate", *options.only, *(["ablate-dip", "dip-authors"] if dip else [])]
    took = measure(sides, options.rounds, bare=options.bare, dip=options.dip)
    found = list(rows(asked_for, took, said))
    print(table(found))
    print(
        "\n".join(["", *spread(asked_for, took), "", "| network | parameters | GFLOP per update |", "|---|---:|---:|"])
    )
    sizes = agreement.sizes()
    for name, (parameters, gflop) in sizes.items():
        print(f"| {name} | {parameters:,} | {gflop:.2f} |")
    print(f"\n{machine()}, {time.monotonic() - began:.0f} s")
    data = {"machine": machine(), "sizes": sizes, "took": took, "rows": [asdict(row) for row in found]}
    options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
