"""Arithmetic: what is switched, what is recorded, and that switches change speed but no bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.utils.deterministic

from ablate.core.diffusion.training import Trainer
from ablate.core.settings import DdpmDipSettings
from ablate.core.shared.numerics import Plain, allocator, apply_numerics, environment

DETERMINISTIC: Any = torch.utils.deterministic


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The switches are the process's: put them back."""
    yield
    apply_numerics(DdpmDipSettings(deterministic=False))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_every_trial_sets_all_switches(precision: str) -> None:
    """TF32 only where it is asked for, whatever the trial before had."""
    apply_numerics(Plain(precision="tf32", deterministic=False))
    apply_numerics(Plain(precision=precision))
    assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")
    assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
    assert torch.are_deterministic_algorithms_enabled()


def test_any_first_trial_leaves_matrix_products_of_a_gpu_ready_for_a_deterministic_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch reads the variable at the first product of a process, and never again."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    apply_numerics(Plain(deterministic=False))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_fresh_tensors_are_not_filled() -> None:
    """Filling them with NaN costs a tenth of an update and changes nothing: the same loss to the bit."""
    apply_numerics(Plain())
    assert not DETERMINISTIC.fill_uninitialized_memory
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    losses = []
    for fill in (False, True):
        DETERMINISTIC.fill_uninitialized_memory = fill
        trainer = Trainer(DdpmDipSettings(channels=8, channel_mults="1", batch_size=4, epochs=2), images, 0)
        while not trainer.done:
            trainer.update()
        losses.append(trainer.settle())
    assert losses[0] == losses[1]


def test_what_may_change_the_last_digits_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DdpmDipSettings.model_validate({"precision": "bf16", "deterministic": False})
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    found = environment(settings, threads=3)
    assert set(found) == {"python", "torch", "precision", "deterministic", "threads", "allocator"}
    assert (found["precision"], found["deterministic"], found["threads"]) == ("bf16", "false", "3")
    assert found["torch"] == torch.__version__
    assert found["allocator"] == "default"
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1073741824")
    assert allocator() == "keeps freed memory"
