"""One update of the founding report's networks: its own loop against the core ``replay``, one thread each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ablate.core.data import as_unit, load
from ablate.core.replay import conv_block
from ablate.core.replay.core import Replay
from ablate.core.shared.registry import core_class
from ablate.core.shared.seeding import generator
from ablate.recipe import Recipe
from ablate.study.reading.load_study import load_study
from benchmarks import founding
from benchmarks.frame import ROOT, Row, in_process, in_turn, plain_environment, worker_environment
from benchmarks.replay_side import training

STEPS, ROUNDS = 40, 3
COMPARED_UPDATES = 25
UPDATES_PER_EPOCH = 782
"""Of 50,000 images in batches of 64."""
TOLERANCE = 1e-5
"""Relative, per loss. Layout of the images in memory and the fused Adam change the last bits of every update."""
PREDICTED = {"ddpm": "7x", "dip": "4x", "dip+ddpm": "7x"}


def rows(deadline: float) -> Iterator[Row]:
    """Denoiser alone, autoencoder alone, and the denoiser behind the frozen autoencoder."""
    took: dict[str, tuple[float, float]] = {}
    for kind in ("ddpm", "dip", "dip+ddpm"):
        theirs, ours, rounds = in_turn(
            lambda kind=kind: _seconds("founding", kind, plain_environment(1)),
            lambda kind=kind: _seconds("replay_side", kind, worker_environment(1)),
            ROUNDS,
            deadline,
        )
        apart, took[kind] = losses_apart(kind), (theirs, ours)
        yield Row(
            name=f"update of {kind}, batch 64",
            unit="CPU ms",
            theirs="founding loop",
            theirs_took=1e3 * theirs,
            ours="core replay",
            ours_took=1e3 * ours,
            agreement=f"{COMPARED_UPDATES} losses with equal draws: {apart:.1e} apart at most (asked: {TOLERANCE:g})",
            agrees=apart <= TOLERANCE,
            predicted=PREDICTED[kind],
            reach=2.0 if "ddpm" in kind else None,
            rounds=rounds,
            left_out="the start of the process; the founding loop has torch's and glibc's default settings, "
            "ablate's side those of its workers",
        )

    yield _trial(took)
    yield _section_3(took, durations=False)
    yield _section_3(took, durations=True)


def _trial(took: dict[str, tuple[float, float]]) -> Row:
    """One trial of the report's baseline: ten epochs of each network."""
    theirs, ours = (sum(took[kind][side] for kind in ("dip", "dip+ddpm")) for side in (0, 1))
    return Row(
        name="trial of dip+ddpm, 10 + 10 epochs of 50,000 images",
        unit="CPU min",
        theirs="founding loop",
        theirs_took=theirs * 10 * UPDATES_PER_EPOCH / 60,
        ours="core replay",
        ours_took=ours * 10 * UPDATES_PER_EPOCH / 60,
        agreement="as above",
        agrees=True,
        predicted="4x",
        reach=2.0,
        left_out="calculated from the updates above; without scoring and starts",
    )


def _section_3(took: dict[str, tuple[float, float]], *, durations: bool) -> Row:
    """The report's section 3, from epochs planned and executed and the updates above."""
    runs = section_3(durations=durations)
    planned, executed = epochs_of(runs, shared=False), epochs_of(runs, shared=True)
    theirs, ours = (
        sum(epochs[kind] * UPDATES_PER_EPOCH * took[kind][side] for kind in took) / 60
        for side, epochs in ((0, planned), (1, executed))
    )
    return Row(
        name=f"section 3 of the report, {len(runs)} runs of 50,000 images",
        unit="CPU min",
        theirs=f"founding loop, {in_words(planned)} epochs",
        theirs_took=theirs,
        ours=f"ablate, {in_words(executed)} epochs",
        ours_took=ours,
        agreement="as above; a shared stage has the bits of one computed alone (tests)",
        agrees=True,
        predicted="" if durations else "5x of one core",
        left_out="calculated from the updates above; without scoring and starts. Updates of 128 images count as two of "
        "64. CPU time of one core: ablate spreads the runs over all cores, the founding loop does not",
    )


def section_3(*, durations: bool) -> list[Recipe]:
    """The recipes of ``section3.yaml``: the report's nine runs, and those with shorter durations of its DIP."""
    study = load_study(ROOT / "benchmarks" / "section3.yaml", resolve_core=core_class)
    return [study.recipe(arm, 0) for arm in study.arms if durations or arm.factor != "dip_epochs"]


def epochs_of(runs: Sequence[Recipe], *, shared: bool) -> dict[str, int]:
    """Epochs of each kind of update: all that are asked for, or those left when shared."""
    longest: dict[tuple[str, str, int], int] = {}
    for number, recipe in enumerate(runs):
        for stage in Replay.stages(recipe):
            dip = stage.name == "dip"
            kind = "dip" if dip else str(recipe.settings["method"])
            key = (kind, stage.digest, 0 if shared else number)
            epochs = int(recipe.settings["dip_epochs" if dip else "epochs"] or 0)
            longest[key] = max(epochs, longest.get(key, 0))
    found = dict.fromkeys(("ddpm", "dip", "dip+ddpm"), 0)
    for (kind, _, _), epochs in longest.items():
        found[kind] += epochs
    return found


def in_words(epochs: dict[str, int]) -> str:
    """Epochs of the autoencoder and of the denoiser."""
    return f"{epochs['dip']} + {epochs['ddpm'] + epochs['dip+ddpm']}"


def _seconds(side: str, kind: str, environment: dict[str, str]) -> float:
    found: float = in_process(side, [kind, str(STEPS)], environment)["seconds"]
    return found


class OurDraws:
    """The addressed random numbers of ``replay``, in the order in which the founding loop asks for them."""

    def __init__(self, name: str, blocks: int, seed: int = 0) -> None:
        self.name, self.blocks, self.seed = name, blocks, seed
        self.step = -1
        self.shape: torch.Size = torch.Size()

    def batches(self, images: Tensor, size: int) -> Iterator[Tensor]:
        """One epoch in the order of ``replay``."""
        order = torch.randperm(len(images), generator=generator(self.seed, f"{self.name}-order", 0))
        for chosen in order.split(size):
            self.step += 1
            batch = as_unit(images[chosen])
            self.shape = batch.shape
            yield batch

    def level(self, count: int) -> int:
        """The level of this update; the noise of all blocks is drawn with it."""
        stream = generator(self.seed, f"{self.name}-noise", self.step)
        level = int(torch.randint(count, (1,), generator=stream))
        self.noise = iter(conv_block.noise(self.blocks, torch.empty(self.shape), stream))
        return level

    def randn_like(self, x: Tensor) -> Tensor:
        """The next block's noise."""
        return next(self.noise)

    def as_draws(self) -> founding.Draws:
        """What the founding loop takes."""
        return founding.Draws(self.randn_like, self.level, self.batches)


def losses_apart(kind: str) -> float:
    """Return the largest relative difference between both sides' losses over the first updates, with equal draws."""
    images = load("skimage-patches").train[: 64 * COMPARED_UPDATES]
    ours = training(kind, images)
    draws = OurDraws(ours.name, 10).as_draws()
    dip, reference = founding.DIP(), training("dip", images).network
    dip.load_state_dict(reference.state_dict())
    if kind == "dip":
        theirs = founding.train_dip(dip, images, epochs=1, draws=draws)
    else:
        ddpm = founding.DDPM(10, 3, founding.LINEAR, draws)
        for block, net in zip(ddpm.blocks, ours.network.nets, strict=True):
            block.net.load_state_dict(net.state_dict())
        theirs = founding.train_ddpm(ddpm, images, dip=dip if "dip" in kind else None, epochs=1, draws=draws)
    return max(abs(ours.update() - loss) / loss for loss in theirs)
