"""Slots: the places where a batch can run. Found without importing torch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import AblateError

_GPU_LINE = re.compile(r"GPU (?P<index>\d+): (?P<name>.*?) \(UUID: (?P<uuid>GPU-[^)]+)\)")
_MIG_LINE = re.compile(r"\s+MIG (?P<profile>\S+)\s+Device\s+\d+: \(UUID: (?P<uuid>MIG-[^)]+)\)")
_QUERY_SECONDS = 20.0


@dataclass(frozen=True)
class Slot:
    """A place where one batch runs at a time."""

    index: int
    device: str
    """As torch names it inside the worker: ``cpu``, or ``cuda:0`` because a worker sees its own GPU only."""
    threads: int
    visible: str | None
    """UUID of the GPU (or of its MIG instance) for CUDA_VISIBLE_DEVICES; None on CPU."""
    name: str
    """Model of the device."""

    @property
    def group(self) -> str:
        """Slots of one group share one memory: one GPU, or the machine's."""
        return self.visible or self.device


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one MIG instance of it, as the driver lists it."""

    index: int
    uuid: str
    name: str


def find_slots(*, gpus: str | None = None, slots: int | None = None) -> tuple[Slot, ...]:
    """Return the slots of this machine.

    With GPUs: `slots` (default 1) per GPU or MIG instance, restricted to `gpus` (indices or UUIDs, comma-separated, or
    ``none`` for CPU). Without: `slots` CPU slots (default: one per usable core), which share the usable cores.
    Raises AblateError when a GPU is asked for that is not there.
    """
    usable = () if gpus is not None and gpus.strip() in ("", "none") else visible_gpus(list_gpus(), os.environ)
    if gpus is not None and gpus.strip() not in ("", "none"):
        usable = pick_gpus(usable, gpus)
    cores = usable_cores()
    if usable:
        return gpu_slots(usable, per_gpu=slots or 1, cores=cores)
    count = slots or cores
    name = processor_name()
    return tuple(Slot(index, "cpu", max(1, cores // count), None, name) for index in range(count))


def gpu_slots(gpus: Sequence[Gpu], *, per_gpu: int, cores: int) -> tuple[Slot, ...]:
    """Return `per_gpu` slots for each of `gpus`; the CPU cores are shared out evenly."""
    threads = max(1, cores // (len(gpus) * per_gpu))
    places = [gpu for gpu in gpus for _ in range(per_gpu)]
    return tuple(Slot(index, "cuda:0", threads, gpu.uuid, gpu.name) for index, gpu in enumerate(places))


def list_gpus() -> tuple[Gpu, ...]:
    """Ask the NVIDIA driver what there is; empty without nvidia-smi or when it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        found = subprocess.run(  # noqa: S603 - a fixed argument, found on PATH
            [program, "-L"], capture_output=True, text=True, timeout=_QUERY_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(found.stdout) if found.returncode == 0 else ()


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Read the output of ``nvidia-smi -L``; a GPU that is split into MIG instances stands for these."""
    found: list[Gpu] = []
    split: set[int] = set()
    whole: Gpu | None = None
    for line in text.splitlines():
        if match := _GPU_LINE.match(line):
            whole = Gpu(int(match["index"]), match["uuid"], match["name"])
            found.append(whole)
        elif whole is not None and (match := _MIG_LINE.match(line)):
            split.add(whole.index)
            found.append(Gpu(whole.index, match["uuid"], f"{whole.name} {match['profile']}"))
    return tuple(gpu for gpu in found if gpu.index not in split or gpu.uuid.startswith("MIG-"))


def visible_gpus(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Return those of `gpus` that CUDA_VISIBLE_DEVICES of `environment` permits (all when it is not set)."""
    permitted = environment.get("CUDA_VISIBLE_DEVICES")
    if permitted is None:
        return tuple(gpus)
    names = [name.strip() for name in permitted.split(",") if name.strip()]
    return tuple(gpu for name in names for gpu in gpus if _is_called(gpu, name))


def pick_gpus(gpus: Sequence[Gpu], wanted: str) -> tuple[Gpu, ...]:
    """Return the GPUs named in `wanted` (``0,1`` or UUIDs), in that order, each once."""
    picked: dict[str, Gpu] = {}
    for name in (part.strip() for part in wanted.split(",")):
        matches = [gpu for gpu in gpus if name and _is_called(gpu, name)]
        if not matches:
            there = ", ".join(sorted({str(gpu.index) for gpu in gpus})) or "none"
            raise AblateError(f"no GPU {name!r} on this machine", hint=f"GPUs that can be used: {there}")
        picked.update({gpu.uuid: gpu for gpu in matches})
    return tuple(picked.values())


def _is_called(gpu: Gpu, name: str) -> bool:
    """True when `name` is the GPU's index, its UUID or the beginning of it."""
    return name == str(gpu.index) or (name.startswith(("GPU-", "MIG-")) and gpu.uuid.startswith(name))


def usable_cores() -> int:
    """Return how many CPU cores this process may use: affinity, and the share its control group grants."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(Path("/sys/fs/cgroup"))
    return max(1, min(affinity, int(quota)) if quota is not None else affinity)


def cpu_quota(root: Path) -> float | None:
    """Return the CPU share (in cores) that the control group at `root` grants, None when it sets no limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        return float(quota) / float(period) if quota not in ("max", "-1") else None
    except (OSError, ValueError):
        return None


def processor_name() -> str:
    """Return the processor's model as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
