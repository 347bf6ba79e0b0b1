"""How much memory this process needed at most, on its device: measured in the worker, batch by batch."""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path
from typing import Any

_CONTEXT_MB = 640.0
"""A CUDA context with the kernels of a training loaded. torch counts its own allocations only."""
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def start_measuring(device: str) -> None:
    """Let peaks be counted from now on; give back what the allocator keeps from an earlier batch."""
    torch = _torch_on(device)
    if torch is not None:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif device == "cpu":
        with contextlib.suppress(OSError):
            _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")


def peak_mb(device: str) -> float | None:
    """Return the most memory in MB that was needed since `start_measuring`: of the GPU, or of this process on CPU.

    None where the system does not tell, or nothing ran on the GPU.
    """
    torch = _torch_on(device)
    if torch is not None:
        return float(torch.cuda.max_memory_reserved()) / 2**20 + _CONTEXT_MB
    return resident_peak_mb() if device == "cpu" else None


def resident_peak_mb(status: Path = _STATUS) -> float | None:
    """Return the peak of a process's own memory: resident, without the files (libraries) that processes share."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    if "VmHWM" not in found:
        return None
    shared_kb = float(found["RssFile"][0]) if "RssFile" in found else 0.0
    return max(0.0, float(found["VmHWM"][0]) - shared_kb) / 1024


def _torch_on(device: str) -> Any:
    """The torch module if it has used a GPU; it is never imported for this."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and device.startswith("cuda") and torch.cuda.is_initialized() else None
