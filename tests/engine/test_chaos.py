"""Kill whatever runs, at any moment, again and again: in the end every number is that of an undisturbed run."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import wait_until_gone
from tests.engine.victim import COMMANDS, WALKS, victim

SMALL = """question: Does a DIP go on where it was killed?
core: ddpm-dip
baseline: {method: dip, dip_steps: 400, eval_images: 4, dip_channels: 8}
vary: {dip_lr: [0.02]}
seeds: 1
metrics: {psnr: {primary: true}, ssim: {}}
"""
TRAINED = """question: Does a training go on where it was killed?
core: ddpm-dip
baseline:
  {method: dip+ddpm, cap_per_image: 30, train_images: 96, epochs: 6, batch_size: 4, channels: 8, channel_mults: "1",
   warmup_steps: 2, dip_steps: 300, dip_channels: 4, dip_scales: 2, eval_images: 2, sample_steps: 3,
   generated_images: 2, generation_steps: 3}
vary: {sample_steps: [2]}
seeds: 1
metrics: {psnr: {primary: true}, ssim: {}}
"""
SINGLE = """question: Does a fit in a program of several trials go on where it was killed?
core: ddpm-dip
baseline: {method: dip, dip_steps: 80, eval_images: 1, dip_channels: 8}
vary: {dip_lr: [0.02, 0.005]}
seeds: 2
metrics: {psnr: {primary: true}, ssim: {}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("text", [WALKS, COMMANDS], ids=["core", "command"])
def test_twenty_four_random_kills_change_no_number_and_leave_nothing_behind(text: str, tmp_path: Path) -> None:
    calm, killed = victim(tmp_path / "calm", text, "walks"), victim(tmp_path / "killed", text, "walks")
    calm.undisturbed()
    killed.disturbed(random.Random(20261125), 24)
    assert killed.kills == 24
    assert killed.numbers() == calm.numbers()
    assert len(killed.numbers()) == 24
    assert killed.faults() == []
    assert all(wait_until_gone(pid) for pid in [*killed.workers, *killed.commands()])
    # What a kill takes: a checkpoint interval (20 steps) for each of the two workers that it can have hit.
    assert killed.steps() <= calm.steps() + 2 * 20 * killed.kills


@pytest.mark.slow
@pytest.mark.parametrize(("text", "fuse", "trials"), [(SMALL, 1, 2), (SINGLE, 4, 6)])
def test_the_built_in_core_goes_on_from_its_checkpoints_with_the_same_numbers(
    text: str, fuse: int, trials: int, tmp_path: Path
) -> None:
    """The run is killed while its workers compute, also several trials in one program; the next takes up what is left.

    Fits of single images have other digits in a program than alone: the same come out only if they are never mixed.
    """
    calm = victim(tmp_path / "calm", text, "small", checkpoint_s=0.02, fuse=fuse)
    hurt = victim(tmp_path / "hurt", text, "small", checkpoint_s=0.02, fuse=fuse)
    calm.undisturbed()
    hurt.killed(lambda event: event["event"] == "progress")
    hurt.undisturbed()
    assert hurt.numbers() == calm.numbers()
    assert len(hurt.numbers()) == trials
    assert hurt.faults() == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], dict[str, float]]:
    """The numbers of a training, and of the DIP before it, that nobody disturbed."""
    calm = victim(tmp_path_factory.mktemp("calm") / "calm", TRAINED, "trained", checkpoint_s=0.02, slots=1)
    calm.undisturbed()
    numbers = calm.numbers()
    assert [len(metrics) > 8 for metrics in numbers.values()] == [True, True]
    return numbers


def intact(path: Path) -> None:
    """Leave it as it is."""


def truncated(path: Path) -> None:
    """Leave the first half, as a disk that lost its last pages."""
    os.truncate(path, path.stat().st_size // 2)


def garbled(path: Path) -> None:
    """Same size, other bytes in the middle."""
    raw = path.read_bytes()
    half = len(raw) // 2
    path.write_bytes(raw[:half] + bytes(255 - byte for byte in raw[half : half + 64]) + raw[half + 64 :])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "kind", "damage", "hit", "says"),
    [
        pytest.param("denoiser", "step", intact, 0, "", id="training"),
        pytest.param("denoiser", "step", truncated, 1, "is used instead", id="training, newest truncated"),
        pytest.param("dip", "state", garbled, 2, "there is none before it", id="DIP, all garbled"),
    ],
)
def test_a_killed_trial_goes_on_from_its_newest_sound_checkpoint_with_the_same_numbers(
    stage: str,
    kind: str,
    damage: Callable[[Path], None],
    hit: int,
    says: str,
    trained: dict[tuple[str, int], dict[str, float]],
    tmp_path: Path,
) -> None:
    hurt = victim(tmp_path / "hurt", TRAINED, "trained", checkpoint_s=0.02, slots=1)

    def two_checkpoints_in(event: dict[str, Any]) -> bool:
        return event["event"] == "progress" and event["stage"] == stage and len(hurt.checkpoints(kind)) > 1

    hurt.killed(two_checkpoints_in)
    found = hurt.checkpoints(kind)
    for path in found[-hit:] if hit else ():
        damage(path)
    events = hurt.undisturbed()
    assert hurt.numbers() == trained
    assert hurt.faults() == []
    notes = [event["text"] for event in events if event["event"] == "note" and "damaged" in event["text"]]
    assert [note.endswith(says) for note in notes] == [True] * min(hit, 1)
    assert all(note.partition(": ")[2] in hurt.log() for note in notes)
    assert [path.with_suffix(".damaged").exists() for path in found] == [False] * (len(found) - hit) + [True] * hit
