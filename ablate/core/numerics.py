"""Arithmetic and determinism of a trial, and where they are recorded."""

from __future__ import annotations

import contextlib
import os
import platform

import torch

from ablate.core.settings import DdpmDipSettings


def apply_numerics(settings: DdpmDipSettings) -> None:
    """Set torch's switches for this process. Each trial sets all of them, so the order of trials does not matter."""
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
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


def environment(settings: DdpmDipSettings, threads: int) -> dict[str, str]:
    """What besides the recipe may change the last digits: versions, arithmetic, threads."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "precision": settings.precision,
        "deterministic": str(settings.deterministic).lower(),
        "threads": str(threads),
    }
