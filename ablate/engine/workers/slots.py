"""Slots: the places where a batch can run. Found without importing torch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from ablate.engine.rules.memory import Device
from ablate.errors import AblateError

_GPU_LINE = re.compile(r"GPU (?P<index>\d+): (?P<name>.*?) \(UUID: (?P<uuid>GPU-[^)]+)\)")
_MIG_LINE = re.compile(r"\s+MIG (?P<profile>\S+)\s+Device\s+\d+: \(UUID: (?P<uuid>MIG-[^)]+)\)")
_PROFILE_GB = re.compile(r" \d+g\.(\d+)gb")
_MIG_USABLE = 0.95
_NUMBER = re.compile(r"\+?\d+")
_QUERY_SECONDS = 20.0
_AUTOMATIC = 4
"""Most slots per GPU when nobody says how many."""
_NO_LIMIT = 1 << 60
"""Control groups of the first version say about 2^63 bytes when they set no limit."""


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
    memory_mb: float | None = None
    """What was free on the device (for CPU: in the machine) when the slots were found; None when nobody says."""
    place: str = ""
    """Sets apart slots of a cluster: each is a job of its own, on whatever machine; empty on this machine."""
    automatic: bool = False
    """True for slots that are used only as far as measured memory and pace allow; the first of a GPU always is."""

    @property
    def group(self) -> str:
        """Slots of one group share one memory: one GPU, or the machine's."""
        return self.place or self.visible or self.device

    @property
    def is_gpu(self) -> bool:
        """True when trials run on a GPU there."""
        return self.device != "cpu"


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one MIG instance of it, as the driver lists it."""

    index: int
    uuid: str
    name: str


def find_slots(*, gpus: str | None = None, slots: int | None = None) -> tuple[Slot, ...]:
    """Return the slots of this machine.

    With GPUs: `slots` per GPU or MIG instance, restricted to `gpus` (indices or UUIDs, comma-separated, or ``none`` for
    CPU); by default up to four, of which no more are used than fit and pay. Without: `slots` CPU slots (default: one
    per usable core), which share the usable cores.
    Raises AblateError when a GPU is asked for that is not there, by `gpus` or by CUDA_VISIBLE_DEVICES.
    """
    usable: tuple[Gpu, ...] = ()
    if gpus is None or gpus.strip() not in ("", "none"):
        there = list_gpus()
        usable = visible_gpus(there, os.environ)
        _check_permitted(there, usable, os.environ)
        usable = usable if gpus is None else pick_gpus(usable, gpus)
    cores = usable_cores()
    if usable:
        return gpu_slots(usable, per_gpu=slots, cores=cores, free_mb=free_gpu_memory())
    count = slots or cores
    name, free_mb = processor_name(), free_memory_mb()
    return tuple(Slot(index, "cpu", max(1, cores // count), None, name, free_mb) for index in range(count))


def cluster_slots(count: int, *, kind: str, gpu: bool, threads: int) -> tuple[Slot, ...]:
    """Return slots that are jobs of a cluster called `kind`; what device it gives them is known when they run."""
    device = "cuda:0" if gpu else "cpu"
    name = f"{kind} job with {'a GPU' if gpu else f'{threads} CPU cores'}"
    return tuple(Slot(index, device, threads, None, name, place=f"{kind}-{index}") for index in range(count))


def gpu_slots(
    gpus: Sequence[Gpu], *, per_gpu: int | None, cores: int, free_mb: Mapping[str, float] = MappingProxyType({})
) -> tuple[Slot, ...]:
    """Return `per_gpu` slots for each of `gpus`; the CPU cores are shared out evenly.

    None leaves the number to the engine: up to four, as far as there are cores for them. `free_mb` is the free memory
    by UUID; a MIG instance has what its profile says.
    """
    places = per_gpu or max(1, min(_AUTOMATIC, cores // len(gpus)))
    threads = max(1, cores // (len(gpus) * places))
    found = []
    for gpu in gpus:
        memory_mb = free_mb.get(gpu.uuid, _profile_mb(gpu.name))
        count = places if per_gpu is not None or memory_mb is not None else 1
        found += [(gpu, memory_mb)] * count
    return tuple(
        Slot(index, "cuda:0", threads, gpu.uuid, gpu.name, memory_mb, automatic=per_gpu is None)
        for index, (gpu, memory_mb) in enumerate(found)
    )


def one_per_device(slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Return the first slot of every device: nothing then runs beside anything."""
    firsts = {slot.group: slot for slot in reversed(slots)}
    kept = sorted(firsts.values(), key=lambda slot: slot.index)
    return tuple(replace(slot, index=index) for index, slot in enumerate(kept))


def certain(slots: Sequence[Slot]) -> int:
    """Return how many slots are used whatever the trials turn out to need."""
    return len({slot.group if slot.automatic else slot.index for slot in slots})


def devices_of(slots: Sequence[Slot]) -> dict[str, Device]:
    """Return what limits the trials on each device whose memory is known."""
    return {
        slot.group: Device(slot.memory_mb, warm_up=slot.visible is not None, paced=slot.automatic, kind=slot.name)
        for slot in slots
        if slot.memory_mb is not None
    }


def list_gpus() -> tuple[Gpu, ...]:
    """Ask the NVIDIA driver what there is; empty without nvidia-smi or when it fails."""
    return parse_gpus(_driver_says("-L"))


def free_gpu_memory() -> dict[str, float]:
    """Ask the NVIDIA driver for the free memory of every whole GPU: UUID -> MB; empty when it does not say."""
    return parse_memory(_driver_says("--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits"))


def parse_memory(text: str) -> dict[str, float]:
    """Read lines of ``UUID, free MB``; a GPU that reports no number (``[N/A]``) is left out."""
    pairs = (line.split(",") for line in text.splitlines() if line.count(",") == 1)
    return {uuid.strip(): float(free) for uuid, free in pairs if free.strip().isdecimal()}


def _driver_says(*arguments: str) -> str:
    """What nvidia-smi prints, empty without it or when it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments, found on PATH
            [program, *arguments], capture_output=True, text=True, timeout=_QUERY_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout if found.returncode == 0 else ""


def _profile_mb(name: str) -> float | None:
    """The memory in the name of a MIG profile (``3g.20gb``), less what the driver keeps of it; None without one."""
    match = _PROFILE_GB.search(name)
    return int(match[1]) * 1024 * _MIG_USABLE if match else None


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
    """Return those of `gpus` that CUDA_VISIBLE_DEVICES of `environment` permits, as CUDA reads it (all without it).

    The first entry says what all are: numbers, ``GPU-`` UUIDs or ``MIG-`` UUIDs, each as short as it is unique. The
    list ends before the first entry that names no device, and is empty when one is named twice. A number may have
    other characters behind it, which do not count. Several MIG instances are all permitted: CUDA itself would use the
    first, but every worker gets one of its own.
    """
    permitted = environment.get("CUDA_VISIBLE_DEVICES")
    if permitted is None:
        return tuple(gpus)
    entries = [entry.strip() for entry in permitted.split(",")]
    prefix = entries[0][:4] if entries[0].startswith(("GPU-", "MIG-")) else ""
    found: list[Gpu] = []
    for entry in entries:
        named = _by_uuid(gpus, entry, prefix) if prefix else _by_number(gpus, entry)
        if not named:
            break
        if named[0] in found:
            return ()
        found += named
    return tuple(found)


def _by_uuid(gpus: Sequence[Gpu], entry: str, prefix: str) -> list[Gpu]:
    """The device that a UUID or the beginning of one names; nothing where several begin so."""
    named = [gpu for gpu in gpus if entry.startswith(prefix) and gpu.uuid.startswith(entry)]
    return named if len(named) == 1 else []


def _by_number(gpus: Sequence[Gpu], entry: str) -> list[Gpu]:
    """The devices of the number that an entry begins with: one, or all instances of a GPU that is split."""
    number = _NUMBER.match(entry)
    return [] if number is None else [gpu for gpu in gpus if gpu.index == int(number[0])]


def _check_permitted(there: Sequence[Gpu], usable: Sequence[Gpu], environment: Mapping[str, str]) -> None:
    """Raise AblateError when CUDA_VISIBLE_DEVICES hides every GPU by mistake: its first entry names none that is here.

    An empty list and ``-1``, and words such as ``none``, hide them on purpose.
    """
    first = environment.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    if there and not usable and (_NUMBER.match(first) or first.startswith(("GPU-", "MIG-"))):
        raise AblateError(
            f"CUDA_VISIBLE_DEVICES={environment['CUDA_VISIBLE_DEVICES']} leaves CUDA no GPU: it reads up to the first "
            "entry that names none, or names one twice",
            hint=f"GPUs here: {', '.join(f'{gpu.index} ({gpu.uuid})' for gpu in there)}; or say --gpus none",
        )


def pick_gpus(gpus: Sequence[Gpu], wanted: str) -> tuple[Gpu, ...]:
    """Return the GPUs named in `wanted` (``0,1`` or UUIDs), in that order, each once."""
    picked: dict[str, Gpu] = {}
    for name in (part.strip() for part in wanted.split(",")):
        matches = [gpu for gpu in gpus if name and _is_called(gpu, name)]
        if len(matches) > 1 and name.startswith(("GPU-", "MIG-")):
            both = ", ".join(gpu.uuid for gpu in matches)
            raise AblateError(f"{name!r} is the beginning of several GPUs' UUIDs", hint=f"these begin so: {both}")
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


def free_memory_mb() -> float | None:
    """Return the memory that processes may still use: the machine's, or what is left of the control group's limit."""
    found = [machine_free_mb(Path("/proc/meminfo")), group_free_mb(Path("/sys/fs/cgroup"))]
    return min((free for free in found if free is not None), default=None)


def machine_free_mb(path: Path) -> float | None:
    """Return MemAvailable of a file like /proc/meminfo, None when it does not say."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:")), None)
    except (OSError, ValueError, IndexError):
        return None


def group_free_mb(root: Path) -> float | None:
    """Return what the control group at `root` has left of its memory limit, None when it sets none.

    Page cache counts as free: the system gives it up when processes need it.
    """
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, used = ((root / name).read_text(encoding="ascii").strip() for name in (limit, usage))
            if most == "max" or int(most) > _NO_LIMIT:
                return None
            stat = (root / limit).with_name("memory.stat").read_text(encoding="ascii").split()
            reclaimable = int(stat[stat.index(cache) + 1]) if cache in stat else 0
            return max(0.0, (int(most) - int(used) + reclaimable) / 2**20)
        except (OSError, ValueError):
            continue
    return None


def processor_name() -> str:
    """Return the processor's model as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
