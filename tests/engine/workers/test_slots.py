"""Slots: what the driver lists, what the environment permits, and what a worker gets to see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ablate.core.shared.oom_kills import killed_for_memory
from ablate.engine.rules.memory import Device
from ablate.engine.workers import slots as slots_module
from ablate.engine.workers.local_process import environment, how_it_ended
from ablate.engine.workers.peak_memory import resident_peak_mb
from ablate.engine.workers.slots import (
    Gpu,
    Slot,
    certain,
    cpu_quota,
    devices_of,
    find_slots,
    gpu_slots,
    group_free_mb,
    machine_free_mb,
    one_per_device,
    parse_gpus,
    parse_memory,
    pick_gpus,
    visible_gpus,
)
from ablate.errors import AblateError

LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb-2)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc-3)
  MIG 1g.5gb      Device  1: (UUID: MIG-dddd-4)
"""
GPUS = (
    Gpu(0, "GPU-aaaa-1", "NVIDIA H100 80GB HBM3"),
    Gpu(1, "MIG-cccc-3", "NVIDIA A100-SXM4-40GB 3g.20gb"),
    Gpu(1, "MIG-dddd-4", "NVIDIA A100-SXM4-40GB 1g.5gb"),
)


def test_a_gpu_that_is_split_stands_for_its_instances() -> None:
    assert parse_gpus(LISTED) == GPUS


def test_output_that_is_no_list_gives_no_gpu() -> None:
    assert parse_gpus("No devices were found\n") == ()


@pytest.mark.parametrize(
    ("permitted", "indices"),
    [
        (None, [0, 1, 1]),
        ("", []),
        ("1", [1, 1]),
        ("1,0", [1, 1, 0]),
        ("GPU-aaaa", [0]),
        ("-1", []),
        ("MIG-dddd-4", [1]),
        # The list ends before the first entry that names no device.
        ("5,0", []),
        ("0,5,1", [0]),
        ("0,-1,1", [0]),
        ("0,,1", [0]),
        ("0, 1", [0, 1, 1]),
        ("none", []),
        ("NoDevFiles", []),
        # One that is named twice makes it empty.
        ("0,0", []),
        ("1,0,1", []),
        ("GPU-aaaa,GPU-aaaa-1", []),
        # A number ends where its digits end.
        ("0x,1", [0, 1, 1]),
        ("+0", [0]),
        ("x0", []),
        # The first entry says what all are; a UUID may be as short as it is unique.
        ("GPU-a,0", [0]),
        ("0,GPU-a", [0]),
        ("GPU-zz,GPU-a", []),
        ("GPU-", [0]),
        ("MIG-c,MIG-d", [1, 1]),
        ("MIG-", []),
        ("MIG-c,GPU-a", [1]),
        ("MIG-GPU-bbbb-2/1/0", []),
        ("gpu-aaaa", []),
    ],
)
def test_what_the_environment_permits_is_used(permitted: str | None, indices: list[int]) -> None:
    given = {} if permitted is None else {"CUDA_VISIBLE_DEVICES": permitted}
    assert [gpu.index for gpu in visible_gpus(GPUS, given)] == indices


@pytest.mark.parametrize("permitted", ["5,0", "0,0", "GPU-zz", "MIG-GPU-bbbb-2/1/0"])
def test_a_list_that_hides_every_gpu_by_mistake_is_an_error(monkeypatch: pytest.MonkeyPatch, permitted: str) -> None:
    """CUDA would see none: then nobody is helped by a run on the CPU, and even less by one on another GPU."""
    monkeypatch.setattr("ablate.engine.workers.slots.list_gpus", lambda: GPUS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", permitted)
    with pytest.raises(AblateError, match="leaves CUDA no GPU"):
        find_slots()
    assert {slot.device for slot in find_slots(gpus="none")} == {"cpu"}


@pytest.mark.parametrize("permitted", ["", "-1", "none", "NoDevFiles"])
def test_a_list_that_hides_every_gpu_on_purpose_is_none(monkeypatch: pytest.MonkeyPatch, permitted: str) -> None:
    monkeypatch.setattr("ablate.engine.workers.slots.list_gpus", lambda: GPUS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", permitted)
    assert {slot.device for slot in find_slots()} == {"cpu"}


def test_a_short_uuid_picks_one_gpu_or_none() -> None:
    assert [gpu.uuid for gpu in pick_gpus(GPUS, "GPU-a,MIG-d")] == ["GPU-aaaa-1", "MIG-dddd-4"]
    with pytest.raises(AblateError, match="several") as caught:
        pick_gpus(GPUS, "MIG-")
    assert caught.value.hint == "these begin so: MIG-cccc-3, MIG-dddd-4"


def test_gpus_are_picked_in_the_order_asked_for_and_once() -> None:
    assert [gpu.uuid for gpu in pick_gpus(GPUS, "1, 0,0")] == ["MIG-cccc-3", "MIG-dddd-4", "GPU-aaaa-1"]


@pytest.mark.parametrize("wanted", ["7", "0,x", ",", "GPU-zzz"])
def test_a_gpu_that_is_not_there_is_refused(wanted: str) -> None:
    with pytest.raises(AblateError, match="no GPU") as caught:
        pick_gpus(GPUS, wanted)
    assert caught.value.hint == "GPUs that can be used: 0, 1"


def test_gpu_slots_share_the_cores_and_know_their_gpu_by_uuid() -> None:
    found = gpu_slots(GPUS[:2], per_gpu=2, cores=8)
    assert [(slot.device, slot.threads, slot.visible) for slot in found] == [
        ("cuda:0", 2, "GPU-aaaa-1"),
        ("cuda:0", 2, "GPU-aaaa-1"),
        ("cuda:0", 2, "MIG-cccc-3"),
        ("cuda:0", 2, "MIG-cccc-3"),
    ]
    assert found[0].group == found[1].group != found[2].group


@pytest.mark.parametrize(("wanted", "count", "threads"), [(None, 6, 1), (2, 2, 3), (6, 6, 1), (20, 20, 1)])
def test_cpu_slots_share_the_usable_cores(
    monkeypatch: pytest.MonkeyPatch, wanted: int | None, count: int, threads: int
) -> None:
    monkeypatch.setattr(slots_module, "list_gpus", lambda: ())
    monkeypatch.setattr(slots_module, "usable_cores", lambda: 6)
    found = find_slots(slots=wanted)
    assert [slot.index for slot in found] == list(range(count))
    assert {(slot.device, slot.threads, slot.visible) for slot in found} == {("cpu", threads, None)}
    assert found[0].name


def test_no_gpu_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "list_gpus", lambda: GPUS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert {slot.device for slot in find_slots(gpus="none")} == {"cpu"}
    assert {slot.device for slot in find_slots()} == {"cuda:0"}


@pytest.mark.parametrize(("text", "cores"), [("150000 100000", 1.5), ("max 100000", None), ("rubbish", None)])
def test_the_control_groups_share_is_respected(tmp_path: Path, text: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text, encoding="ascii")
    assert cpu_quota(tmp_path) == cores


def test_the_older_control_group_is_understood(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("200000\n", encoding="ascii")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert cpu_quota(tmp_path) == 2.0


def test_a_worker_sees_its_own_gpu_and_its_share_of_threads() -> None:
    given = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0,1", "OMP_NUM_THREADS": "64", "MALLOC_TOP_PAD_": "1"}
    found = environment(given, Slot(3, "cuda:0", 2, "GPU-aaaa-1", "H100"))
    assert found["CUDA_VISIBLE_DEVICES"] == "GPU-aaaa-1"
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "2"
    assert found["MALLOC_TOP_PAD_"] == "1"
    assert found["PATH"] == "/bin"
    assert environment(given, Slot(0, "cpu", 1, None, "cpu"))["CUDA_VISIBLE_DEVICES"] == ""


def test_a_gpus_worker_allocates_in_growing_segments_unless_the_user_chose() -> None:
    """Under either of torch's names; a CPU worker has no such setting."""
    gpu, name = Slot(0, "cuda:0", 2, "GPU-aaaa-1", "H100"), "PYTORCH_CUDA_ALLOC_CONF"
    assert environment({}, gpu)[name] == "expandable_segments:True"
    assert environment({name: "backend:native"}, gpu)[name] == "backend:native"
    assert name not in environment({"PYTORCH_ALLOC_CONF": "backend:native"}, gpu)
    assert name not in environment({}, Slot(0, "cpu", 1, None, "cpu"))


def test_a_worker_compiles_with_its_share_of_threads_unless_the_user_chose() -> None:
    name, gpu = "TORCHINDUCTOR_COMPILE_THREADS", Slot(0, "cuda:0", 2, "GPU-aaaa-1", "H100")
    assert environment({}, gpu)[name] == "2"
    assert environment({name: "7"}, gpu)[name] == "7"


def test_ends_of_processes_are_told_in_words() -> None:
    assert how_it_ended(-9).reason == "the worker process was killed by SIGKILL"
    assert how_it_ended(3).reason == "the worker process ended with exit code 3"
    assert how_it_ended(-os.sysconf("SC_OPEN_MAX")).reason.startswith("the worker process was killed by signal")


def test_a_kill_while_memory_ran_out_counts_as_out_of_memory() -> None:
    assert how_it_ended(-9, memory_ran_out=True).out_of_memory
    assert "out of memory" in how_it_ended(-9, memory_ran_out=True).reason
    assert not how_it_ended(-15, memory_ran_out=True).out_of_memory
    assert not how_it_ended(1, memory_ran_out=True).out_of_memory


def test_the_kernels_count_of_kills_for_memory_is_read_wherever_it_stands(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    assert killed_for_memory(proc, groups) == 0
    (proc / "self").mkdir(parents=True)
    (proc / "vmstat").write_text("nr_free_pages 12\noom_kill 3\n", encoding="ascii")
    (proc / "self" / "cgroup").write_text("0::/user/job\n", encoding="ascii")
    assert killed_for_memory(proc, groups) == 3
    (groups / "user" / "job").mkdir(parents=True)
    (groups / "user" / "job" / "memory.events").write_text("low 0\noom 6\noom_kill 5\n", encoding="ascii")
    assert killed_for_memory(proc, groups) == 5
    (groups / "memory").mkdir()
    (groups / "memory" / "memory.oom_control").write_text("under_oom 0\noom_kill rubbish\n", encoding="ascii")
    assert killed_for_memory(proc, groups) == 5


def test_free_memory_is_read_from_the_driver_by_uuid() -> None:
    text = "GPU-aaaa-1, 80000\nGPU-bbbb-2, [N/A]\nnot a line\n"
    assert parse_memory(text) == {"GPU-aaaa-1": 80000.0}


def test_the_engine_decides_how_many_slots_of_a_gpu_are_used_unless_told() -> None:
    """Up to four where the memory is known, and each slot keeps a core; a MIG instance has what its profile says."""
    found = gpu_slots(GPUS, per_gpu=None, cores=9, free_mb={"GPU-aaaa-1": 80000.0})
    assert [slot.visible for slot in found] == ["GPU-aaaa-1"] * 3 + ["MIG-cccc-3"] * 3 + ["MIG-dddd-4"] * 3
    assert {slot.threads for slot in found} == {1}
    assert all(slot.automatic for slot in found)
    assert (found[0].memory_mb, found[3].memory_mb) == (80000.0, 20 * 1024 * 0.95)
    assert certain(found) == 3
    assert [slot.visible for slot in gpu_slots(GPUS[:1], per_gpu=None, cores=16)] == ["GPU-aaaa-1"]
    fixed = gpu_slots(GPUS[:1], per_gpu=3, cores=16)
    assert (len(fixed), certain(fixed)) == (3, 3)


def test_devices_are_limited_by_what_is_free_on_them() -> None:
    gpu = gpu_slots(GPUS[:1], per_gpu=None, cores=16, free_mb={"GPU-aaaa-1": 80000.0})
    assert devices_of(gpu) == {"GPU-aaaa-1": Device(80000.0, warm_up=True, paced=True, kind=GPUS[0].name)}
    cpu = (Slot(0, "cpu", 1, None, "cpu", 4000.0), Slot(1, "cpu", 1, None, "cpu", 4000.0))
    assert devices_of(cpu) == {"cpu": Device(4000.0, warm_up=False, paced=False, kind="cpu")}
    assert devices_of([Slot(0, "cpu", 1, None, "cpu")]) == {}


def test_a_study_of_times_uses_one_slot_per_device() -> None:
    found = one_per_device(gpu_slots(GPUS[:2], per_gpu=2, cores=8))
    assert [(slot.index, slot.visible) for slot in found] == [(0, "GPU-aaaa-1"), (1, "MIG-cccc-3")]


def test_the_machines_free_memory_respects_the_control_group(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert machine_free_mb(meminfo) is None
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:  2048000 kB\n", encoding="ascii")
    assert machine_free_mb(meminfo) == 2000.0
    assert group_free_mb(tmp_path) is None
    mega = 2**20
    (tmp_path / "memory.max").write_text(f"{1000 * mega}\n", encoding="ascii")
    (tmp_path / "memory.current").write_text(f"{600 * mega}\n", encoding="ascii")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {100 * mega}\n", encoding="ascii")
    assert group_free_mb(tmp_path) == 500.0
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert group_free_mb(tmp_path) is None


def test_a_peak_of_memory_leaves_out_what_processes_share(tmp_path: Path) -> None:
    status = tmp_path / "status"
    assert resident_peak_mb(status) is None
    status.write_text("Name:\tworker\nVmHWM:\t 2048 kB\nRssFile:\t 1024 kB\n", encoding="ascii")
    assert resident_peak_mb(status) == 1.0
