"""Arithmetic and determinism of a trial, and where they are recorded."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from typing import Protocol

import torch


class Arithmetic(Protocol):
    """The settings of any core that decide how numbers are computed."""

    @property
    def precision(self) -> str:
        """``fp32``, ``tf32`` or ``bf16``."""

    @property
    def deterministic(self) -> bool:
        """Deterministic algorithms only."""


@dataclass(frozen=True)
class Plain:
    """The arithmetic of a core that leaves no choice: float32, TF32 off, deterministic algorithms."""

    precision: str = "fp32"
    deterministic: bool = True


def apply_numerics(settings: Arithmetic) -> None:
    """Set torch's switches for this process. Each trial sets all of them, so the order of trials does not matter."""
    # Always: torch looks once, at the first matrix product of the process, whether a later trial may be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    # On by default with deterministic algorithms: fills every fresh tensor with NaN. Nothing here reads one unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch sets it on the module
    torch.backends.cudnn.benchmark = not settings.deterministic
    torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = settings.precision == "tf32"


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context of a forward pass: bfloat16 autocast for ``bf16``, nothing otherwise."""
    if precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def device_name(device: torch.device) -> str:
    """Model name of the processor or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment(settings: Arithmetic, threads: int) -> dict[str, str]:
    """What besides the recipe may change the last digits: versions, arithmetic, threads."""
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "precision": settings.precision,
        "deterministic": str(settings.deterministic).lower(),
        "threads": str(threads),
        "allocator": allocator(),
    }
    return {**found, "gpu_allocator": gpu_allocator()} if torch.cuda.is_available() else found


def allocator() -> str:
    """Say whether glibc was told to keep freed memory: it reads its settings when a process starts."""
    return "keeps freed memory" if "MALLOC_TRIM_THRESHOLD_" in os.environ else "default"


def gpu_allocator() -> str:
    """Say how torch was told to allocate GPU memory: it reads that when it first does."""
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    return next((os.environ[name] for name in names if name in os.environ), "default")
